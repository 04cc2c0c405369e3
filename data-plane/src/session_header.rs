//! Resolves the `Mcp-Session-Id` header to a session. Opened ids are cached for some minutes.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;
use toolgate_data_core::{
    Caller, ClientStateCipher, GatewayView,
    client_state::StateContext,
    plan::SessionLookup,
    session::session_id::{self, SessionClaims},
};
use toolgate_ingress::CacheSlot;
use toolgate_model::{Principal, Slug, Timestamp};
use toolgate_session::SessionRegistry;

use crate::transport_request;

/// Maximum number of cached ids.
const MAX_CACHED_IDS: u64 = 50_000;

/// Lifetime of a cached id; bounded because ids must become invalid when their key is rotated out.
const CACHE_TTL: Duration = Duration::from_secs(300);

/// Cache of opened session ids.
pub(crate) struct SessionIdCache {
    opened: Cache<Box<str>, Arc<CachedSessionId>>,
}

/// Content of an id, with the gateway and principal that it was opened for.
struct CachedSessionId {
    text: Box<str>,
    gateway: Slug,
    principal: Arc<Principal>,
    claims: Arc<SessionClaims>,
    opened_at: Timestamp,
}

/// Result of resolving the session header; the owned form of the core's `SessionLookup`.
#[derive(Debug, Clone)]
pub(crate) enum SessionHeader {
    /// The header is absent.
    Absent,
    /// The id is not valid for this caller and gateway, or its session has expired or was terminated on this proxy.
    Unknown,
    /// The id is valid, and this proxy knows of no end of the session.
    Valid(Arc<SessionClaims>),
}

impl SessionHeader {
    /// Converts the session to the input of a plan.
    pub(crate) fn as_lookup(&self) -> SessionLookup<'_> {
        match self {
            Self::Absent => SessionLookup::Absent,
            Self::Unknown => SessionLookup::Unknown,
            Self::Valid(claims) => SessionLookup::Valid(claims),
        }
    }

    /// Returns the claims of an open session.
    pub(crate) fn claims(&self) -> Option<&Arc<SessionClaims>> {
        match self {
            Self::Valid(claims) => Some(claims),
            Self::Absent | Self::Unknown => None,
        }
    }
}

impl SessionIdCache {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_CACHED_IDS)
            .time_to_live(CACHE_TTL);
        Self {
            opened: cache.build(),
        }
    }

    /// Checks the session id of a request: that it decrypts for its gateway, principal and opener, and that its session has
    /// neither expired nor been terminated on this proxy. Other proxies do not know of a termination; `session_id.rs` of
    /// `data-plane/core` has the content of an id and its lifetime.
    pub(crate) fn check_session_id(
        &self,
        headers: &HeaderMap,
        cipher: &ClientStateCipher,
        gateway: &GatewayView,
        caller: &Caller,
        sessions: &SessionRegistry,
        slot: &CacheSlot,
    ) -> SessionHeader {
        let mut values = headers.get_all(transport_request::SESSION).iter();
        let text = match (values.next(), values.next()) {
            (None, _) => return SessionHeader::Absent,
            (Some(value), None) => HeaderValue::to_str(value).unwrap_or_default(),
            (Some(_), Some(_)) => return SessionHeader::Unknown,
        };
        match self.claims(
            text,
            (cipher, sessions.now()),
            &gateway.name.id,
            caller.principal(),
            slot,
        ) {
            Some(claims) if claims.opener.admits(caller) && !sessions.has_ended(&claims) => {
                SessionHeader::Valid(claims)
            }
            Some(_) | None => SessionHeader::Unknown,
        }
    }

    fn claims(
        &self,
        text: &str,
        (cipher, now): (&ClientStateCipher, Timestamp),
        gateway: &Slug,
        principal: &Arc<Principal>,
        slot: &CacheSlot,
    ) -> Option<Arc<SessionClaims>> {
        // Most connections carry one session. Ids of other sessions are found in the shared cache, at a higher cost.
        let is_fresh = |known: &Arc<CachedSessionId>| now.since(known.opened_at) < CACHE_TTL;
        let last = slot
            .get::<CachedSessionId>()
            .filter(|known| *known.text == *text && is_fresh(known));
        if let Some(known) = last {
            return known.claims_of(gateway, principal);
        }
        let known = match self.opened.get(text).filter(is_fresh) {
            Some(known) => known,
            None => {
                let context = StateContext { gateway, principal };
                let claims = session_id::decrypt(cipher, context, text, now)?;
                let known = Arc::new(CachedSessionId {
                    text: text.into(),
                    gateway: gateway.clone(),
                    principal: Arc::clone(principal),
                    claims: Arc::new(claims),
                    opened_at: now,
                });
                self.opened.insert(text.into(), Arc::clone(&known));
                known
            }
        };
        slot.put(Arc::clone(&known));
        known.claims_of(gateway, principal)
    }
}

impl CachedSessionId {
    /// Returns the claims. An id of another principal or gateway is treated like an invalid one.
    fn claims_of(&self, gateway: &Slug, principal: &Arc<Principal>) -> Option<Arc<SessionClaims>> {
        let same = self.gateway == *gateway && self.principal == *principal;
        same.then(|| Arc::clone(&self.claims))
    }
}

#[cfg(test)]
mod tests;
