//! The context of one call, from the request handler to the server and back.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use toolgate_data_core::{
    AuthnId,
    plan::CallPlan,
    session::{
        LogLevel,
        session_id::{RANDOM_LEN, SessionClaims},
    },
};
use toolgate_model::{Principal, Timestamp};
use toolgate_runtime::{budget::BudgetOwner, trace::SpanParent};

/// All that is known of a call when it begins.
#[derive(Clone)]
pub struct CallContext {
    /// Plan of the request.
    pub plan: Arc<CallPlan>,
    /// Frame of the client, which the plan refers to.
    pub body: Bytes,
    /// Principal of the caller.
    pub principal: Arc<Principal>,
    /// Budget owner of the answer, and of the call's share of a crowded server.
    pub holder: BudgetOwner,
    /// Proof by which the client was authenticated.
    pub authn: AuthnId,
    /// Time at which that proof expires.
    pub expires: Option<Timestamp>,
    /// Session of a legacy client.
    pub session: Option<Arc<SessionClaims>>,
    /// Minimum severity of log messages, from [`CallPlan::effective_log_level`].
    pub log_level: Option<LogLevel>,
    /// `true` if the client asked for log messages, from [`CallPlan::sets_log_level`].
    pub log_requested: bool,
    /// `CDN-Loop` of the client: the deployments that the request has passed.
    pub cdn_loop: Option<HeaderValue>,
    /// Span of the request.
    pub trace: Option<SpanParent>,
}

impl CallContext {
    /// Returns the random part of the client's legacy session: servers may keep sessions apart by it.
    pub(crate) fn conversation(&self) -> Option<[u8; RANDOM_LEN]> {
        self.session.as_ref().map(|session| session.random)
    }
}
