//! What a session header is worth. An id that was opened is remembered, so that no seal is computed twice.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;
use toolgate_data_core::{
    Caller, GatewayView, Sealer,
    seal::Binding,
    session_id::{self, SessionFacts},
};
use toolgate_ingress::Slot;
use toolgate_model::{Principal, Slug, Timestamp};
use toolgate_session::Sessions;

use crate::frame;

/// Ids that are remembered.
const REMEMBERED: u64 = 50_000;

/// How long: keys that rotate out take what they sealed with them.
const KEPT: Duration = Duration::from_secs(300);

/// Ids that have been opened.
pub(crate) struct Opened(Cache<Box<str>, Arc<Known>>);

/// What an id was opened for, and what it says.
struct Known {
    text: Box<str>,
    gateway: Slug,
    principal: Arc<Principal>,
    facts: Arc<SessionFacts>,
}

/// As the core's, but owned.
#[derive(Debug, Clone)]
pub(crate) enum Session {
    /// There was no header.
    Absent,
    /// It opened nothing for this caller and gateway, or its session is over.
    Unknown,
    /// It is this one.
    Open(Arc<SessionFacts>),
}

impl Opened {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder().max_capacity(REMEMBERED).time_to_live(KEPT);
        Self(cache.build())
    }

    /// The session that the header names.
    pub(crate) fn session(
        &self,
        headers: &HeaderMap,
        sealer: &Sealer,
        gateway: &GatewayView,
        caller: &Caller,
        sessions: &Sessions,
        slot: &Slot,
    ) -> Session {
        let mut values = headers.get_all(frame::SESSION).iter();
        let text = match (values.next(), values.next()) {
            (None, _) => return Session::Absent,
            (Some(value), None) => HeaderValue::to_str(value).unwrap_or_default(),
            (Some(_), Some(_)) => return Session::Unknown,
        };
        match self.facts(
            text,
            (sealer, sessions.now()),
            &gateway.name.id,
            caller.principal(),
            slot,
        ) {
            Some(facts) if !sessions.is_over(&facts) => Session::Open(facts),
            Some(_) | None => Session::Unknown,
        }
    }

    fn facts(
        &self,
        text: &str,
        (sealer, now): (&Sealer, Timestamp),
        gateway: &Slug,
        principal: &Arc<Principal>,
        slot: &Slot,
    ) -> Option<Arc<SessionFacts>> {
        // Most connections carry one session; the others' ids are found here as well, a little later.
        let last = slot.get::<Known>().filter(|known| *known.text == *text);
        let known = match last.or_else(|| self.0.get(text)) {
            Some(known) => known,
            None => {
                let binding = Binding { gateway, principal };
                let facts = session_id::open(sealer, binding, text, now)?;
                let known = Arc::new(Known {
                    text: text.into(),
                    gateway: gateway.clone(),
                    principal: Arc::clone(principal),
                    facts: Arc::new(facts),
                });
                self.0.insert(text.into(), Arc::clone(&known));
                slot.put(Arc::clone(&known));
                known
            }
        };
        // Someone else's id is as unknown as one that was never made.
        let same = known.gateway == *gateway && known.principal == *principal;
        same.then(|| Arc::clone(&known.facts))
    }
}
