//! Callers: the principal, its grant, and how the request was authenticated. Limits, sessions, subscriptions and encrypted texts
//! are keyed by the principal or by [`Authn::id`], never by the kind of proof.

use std::{fmt, sync::Arc};

use toolgate_model::{Principal, Slug, Timestamp, TokenHash};

use crate::{
    GatewayView, Grant, Refusal,
    policy::{Filter, FilterChain},
};

/// Authenticated caller of a request. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller(Arc<CallerState>);

#[derive(PartialEq, Eq)]
struct CallerState {
    principal: Arc<Principal>,
    grant: Arc<Grant>,
    authn: Authn,
    /// Id of the token, for records only: no decision depends on it.
    token: Option<Slug>,
    admit: FilterChain,
}

/// Proof by which a caller was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authn {
    /// Identity of the proof, by which it is revoked and its requests are limited and ended.
    pub id: AuthnId,
    /// Kind of the proof.
    pub kind: AuthnKind,
    /// Time of expiry; unlimited if `None`.
    pub expires: Option<Timestamp>,
}

/// Kind of a proof, for display, records and the bookkeeping of usage: proofs of identity providers are not listed in a
/// view. No right depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthnKind {
    /// API token.
    ApiToken,
    /// Access token of the deployment's own authorization server.
    OAuth,
    /// Token of an external identity provider.
    IdentityProvider,
}

/// Opaque identity of a proof, uniformly distributed and not reversible to the proof. For an API token it is the keyed
/// hash of the token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthnId(pub [u8; 32]);

impl Caller {
    /// Creates a caller from what a verified proof stands for.
    pub fn new(principal: Arc<Principal>, grant: Arc<Grant>, authn: Authn) -> Self {
        Self(Arc::new(CallerState {
            principal,
            grant,
            authn,
            token: None,
            admit: FilterChain::default(),
        }))
    }

    /// Returns the caller with filters of the stage `admit`, which apply to all its requests.
    #[must_use]
    pub fn with_admit_filters(self, admit: FilterChain) -> Self {
        let Self(identity) = self;
        Self(Arc::new(CallerState {
            principal: Arc::clone(&identity.principal),
            grant: Arc::clone(&identity.grant),
            authn: identity.authn,
            token: identity.token.clone(),
            admit,
        }))
    }

    /// Returns the caller with the id of its token.
    #[must_use]
    pub fn with_token(self, id: Slug) -> Self {
        let Self(identity) = self;
        Self(Arc::new(CallerState {
            principal: Arc::clone(&identity.principal),
            grant: Arc::clone(&identity.grant),
            authn: identity.authn,
            token: Some(id),
            admit: identity.admit.clone(),
        }))
    }

    /// Id of the token, if the proof is one.
    pub fn token(&self) -> Option<&Slug> {
        self.0.token.as_ref()
    }

    /// Filters of the stage `admit` that apply to all requests of the caller.
    pub fn admit_filters(&self) -> &[Filter] {
        self.0.admit.filters()
    }

    /// Principal that the proof stands for.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.0.principal
    }

    /// Gateways that the caller may enter, and tools, prompts and resources that it may see and use.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.0.grant
    }

    /// Proof by which the caller was authenticated.
    pub fn authn(&self) -> &Authn {
        &self.0.authn
    }

    /// Returns `true` if the caller may enter this gateway: one of its own organization that its grant names.
    pub fn may_enter(&self, gateway: &GatewayView) -> bool {
        self.principal().org == gateway.name.org && self.grant().allows_gateway(&gateway.name.id)
    }

    /// Returns the routed gateway if it exists and this caller may enter it.
    pub fn authorize_gateway<'a>(
        &self,
        routed: Option<&'a Arc<GatewayView>>,
    ) -> Result<&'a Arc<GatewayView>, Refusal> {
        let may = |gateway: &&Arc<GatewayView>| self.may_enter(gateway);
        routed.filter(may).ok_or(Refusal::NoSuchPath)
    }
}

impl Authn {
    /// Returns `true` if the proof has not expired at `now`.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl From<TokenHash> for AuthnId {
    fn from(hash: TokenHash) -> Self {
        Self(hash.0)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("principal", &format_args!("{}", self.principal()))
            .field("authn", self.authn())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "AuthnId({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

#[cfg(test)]
mod tests;
