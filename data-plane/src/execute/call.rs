//! A call, from the plan to the answer, and who is told how it ended.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::StatusCode;
use toolgate_data_core::{
    Refusal,
    parked::Ticket,
    plan::{CallPlan, ClientProtocol},
    refusal::UpstreamFailure,
    rewrite::failure_response,
    session::session_id::SessionClaims,
};
use toolgate_ingress::response::{empty_response, json, refusal_response};
use toolgate_model::{Principal, Timestamp, TokenHash};
use toolgate_upstream::{Answered, Order};

use crate::{
    config_source::ConfigSource,
    limit::RequestPermit,
    pipeline::{Answer, Refused, respond_refused},
    proxy_state::ProxyState,
    request_metrics::RequestMeasurement,
    streamed::Streamed,
};

use super::{body, events, party::Party};

/// A call to be made.
pub(super) struct Errand {
    pub(super) plan: Arc<CallPlan>,
    pub(super) body: Bytes,
    pub(super) principal: Arc<Principal>,
    pub(super) token: TokenHash,
    pub(super) expires: Option<Timestamp>,
    pub(super) session: Option<Arc<SessionClaims>>,
    pub(super) place: RequestPermit,
}

/// Makes it.
pub(super) async fn call<S: ConfigSource>(
    plane: &Arc<ProxyState<S>>,
    errand: Errand,
    mut account: RequestMeasurement,
) -> Answer {
    let Errand {
        plan,
        body: frame,
        principal,
        token,
        expires,
        session,
        place,
    } = errand;
    account.set_call(&plan);
    // Only legacy clients take a call back by a message, and only within their session.
    let facts = session.filter(|_| matches!(plan.client, ClientProtocol::Legacy { .. }));
    let in_flight = facts
        .as_ref()
        .map(|facts| plane.in_flight.enter(facts, place.budget_owner(), &plan.id));
    let in_flight = match in_flight.transpose() {
        Ok(in_flight) => in_flight,
        Err(refusal) => {
            let id = Some(plan.id.clone());
            return respond_refused(&Refused { refusal, id }, account);
        }
    };
    let level = facts.as_ref().and_then(|facts| plane.sessions.level(facts));
    let order = Order {
        log_level: plan.effective_log_level(level),
        log_asked: plan.sets_log_level(level),
        plan: Arc::clone(&plan),
        body: frame,
        principal: Arc::clone(&principal),
        holder: place.budget_owner(),
        conversation: facts.as_ref().map(|facts| facts.random),
        trace: account.span_parent(),
        visits: plan.visited.map_or(0, |visited| visited.times),
    };
    let sent = account.now();
    let party = Party {
        account,
        in_flight,
        place,
        plane: Arc::clone(plane),
        principal,
        gateway: Arc::clone(&plan.gateway),
        token,
        expires,
        session: facts,
    };
    let called = AssertUnwindSafe(make(plane, order, party)).catch_unwind();
    let Ok(answered) = called.await else {
        return panicked(&plan);
    };
    let answered = match answered {
        Ok(answered) => answered,
        Err((refusal, party)) => {
            let id = Some(plan.id.clone());
            return respond_refused(&Refused { refusal, id }, party.account);
        }
    };
    match answered {
        Answered::Reply(reply, mut party) => {
            party.account.set_upstream_wait(sent);
            party.account.finish_call(reply.outcome);
            let mut answer = json(reply.status, Bytes::new());
            *answer.body_mut() = body(reply.body);
            answer
        }
        Answered::Stream(stream) => events(Streamed::Call(stream)),
        Answered::Cancelled(party) if party.place.is_token_ended() => {
            let refused = Refused::from(Refusal::Unauthenticated);
            respond_refused(&refused, party.account)
        }
        // Nobody waits for an answer, but HTTP has to end.
        Answered::Cancelled(_party) => empty_response(StatusCode::ACCEPTED),
    }
}

fn panicked(plan: &CallPlan) -> Answer {
    let (method, name) = (plan.target.method(), plan.target.exposed_name());
    tracing::error!(method, name, "a call panicked; it alone was lost");
    refusal_response(&Refusal::Internal, Some(&plan.id))
}

/// Makes the call, or goes on with the one that it is a retry of: that is never made twice.
async fn make<S: ConfigSource>(
    plane: &ProxyState<S>,
    order: Order,
    party: Party<S>,
) -> Result<Answered<Party<S>>, (Refusal, Party<S>)> {
    if order.plan.visited.is_some_and(|visited| visited.declined) {
        let reply = failure_response(&order.plan, UpstreamFailure::InputNotGiven);
        return Ok(Answered::Reply(reply, party));
    }
    let Some(retry) = &order.plan.retry else {
        return Ok(plane.calls.call(order, party).await);
    };
    let invalid = |text: &'static str| Refusal::InvalidParams(text.into());
    let Ticket { home, handle, .. } = &retry.ticket;
    if home.proxy != *plane.source.proxy_id() {
        let refusal =
            invalid("`requestState` is of a proxy that cannot be reached: send the request afresh");
        return Err((refusal, party));
    }
    let kept = plane.parking.claim(handle, &party.principal).await;
    // That it is the same request to the same server, the plan has made sure of by the ticket's digest.
    match kept {
        Some(kept) => Ok(plane.calls.resume(kept, order, party).await),
        None => {
            let refusal = invalid("`requestState` was used already, or its time is over");
            Err((refusal, party))
        }
    }
}
