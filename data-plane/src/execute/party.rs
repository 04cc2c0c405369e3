//! Whoever asked for a call: what it holds while the call lasts, and how its client is asked something.

use std::{future::Future, sync::Arc};

use toolgate_data_core::{
    parked::Ticket, rewrite::Outcome, seal::Binding, session_id::SessionFacts,
};
use toolgate_model::Principal;
use toolgate_runtime::random;
use toolgate_session::InFlightGuard;
use toolgate_upstream::{Answers, Named, Standstill, Waiter};

use crate::{
    account::Account,
    limit::Place,
    plane::Plane,
    source::{KeySet as _, Source},
};

/// Whoever asked for a call. Lives as long as the call, also when its client has left.
pub(super) struct Party<S: Source> {
    pub(super) account: Account,
    pub(super) in_flight: Option<InFlightGuard>,
    pub(super) place: Place,
    pub(super) plane: Arc<Plane<S>>,
    pub(super) principal: Arc<Principal>,
    /// Of legacy clients.
    pub(super) session: Option<Arc<SessionFacts>>,
}

impl<S: Source> Waiter for Party<S> {
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

    fn name(&self, answers: &Answers) -> Option<Named> {
        let session = self.session.as_ref()?;
        let questions = &self.plane.questions;
        let asked = questions.ask(session, &self.principal, answers.clone())?;
        Some(Named {
            id: asked.id().clone(),
            kept: Box::new(asked),
        })
    }

    fn park(&self, call: Standstill) -> Result<String, Box<Standstill>> {
        let (Some(keys), Some(request)) = (self.plane.source.keys(), call.digest()) else {
            return Err(Box::new(call));
        };
        let ticket = Ticket {
            handle: random::bytes(),
            request,
            home: self.plane.neighbours.here(),
        };
        let gateway = call.plan().gateway.name.id.clone();
        let binding = Binding {
            gateway: &gateway,
            principal: &self.principal,
        };
        let state = ticket.seal(keys.sealer(), binding, &random::bytes());
        let parked = self
            .plane
            .parking
            .park(ticket.handle, &self.principal, call);
        parked.map(|()| state).map_err(Box::new)
    }

    fn ended(self, outcome: Outcome) {
        self.account.ended(outcome);
    }
}
