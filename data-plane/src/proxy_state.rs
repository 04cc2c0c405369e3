//! State that all requests share.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use toolgate_data_core::{
    AuthnId, Caller, Refusal, View,
    notify::view_change::{self, ViewComparison},
    plan::CallPlan,
};
use toolgate_model::{SessionSharing, Slug};
use toolgate_peers::Peers;
use toolgate_runtime::{Drain, SharedClock};
use toolgate_session::{
    CancelHandle, CancellableCalls, ChangeFeeds, ElicitationRegistry, SessionContext,
    SessionRegistry, SubscriptionRegistry, SuspendedCalls, UpstreamSessionRegistry,
};
use toolgate_upstream::{UpstreamClient, UpstreamRegistry, UpstreamSessionHandle};

use crate::{
    call::{ElicitationResponseSender, SuspendedCall},
    config_source::ConfigSource,
    event_limiter::EventLimiter,
    rate_limit::RateLimiter,
    request_limiter::{RequestLimiter, RequestPermit},
    request_metrics::RequestMetrics,
    session_header::SessionIdCache,
    session_refusal_log::MAX_ANONYMOUS,
    verified_callers::VerifiedCallers,
};

/// State of a proxy's request path.
pub(crate) struct ProxyState<S: ConfigSource> {
    pub(crate) source: S,
    pub(crate) clock: SharedClock,
    pub(crate) drain: Drain,
    pub(crate) limiter: RequestLimiter,
    pub(crate) rate_limits: RateLimiter,
    pub(crate) verified_callers: VerifiedCallers,
    pub(crate) session_cache: SessionIdCache,
    /// Events about session ids that came without a valid token.
    pub(crate) anonymous_events: EventLimiter<MAX_ANONYMOUS>,
    pub(crate) sessions: SessionRegistry,
    pub(crate) subscriptions: SubscriptionRegistry,
    pub(crate) change_feeds: ChangeFeeds,
    pub(crate) cancellable_calls: CancellableCalls,
    pub(crate) peers: Peers,
    pub(crate) upstream_sessions: UpstreamSessionRegistry<UpstreamSessionHandle>,
    pub(crate) elicitations: ElicitationRegistry<ElicitingCall>,
    pub(crate) suspended: SuspendedCalls<SuspendedCall>,
    pub(crate) upstream: Arc<UpstreamRegistry>,
    pub(crate) calls: UpstreamClient,
    pub(crate) metrics: Arc<RequestMetrics>,
}

/// Call of a legacy client that waits for the client's answer to a server request.
#[derive(Debug, Clone)]
pub(crate) struct ElicitingCall {
    /// Receiver of the answer.
    pub(crate) elicitation_responses: ElicitationResponseSender,
    /// Cancels the call if no answer can come any more.
    pub(crate) call: CancelHandle,
    /// Gateway of the client.
    pub(crate) gateway: Slug,
    /// Proof by which the client was authenticated.
    pub(crate) authn: AuthnId,
    /// Plan of the call.
    pub(crate) plan: Arc<CallPlan>,
}

impl ElicitingCall {
    /// Returns `true` if the client is still served and can answer.
    pub(crate) fn is_served(&self, view: &View) -> bool {
        view_change::is_served(view, &self.gateway, &self.authn)
    }
}

/// Interval at which a drain checks for questions that wait for clients.
const QUESTION_POLL: Duration = Duration::from_millis(50);

/// Time without a question after which no further one is expected: an answer may be followed by the next question.
const QUESTION_GRACE: Duration = Duration::from_secs(1);

impl<S: ConfigSource> ProxyState<S> {
    /// Completes when no client is expected to answer a question of a call on this proxy any more, or when the drain is
    /// near its deadline.
    pub(crate) async fn questions_answered(&self) {
        let answered = async {
            let mut left = Duration::ZERO;
            loop {
                if self.elicitations.count() + self.suspended.count() > 0 {
                    left = QUESTION_GRACE;
                } else if left.is_zero() {
                    return;
                }
                sleep(QUESTION_POLL).await;
                left = left.saturating_sub(QUESTION_POLL);
            }
        };
        tokio::select! {
            () = answered => {}
            () = self.drain.deadline_near() => {}
        }
    }

    /// Returns a permit for one request. A later revocation, or a view without the proof, ends the request through its permit;
    /// one between authentication and this call is detected here.
    pub(crate) fn acquire_permit(&self, caller: &Caller) -> Result<RequestPermit, Refusal> {
        let permit = self.limiter.acquire(caller)?;
        let authn = &caller.authn().id;
        if self.source.is_revoked(authn) || !self.source.view().is_known(authn) {
            return Err(Refusal::Unauthenticated);
        }
        Ok(permit)
    }

    /// Handles the termination of a legacy session by its client. Calls that wait for the client's answers are
    /// cancelled, and upstream sessions that serve this session alone end.
    pub(crate) fn session_ended(&self, subject: SessionContext<'_>) {
        for eliciting_call in self.elicitations.session_over(&subject.claims.random) {
            eliciting_call.call.cancel();
        }
        let mut servers = subject.gateway.servers.iter();
        if servers.any(|server| server.sharing == SessionSharing::PerSession) {
            self.upstream_sessions
                .end_for_session(&subject.claims.random);
        }
    }

    /// Cancels suspended calls of modern clients whose gateway was removed or denied, or whose token was removed: their
    /// clients cannot come back.
    pub(crate) fn cancel_unserved(&self, view: &View) {
        self.suspended.retain(|gateway, authn| {
            let gateway = view.gateway(gateway.as_str());
            let is_served = gateway.is_some_and(|gateway| gateway.denied.is_none());
            is_served && view.is_known(authn) && !self.source.is_revoked(authn)
        });
    }

    /// Ends all requests of revoked proofs, streams and suspended calls included.
    pub(crate) fn end_revoked<'a>(&self, revoked: impl Iterator<Item = &'a AuthnId>) {
        revoked.for_each(|authn| self.limiter.end_authn(authn));
        self.cancel_unserved(&self.source.view());
    }

    /// Handles a new view: drops state of what was removed and notifies clients of changed lists.
    pub(crate) fn view_changed(&self, before: &View, after: &View) {
        let mut views = ViewComparison::new(before, after);
        self.sessions.view_changed(&mut views);
        self.subscriptions.view_changed(&mut views);
        self.change_feeds.view_changed(after);
        for eliciting_call in self
            .elicitations
            .take_if(|eliciting_call| !eliciting_call.is_served(after))
        {
            eliciting_call.call.cancel();
        }
        self.cancel_unserved(after);
        self.upstream_sessions.view_changed(after);
        self.upstream.retain_current();
        self.metrics.retain(after);
        self.limiter.retain(|authn| after.is_known(authn));
        self.rate_limits.retain(after);
    }
}
