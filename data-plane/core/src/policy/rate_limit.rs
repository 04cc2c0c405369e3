//! Rate limit as a filter: which requests count, and against which quota.

use std::sync::Arc;

use toolgate_model::{
    Digest, ObjectName, Principal, PrincipalSubject, RateLimit, RateLimitKey, Slug, Uid,
    snapshot::{RateLimitScope, ScopedRateLimit},
};

use crate::{AuthnId, Caller, plan::CallPlan};

/// Rate limit, compiled. The state of its quotas is kept by the caller of the core, under [`id`](Self::id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitFilter {
    /// Identifies the limit: digest of its place and its content. Gateways that share a limit, such as that of their
    /// organization, have filters with the same id.
    pub id: Digest,
    /// Subject with a quota of its own.
    pub per: RateLimitKey,
    /// The limit as configured.
    pub limit: Arc<RateLimit>,
}

/// Quota of a rate limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketKey {
    /// Of all requests that the limit applies to.
    Whole,
    /// Of a principal.
    Principal(Arc<Principal>),
    /// Of an API token.
    Token(AuthnId),
    /// Of a team.
    Team(Slug),
    /// Of a tool, by the name used by its server.
    Tool(Box<str>),
}

impl RateLimitFilter {
    /// Compiles a limit of a gateway. Its id does not name the gateway if the limit applies to others as well.
    pub(super) fn of_gateway(gateway: &ObjectName, given: &ScopedRateLimit) -> Self {
        let gateway_id = match given.scope {
            RateLimitScope::Organization | RateLimitScope::Server(_) => None,
            RateLimitScope::Gateway | RateLimitScope::Binding(_) => Some(&gateway.id),
        };
        let id = Digest::of(&("gateway", &gateway.org, gateway_id, given));
        Self::new(id, &given.limit)
    }

    /// Compiles a limit of a token. A token made again under the same name has quotas of its own.
    pub(super) fn of_token(token: Uid, limit: &RateLimit) -> Self {
        let id = Digest::of(&("token", token, limit));
        Self::new(id, limit)
    }

    fn new(id: Digest, limit: &RateLimit) -> Self {
        Self {
            id,
            per: limit.per,
            limit: Arc::new(limit.clone()),
        }
    }

    /// Returns the quota of a limit per token. The number of tokens of a subject of an identity provider is not limited,
    /// and one signed text may have several valid signatures: all of them share the quota of the principal.
    fn proof_bucket(caller: &Caller) -> BucketKey {
        match &caller.principal().subject {
            PrincipalSubject::External { .. } => {
                BucketKey::Principal(Arc::clone(caller.principal()))
            }
            PrincipalSubject::AllCallers
            | PrincipalSubject::Token { .. }
            | PrincipalSubject::Team(_)
            | PrincipalSubject::User(_) => BucketKey::Token(caller.authn().id),
        }
    }

    /// Returns the quota that a request uses, or `None` if the limit does not apply to it. `call` is the planned call
    /// of a server; `None` before planning.
    pub fn bucket(&self, caller: &Caller, call: Option<&CallPlan>) -> Option<BucketKey> {
        let tool = call.and_then(|call| call.target.tool());
        let named = &self.limit.tools;
        let counts = |original: &str| named.iter().any(|name| name == original);
        if !named.is_empty() && !tool.is_some_and(|tool| counts(&tool.original)) {
            return None;
        }
        match self.per {
            RateLimitKey::Token => Some(Self::proof_bucket(caller)),
            RateLimitKey::Principal => Some(BucketKey::Principal(Arc::clone(caller.principal()))),
            RateLimitKey::Team => match &caller.principal().subject {
                PrincipalSubject::Team(team) => Some(BucketKey::Team(team.clone())),
                PrincipalSubject::AllCallers
                | PrincipalSubject::Token { .. }
                | PrincipalSubject::User(_)
                | PrincipalSubject::External { .. } => None,
            },
            RateLimitKey::Tool => tool.map(|tool| BucketKey::Tool(tool.original.clone())),
            RateLimitKey::Server | RateLimitKey::Gateway | RateLimitKey::Organization => {
                Some(BucketKey::Whole)
            }
        }
    }
}
