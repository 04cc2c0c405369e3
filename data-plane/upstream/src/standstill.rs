//! A call of a modern client whose legacy server asks something: the client is answered with the question, the call
//! stands still with its stream open, and goes on when the client comes back.

use std::{fmt, sync::Arc};

use toolgate_data_core::{
    asking::Question,
    plan::CallPlan,
    rewrite::{Reply, input_required},
};
use toolgate_mcp::{RpcError, message, object};
use toolgate_model::Digest;

use crate::{call::Order, exchange::Exchange, waiter::Waiter};

/// A call that stands still. Dropped, it is taken back at its server.
pub struct Standstill {
    pub(crate) exchange: Box<Exchange>,
    /// The server's id for what it asks, as written.
    id: Box<str>,
    question: Question,
    /// Our key for it; no two questions of one call have the same.
    key: String,
}

impl Standstill {
    pub(crate) fn new(
        exchange: Box<Exchange>,
        id: Box<str>,
        question: Question,
        turn: u64,
    ) -> Self {
        Self {
            exchange,
            id,
            question,
            key: format!("question-{turn}"),
        }
    }

    /// What it was planned as.
    pub fn plan(&self) -> &Arc<CallPlan> {
        &self.exchange.order.plan
    }

    /// What a retry has to be equal to.
    pub fn digest(&self) -> Option<Digest> {
        let order = &self.exchange.order;
        order.plan.digest(&order.body)
    }

    /// Has it kept by `waiter` and asks the client; or refuses the question in the client's stead, and goes on.
    pub(crate) fn settle(mut self, waiter: &impl Waiter) -> Result<Reply, Box<Exchange>> {
        self.exchange.hold();
        let (plan, key, question) = (
            Arc::clone(self.plan()),
            self.key.clone(),
            self.question.clone(),
        );
        match waiter.park(self) {
            Ok(state) => Ok(input_required(&plan, &key, &question, &state)),
            Err(kept) => {
                let error = RpcError::internal("the client cannot be asked now");
                let refused = error.to_bytes(Some(&kept.id));
                let mut exchange = kept.exchange;
                exchange.tell(refused);
                exchange.go_on();
                Err(exchange)
            }
        }
    }

    /// Its client came back with `order`: the server hears the answer, and the call goes on. Without an answer the client
    /// is asked again.
    pub(crate) fn taken_up(
        mut self,
        order: Order,
        waiter: &impl Waiter,
    ) -> Result<Reply, Box<Exchange>> {
        let retry = order.plan.retry.as_ref();
        let responses = retry.and_then(|retry| retry.responses);
        let body = order.body.clone();
        let responses = responses.map_or(&b"{}"[..], |span| span.of(&body));
        self.exchange.taken_up(order);
        let Some(answer) = object::get(responses, &self.key) else {
            return self.settle(waiter);
        };
        let answer = String::from_utf8_lossy(answer);
        self.exchange.go_on();
        self.exchange.tell(message::response(&self.id, &answer));
        Err(self.exchange)
    }
}

impl fmt::Debug for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Standstill({})", self.key)
    }
}
