//! Who is calling. Made by the gate alone, before a body is read; found by services in the request's extensions.

use std::sync::Arc;

use tonic::{Request, Status};
use toolgate_control_core::{Identity, Key, Right, State, may};
use toolgate_model::{AdminRole, Slug, Timestamp, TokenHash};

use crate::status;

/// Who is at the other end of a connection, as its listener knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Nobody in particular.
    Unknown,
    /// The proxy that a verified certificate names.
    Proxy(Slug),
    /// Whatever proxy it says it is: in memory, or by the development switch.
    Trusted,
}

/// A caller whose proof has been checked, with what it is about to do.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) peer: Peer,
    pub(crate) right: Option<Right>,
    pub(crate) method: &'static str,
    /// Of the token it showed, to look again later.
    pub(crate) token: Option<TokenHash>,
}

impl Caller {
    /// The caller of a request.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Arc<Self>, Status> {
        let caller = request.extensions().get::<Arc<Self>>();
        // Cannot happen behind the gate; without it, nobody gets in.
        caller.cloned().ok_or_else(|| {
            status::unauthenticated("NO_CALLER", "the request did not pass the gate")
        })
    }

    /// Whether it may do what it is about to do in `org`. Asked before anything of `org` is looked at.
    pub(crate) fn may_in(&self, org: &Slug) -> bool {
        self.right
            .is_some_and(|right| may(&self.identity, right, Some(org)))
    }

    /// Whether it may do `right` in `org`.
    pub(crate) fn has(&self, right: Right, org: Option<&Slug>) -> bool {
        may(&self.identity, right, org)
    }

    /// Goes on only if it may do this in the organization of `key`; otherwise `key` is not there for it.
    pub(crate) fn within(&self, org: &Slug, key: &Key) -> Result<(), Status> {
        if self.may_in(org) {
            return Ok(());
        }
        Err(status::not_found(key))
    }

    /// Goes on only if it may do this in the whole deployment.
    pub(crate) fn everywhere(&self) -> Result<(), Status> {
        if self.right.is_some_and(|right| self.has(right, None)) {
            return Ok(());
        }
        Err(denied(self.method, self.right, &self.identity))
    }

    /// As in the version log.
    pub(crate) fn author(&self) -> String {
        self.identity.author()
    }

    /// Checks its token again: a stream outlives the moment at which it was let in.
    pub(crate) fn recheck(&self, state: &State, now: Timestamp) -> Result<(), Status> {
        match &self.token {
            None => Ok(()),
            Some(hash) => match identify(state, hash, now)? {
                identity if identity == self.identity => Ok(()),
                _ => Err(status::unauthenticated(
                    "CHANGED",
                    "the token's rights have changed; connect again",
                )),
            },
        }
    }
}

/// Goes on unless the proxy `id` has been told to leave.
pub(crate) fn not_expelled(state: &State, id: &Slug, now: Timestamp) -> Result<(), Status> {
    if !state.is_expelled(id, now) {
        return Ok(());
    }
    Err(status::expelled(id))
}

/// Whose token has this hash.
pub(crate) fn identify(
    state: &State,
    hash: &TokenHash,
    now: Timestamp,
) -> Result<Identity, Status> {
    let Some(token) = state.token_by_hash(hash) else {
        return Err(status::unauthenticated(
            "UNKNOWN_TOKEN",
            "the bearer token is not known; check it for completeness, or create a new one",
        ));
    };
    if token.revoked.is_some() {
        return Err(status::unauthenticated(
            "REVOKED_TOKEN",
            "the bearer token has been revoked; create a new one",
        ));
    }
    if token.expires.is_some_and(|at| at <= now) {
        return Err(status::unauthenticated(
            "EXPIRED_TOKEN",
            "the bearer token has expired; create a new one",
        ));
    }
    if token.system {
        return Ok(Identity::System);
    }
    Ok(Identity::Token {
        org: token.name.org.clone(),
        role: token.role,
        name: token.name.id.clone(),
    })
}

/// The refusal for an identity that can have this right nowhere.
pub(crate) fn denied(method: &str, right: Option<Right>, identity: &Identity) -> Status {
    let needs = right.map_or_else(|| "a right that nobody has".to_owned(), needs);
    let has = match identity {
        Identity::System => "the system token",
        Identity::Token { role, .. } => match role {
            AdminRole::None => "a token without admin role",
            AdminRole::Viewer => "the role viewer",
            AdminRole::Editor => "the role editor",
            AdminRole::Admin => "the role admin",
        },
        Identity::Proxy { .. } => "a proxy's certificate",
        Identity::Anonymous => "no proof of who it is",
    };
    let method = method.rsplit('/').next().unwrap_or(method);
    status::denied(method, &needs, has)
}

/// The least that has a right, in words.
fn needs(right: Right) -> String {
    let roles = [
        (AdminRole::Viewer, "the role viewer"),
        (AdminRole::Editor, "the role editor"),
        (AdminRole::Admin, "the role admin"),
    ];
    // An organization and a token stand for any: rights do not depend on which.
    let any = "any".parse::<Slug>();
    let of_role = |role| {
        any.as_ref().is_ok_and(|any| {
            let (org, name) = (any.clone(), any.clone());
            may(&Identity::Token { org, role, name }, right, Some(any))
        })
    };
    if let Some((_, words)) = roles.into_iter().find(|(role, _)| of_role(*role)) {
        return words.to_owned();
    }
    if may(&Identity::System, right, None) {
        return "the system token".to_owned();
    }
    "a proxy's certificate".to_owned()
}
