//! Facts about a request that its record has and its metrics have not.

use std::sync::Arc;

use toolgate_data_core::{Caller, Refusal, plan::CallPlan};
use toolgate_sync::{ClientName, requested_name};

/// Facts about a request, collected while it is served.
#[derive(Default)]
pub(super) struct RequestFacts {
    /// Caller, once it is known to be allowed to enter the gateway.
    pub(super) caller: Option<Caller>,
    /// Client program.
    pub(super) client: ClientName,
    /// Size of the message of the client.
    pub(super) request_bytes: u64,
    /// Size of the response.
    pub(super) response_bytes: u64,
    /// Call that was refused before it was made.
    pub(super) refused_call: Option<Arc<CallPlan>>,
    /// Name that a refused request asked for.
    pub(super) requested: Option<Box<str>>,
}

impl RequestFacts {
    /// Keeps the name that the refused request asked for. Refusals are rare, so that it may be copied.
    pub(super) fn set_refusal(&mut self, refusal: &Refusal) {
        self.requested = refusal.requested_name().map(requested_name);
    }
}
