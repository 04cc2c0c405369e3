//! A call, from the plan to the answer, and who is told how it ended.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::StatusCode;
use toolgate_data_core::{
    Refusal,
    plan::{CallPlan, ClientSide},
    rewrite::Outcome,
    session_id::SessionFacts,
};
use toolgate_ingress::refuse::{empty, json, refuse};
use toolgate_model::Principal;
use toolgate_session::InFlightGuard;
use toolgate_upstream::{Answered, Order, Waiter};

use crate::{
    account::Account,
    limit::Place,
    pipeline::{Answer, Refused, respond_refused},
    plane::Plane,
    source::Source,
    streamed::Streamed,
};

use super::{body, events};

/// A call to be made.
pub(super) struct Errand {
    pub(super) plan: Arc<CallPlan>,
    pub(super) body: Bytes,
    pub(super) principal: Arc<Principal>,
    pub(super) session: Option<Arc<SessionFacts>>,
    pub(super) place: Place,
}

/// Whoever asked for a call. Lives as long as the call, also when its client has left.
struct Party {
    account: Account,
    in_flight: Option<InFlightGuard>,
    place: Place,
}

impl Waiter for Party {
    fn cancelled(&self) -> impl Future<Output = ()> + Send {
        let (in_flight, over) = (self.in_flight.as_ref(), self.place.ended());
        let taken_back = async move {
            match in_flight {
                Some(call) => call.cancelled().await,
                None => std::future::pending().await,
            }
        };
        async move {
            tokio::select! {
                () = taken_back => {}
                () = over => {}
            }
        }
    }

    fn ended(self, outcome: Outcome) {
        self.account.ended(outcome);
    }
}

/// Makes it.
pub(super) async fn call<S: Source>(
    plane: &Plane<S>,
    errand: Errand,
    mut account: Account,
) -> Answer {
    let Errand {
        plan,
        body: frame,
        principal,
        session,
        place,
    } = errand;
    account.calls(&plan);
    // Only legacy clients take a call back by a message, and only within their session.
    let facts = session.filter(|_| matches!(plan.client, ClientSide::Legacy { .. }));
    let in_flight = facts
        .as_ref()
        .map(|facts| plane.in_flight.enter(facts, &plan.id));
    let in_flight = match in_flight.transpose() {
        Ok(in_flight) => in_flight,
        Err(refusal) => {
            let id = Some(plan.id.clone());
            return respond_refused(&Refused { refusal, id }, account);
        }
    };
    let level = facts.as_ref().and_then(|facts| plane.sessions.level(facts));
    let order = Order {
        log_level: plan.log_level_with(level),
        plan: Arc::clone(&plan),
        body: frame,
        principal,
        trace: account.parent(),
    };
    let sent = account.now();
    let party = Party {
        account,
        in_flight,
        place,
    };
    let called = AssertUnwindSafe(plane.calls.call(order, party)).catch_unwind();
    let Ok(answered) = called.await else {
        let (method, name) = (plan.target.method(), plan.target.exposed());
        tracing::error!(method, name, "a call panicked; it alone was lost");
        return refuse(&Refusal::Internal, Some(&plan.id));
    };
    match answered {
        Answered::Reply(reply, mut party) => {
            party.account.waited(sent);
            party.account.ended(reply.outcome);
            let mut answer = json(reply.status, Bytes::new());
            *answer.body_mut() = body(reply.body);
            answer
        }
        Answered::Stream(stream) => events(Streamed::Call(stream)),
        Answered::Cancelled(party) if party.place.is_over() => {
            let refused = Refused::from(Refusal::Unauthenticated);
            respond_refused(&refused, party.account)
        }
        // Nobody waits for an answer, but HTTP has to end.
        Answered::Cancelled(_party) => empty(StatusCode::ACCEPTED),
    }
}
