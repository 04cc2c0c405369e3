//! Whoever asked for a call: what it holds while the call lasts, and how its client is asked something.

use std::{future::Future, sync::Arc};

use toolgate_data_core::{
    GatewayView,
    entrusted::{self, Entrusted},
    parked::Ticket,
    rewrite::CallOutcome,
    seal::SealContext,
    session::session_id::SessionClaims,
    visit::{self, Visit},
};
use toolgate_model::{Principal, Timestamp, TokenHash};
use toolgate_runtime::random;
use toolgate_session::InFlightGuard;
use toolgate_upstream::{Answers, Named, Order, Standstill, Waiter};

use crate::{
    config_source::{ConfigSource, KeySet as _},
    limit::RequestPermit,
    proxy_state::{ElicitingCall, ProxyState},
    request_metrics::RequestMeasurement,
};

/// Whoever asked for a call. Lives as long as the call, also when its client has left.
pub(super) struct Party<S: ConfigSource> {
    pub(super) account: RequestMeasurement,
    pub(super) in_flight: Option<InFlightGuard>,
    pub(super) place: RequestPermit,
    pub(super) plane: Arc<ProxyState<S>>,
    pub(super) principal: Arc<Principal>,
    /// Through which gateway.
    pub(super) gateway: Arc<GatewayView>,
    /// What its client is let in by.
    pub(super) token: TokenHash,
    /// When the token of its client stops working.
    pub(super) expires: Option<Timestamp>,
    /// Of legacy clients.
    pub(super) session: Option<Arc<SessionClaims>>,
}

impl<S: ConfigSource> Waiter for Party<S> {
    fn cancelled(&self) -> impl Future<Output = ()> + Send {
        let (in_flight, over) = (self.in_flight.as_ref(), self.place.token_ended());
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

    fn name(&self, answers: &Answers) -> Option<Named> {
        let session = self.session.as_ref()?;
        let asker = ElicitingCall {
            answers: answers.clone(),
            call: self.in_flight.as_ref()?.take_back(),
            gateway: self.gateway.name.id.clone(),
            token: self.token,
        };
        let (questions, sessions) = (&self.plane.questions, &self.plane.sessions);
        let asked = questions.ask(session, &self.principal, asker.clone())?;
        // Looked at only now: a session or a gateway that ends from here on finds the question.
        if sessions.has_ended(session) || !asker.is_served(&self.plane.source.view()) {
            return None;
        }
        Some(Named {
            id: asked.id().clone(),
            kept: Box::new(asked),
        })
    }

    fn until(&self) -> Option<Timestamp> {
        self.expires
    }

    fn park(&self, call: Standstill) -> Result<String, Box<Standstill>> {
        let (Some(keys), Some(request)) = (self.plane.source.keys(), call.digest()) else {
            return Err(Box::new(call));
        };
        let ticket = Ticket {
            handle: random::bytes(),
            request,
            home: self.plane.peers.this_proxy(),
        };
        let binding = SealContext {
            gateway: &self.gateway.name.id,
            principal: &self.principal,
        };
        let state = ticket.seal(keys.sealer(), binding, &random::bytes());
        let parked = self
            .plane
            .parking
            .park(ticket.handle, &self.principal, binding.gateway, call);
        // Looked at only now: a gateway that is removed from here on finds the call.
        let view = self.plane.source.view();
        if view.gateway(self.gateway.name.id.as_str()).is_none() {
            self.plane.cancel_unserved(&view);
        }
        parked.map(|()| state).map_err(Box::new)
    }

    fn entrust(&self, order: &Order, literal: &str) -> Option<String> {
        let keys = self.plane.source.keys()?;
        let entrusted = Entrusted {
            request: order.plan.digest(&order.body)?,
            until: self.plane.clock.now().after(entrusted::LIFE),
            literal: literal.into(),
        };
        let binding = SealContext {
            gateway: &order.plan.gateway.name.id,
            principal: &self.principal,
        };
        entrusted.seal(keys.sealer(), binding, &random::bytes())
    }

    fn visit(&self, order: &Order, pages: u8) -> Option<String> {
        let keys = self.plane.source.keys()?;
        let visit = Visit {
            request: order.plan.digest(&order.body)?,
            until: self.plane.clock.now().after(visit::LIFE),
            times: order.visits.saturating_add(1),
            pages,
        };
        let binding = SealContext {
            gateway: &order.plan.gateway.name.id,
            principal: &self.principal,
        };
        Some(visit.seal(keys.sealer(), binding, &random::bytes()))
    }

    fn ended(self, outcome: CallOutcome) {
        self.account.finish_call(outcome);
    }
}
