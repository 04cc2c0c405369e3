//! Calls of servers: a planned request becomes a [`CallContext`], which a [`CallDriver`] carries to the server and
//! back.

mod cancellation;
mod detach;
mod driver;
mod effects;
mod elicitation_responses;
mod stream;

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::StatusCode;
use toolgate_data_core::{
    Refusal,
    call::{CallMachine, suspended::CallTicket},
    plan::{CallPlan, ClientProtocol},
    rewrite::ClientResponse,
};
use toolgate_ingress::response::{empty_response, json, refusal_response};
use toolgate_upstream::{CallContext, InFlightCall};

use crate::{
    config_source::ConfigSource,
    execute::{PlannedRequest, body, events},
    pipeline::{ClientHttpResponse, RequestRefusal, respond_refused},
    proxy_state::ProxyState,
    request_limiter::RequestPermit,
    request_metrics::RequestMeasurement,
    streamed::StreamBody,
};

use driver::{CallDriver, CallParts};
pub(crate) use elicitation_responses::ElicitationResponseSender;
pub use stream::CallStream;

/// A call that waits at its server for its modern client. Dropped, it is cancelled at the server.
pub(crate) struct SuspendedCall {
    machine: CallMachine,
    call: Option<InFlightCall>,
    /// Origin of the machine's monotonic time.
    began: std::time::Instant,
}

/// Outcome of a call for its request.
enum CallAnswer {
    /// A single message.
    Reply(ClientResponse, RequestMeasurement),
    /// A stream of messages. Its task finishes the measurement.
    Stream(CallStream),
    /// The call was cancelled; `revoked` if that is because its token was revoked.
    Cancelled {
        measurement: RequestMeasurement,
        revoked: bool,
    },
}

/// Builds the context of a planned call.
pub(crate) fn context<S: ConfigSource>(
    state: &ProxyState<S>,
    plan: Arc<CallPlan>,
    request: &PlannedRequest,
    measurement: &RequestMeasurement,
) -> CallContext {
    let caller = &request.caller;
    // Only legacy clients cancel a call by a message, and within their session.
    let legacy = matches!(plan.client, ClientProtocol::Legacy { .. });
    let session = request.session.claims().filter(|_| legacy).cloned();
    let level = session
        .as_ref()
        .and_then(|session| state.sessions.level(session));
    CallContext {
        log_level: plan.effective_log_level(level),
        log_requested: plan.sets_log_level(level),
        plan,
        body: request.received.body(),
        principal: Arc::clone(caller.principal()),
        holder: request.permit.budget_owner(),
        authn: caller.authn().id,
        expires: caller.authn().expires,
        session,
        cdn_loop: request.cdn_loop.clone(),
        trace: measurement.span_parent(),
    }
}

/// Serves a call.
pub(crate) async fn serve<S: ConfigSource>(
    state: &Arc<ProxyState<S>>,
    context: CallContext,
    permit: RequestPermit,
    mut measurement: RequestMeasurement,
) -> ClientHttpResponse {
    let plan = Arc::clone(&context.plan);
    measurement.set_call(&plan);
    let refused = |refusal, measurement| {
        let id = Some(plan.id.clone());
        respond_refused(&RequestRefusal { refusal, id }, measurement)
    };
    let session = context.session.as_ref();
    let cancellation_guard = session.map(|session| {
        state
            .cancellable_calls
            .enter(session, context.holder, &plan.id)
    });
    let cancellation_guard = match cancellation_guard.transpose() {
        Ok(cancellation_guard) => cancellation_guard,
        Err(refusal) => return refused(refusal, measurement),
    };
    let sent = measurement.now();
    let called = async {
        match suspended(state, &context).await {
            Ok(suspended) => {
                let parts = CallParts {
                    state: Arc::clone(state),
                    context,
                    permit,
                    cancellation_guard,
                    measurement,
                    began: sent,
                };
                Ok(CallDriver::run(parts, suspended).await)
            }
            Err(refusal) => Err((refusal, measurement)),
        }
    };
    let Ok(called) = AssertUnwindSafe(called).catch_unwind().await else {
        return panicked(&plan);
    };
    match called {
        Err((refusal, measurement)) => refused(refusal, measurement),
        Ok(CallAnswer::Reply(reply, mut measurement)) => {
            measurement.set_upstream_wait(sent);
            measurement.add_response_bytes(reply.body.len() as u64);
            measurement.finish_call(reply.outcome);
            let mut answer = json(reply.status, Bytes::new());
            *answer.body_mut() = body(reply.body);
            answer
        }
        Ok(CallAnswer::Stream(stream)) => events(StreamBody::Call(stream)),
        Ok(CallAnswer::Cancelled {
            measurement,
            revoked,
        }) if revoked => {
            let refused = RequestRefusal::from(Refusal::Unauthenticated);
            respond_refused(&refused, measurement)
        }
        // No answer is expected, but the HTTP exchange has to end.
        Ok(CallAnswer::Cancelled { .. }) => empty_response(StatusCode::ACCEPTED),
    }
}

fn panicked(plan: &CallPlan) -> ClientHttpResponse {
    let (method, name) = (plan.target.method(), plan.target.exposed_name());
    tracing::error!(method, name, "a call panicked; it alone was lost");
    refusal_response(&Refusal::Internal, Some(&plan.id))
}

/// Claims the suspended call that the request continues, if any: the call itself is never sent again.
async fn suspended<S: ConfigSource>(
    state: &ProxyState<S>,
    context: &CallContext,
) -> Result<Option<SuspendedCall>, Refusal> {
    let Some(continuation) = &context.plan.continuation else {
        return Ok(None);
    };
    let invalid = |text: &'static str| Refusal::InvalidParams(text.into());
    let CallTicket { owner, handle, .. } = &continuation.ticket;
    if owner.proxy != *state.source.proxy_id() {
        return Err(invalid(
            "`requestState` is of a proxy that cannot be reached: send the request afresh",
        ));
    }
    // The plan has checked by the ticket's digest that this is the same request to the same server.
    let claimed = state.suspended.claim(handle, &context.principal).await;
    let used = "`requestState` was used already, or its time is over";
    claimed.map(Some).ok_or_else(|| invalid(used))
}
