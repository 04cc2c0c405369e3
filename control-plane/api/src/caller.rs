//! Identity of the caller of a request. [`crate::access_control`] creates it before the body is read; services find it
//! in the extensions of the request.

use std::sync::Arc;

use tonic::{Request, Status};
use toolgate_control_core::{AccessRight, CallerIdentity, ObjectKey, StoreState, is_allowed};
use toolgate_model::{AdminRole, Slug, Timestamp, TokenHash};

use crate::status;

/// Reason for a token that no state has; another control plane may have created it.
pub(crate) const UNKNOWN_TOKEN: &str = "UNKNOWN_TOKEN";

/// Message for an expired bootstrap token, to which an earlier build gave an expiry.
const EXPIRED_SYSTEM_TOKEN: &str = "the bootstrap token has expired; start `toolgate up` again, or a control plane with \
                                    `--reset-admin-token`: a new one is then in its file `admin-token`";

/// Peer at the other end of a connection, as identified by the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionPeer {
    /// Unidentified peer.
    Unknown,
    /// Proxy named by a verified client certificate.
    Proxy(Slug),
    /// Proxy whose own claim is trusted: an in-memory connection, or the development switch.
    Trusted,
}

/// Authenticated caller, with the method and the right of its request.
#[derive(Debug, Clone)]
pub(crate) struct AdminCaller {
    pub(crate) identity: CallerIdentity,
    pub(crate) peer: ConnectionPeer,
    pub(crate) right: Option<AccessRight>,
    pub(crate) method: &'static str,
    /// Hash of the caller's token, kept for later rechecks.
    pub(crate) token: Option<TokenHash>,
}

impl AdminCaller {
    /// Returns the caller of a request.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Arc<Self>, Status> {
        let caller = request.extensions().get::<Arc<Self>>();
        // Unreachable behind the access control. Without a caller, the request is rejected.
        caller.cloned().ok_or_else(|| {
            status::unauthenticated("NO_CALLER", "the request did not pass the access control")
        })
    }

    /// Returns `true` if the caller has the right of its request in `org`. Must be checked before any object of `org`
    /// is read.
    pub(crate) fn may_in(&self, org: &Slug) -> bool {
        self.right
            .is_some_and(|right| is_allowed(&self.identity, right, Some(org)))
    }

    /// Returns `true` if the caller has `right` in `org`.
    pub(crate) fn has_right(&self, right: AccessRight, org: Option<&Slug>) -> bool {
        is_allowed(&self.identity, right, org)
    }

    /// Succeeds if the caller has the right of its request in `org`, the organization of `key`. Otherwise answers that
    /// `key` does not exist.
    pub(crate) fn require_in_org(&self, org: &Slug, key: &ObjectKey) -> Result<(), Status> {
        if self.may_in(org) {
            return Ok(());
        }
        Err(status::not_found(key))
    }

    /// Succeeds if the caller has the right of its request in the whole deployment.
    pub(crate) fn require_globally(&self) -> Result<(), Status> {
        if self.right.is_some_and(|right| self.has_right(right, None)) {
            return Ok(());
        }
        Err(denied(self.method, self.right, &self.identity))
    }

    /// Returns the caller's name in the form that the version log uses.
    pub(crate) fn author(&self) -> String {
        self.identity.author()
    }

    /// Checks the caller's token again. A stream stays open after the check at its start.
    pub(crate) fn recheck(&self, state: &StoreState, now: Timestamp) -> Result<(), Status> {
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

/// Succeeds unless the proxy `id` is expelled.
pub(crate) fn not_expelled(state: &StoreState, id: &Slug, now: Timestamp) -> Result<(), Status> {
    if !state.is_expelled(id, now) {
        return Ok(());
    }
    Err(status::expelled(id))
}

/// Checks that a proxy calls itself what its certificate names.
pub(crate) fn check_proxy_id(peer: &ConnectionPeer, given: &Slug) -> Result<(), Status> {
    match peer {
        ConnectionPeer::Proxy(id) if id != given => {
            let reason = format!("is not `{id}`, which the certificate names");
            Err(Status::permission_denied(format!("proxy_id: {reason}")))
        }
        ConnectionPeer::Proxy(_) | ConnectionPeer::Trusted | ConnectionPeer::Unknown => Ok(()),
    }
}

/// Returns the identity of the token with this hash.
pub(crate) fn identify(
    state: &StoreState,
    hash: &TokenHash,
    now: Timestamp,
) -> Result<CallerIdentity, Status> {
    let Some(token) = state.token_by_hash(hash) else {
        return Err(status::unauthenticated(
            UNKNOWN_TOKEN,
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
        let message = match token.system {
            true => EXPIRED_SYSTEM_TOKEN,
            false => "the bearer token has expired; create a new one",
        };
        return Err(status::unauthenticated("EXPIRED_TOKEN", message));
    }
    if token.system {
        return Ok(CallerIdentity::System);
    }
    Ok(CallerIdentity::Token {
        org: token.name.org.clone(),
        role: token.role,
        name: token.name.id.clone(),
    })
}

/// Builds the error for an identity that has this right nowhere.
pub(crate) fn denied(
    method: &str,
    right: Option<AccessRight>,
    identity: &CallerIdentity,
) -> Status {
    let needs = right.map_or_else(|| "a right that nobody has".to_owned(), least_role);
    let has = match identity {
        CallerIdentity::System => "the system token",
        CallerIdentity::Token { role, .. } => match role {
            AdminRole::None => "a token without admin role",
            AdminRole::Viewer => "the role viewer",
            AdminRole::Editor => "the role editor",
            AdminRole::Admin => "the role admin",
        },
        CallerIdentity::Proxy { .. } => "a proxy's certificate",
        CallerIdentity::Anonymous => "no proof of who it is",
    };
    let method = method.rsplit('/').next().unwrap_or(method);
    status::denied(method, &needs, has)
}

/// Describes the least identity that has a right.
fn least_role(right: AccessRight) -> String {
    let roles = [
        (AdminRole::Viewer, "the role viewer"),
        (AdminRole::Editor, "the role editor"),
        (AdminRole::Admin, "the role admin"),
    ];
    // Any organization and token name will do: rights do not depend on them.
    let any = "any".parse::<Slug>();
    let of_role = |role| {
        any.as_ref().is_ok_and(|any| {
            let (org, name) = (any.clone(), any.clone());
            is_allowed(&CallerIdentity::Token { org, role, name }, right, Some(any))
        })
    };
    if let Some((_, words)) = roles.into_iter().find(|(role, _)| of_role(*role)) {
        return words.to_owned();
    }
    if is_allowed(&CallerIdentity::System, right, None) {
        return "the system token".to_owned();
    }
    "a proxy's certificate".to_owned()
}
