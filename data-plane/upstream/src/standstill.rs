//! A call of a modern client whose legacy server asks something in the middle of it: it stands still with its stream open,
//! and goes on when the client comes back.

use std::{fmt, sync::Arc};

use toolgate_data_core::{
    asking::Question,
    plan::CallPlan,
    rewrite::{ClientResponse, input_required},
};
use toolgate_mcp::{RpcError, message, object};
use toolgate_model::Digest;

use crate::{call::Order, exchange::Exchange, waiter::Waiter};

/// A call that waits. Dropped, it is taken back at its server.
pub struct Standstill {
    exchange: Box<Exchange>,
    asked: Vec<Asked>,
    /// Of the request, whose frame is not kept while its client is being waited for.
    digest: Option<Digest>,
}

/// One question.
struct Asked {
    /// The server's id for it, as written.
    id: Box<str>,
    question: Question,
    /// Our key for it; no two questions of one call have the same.
    key: String,
}

/// What there is to do now.
pub(crate) enum Settled {
    /// Tell the client.
    Reply(ClientResponse),
    /// Follow the call further.
    GoOn(Box<Exchange>),
}

impl Standstill {
    /// A running call whose server asks these, by its own ids.
    pub(crate) fn asked(mut exchange: Box<Exchange>, questions: Vec<(Box<str>, Question)>) -> Self {
        let asked = questions.into_iter().map(|(id, question)| Asked {
            id,
            question,
            key: format!("question-{}", exchange.turn()),
        });
        let asked = asked.collect();
        Self::of(exchange, asked)
    }

    fn of(exchange: Box<Exchange>, asked: Vec<Asked>) -> Self {
        let order = &exchange.order;
        let digest = order.plan.digest(&order.body);
        Self {
            exchange,
            asked,
            digest,
        }
    }

    /// What it was planned as.
    pub fn plan(&self) -> &Arc<CallPlan> {
        &self.exchange.order.plan
    }

    /// What a retry has to be equal to.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Has it kept by `waiter` and asks the client; or refuses the questions in the client's stead, and goes on.
    pub(crate) fn settle(mut self, waiter: &impl Waiter) -> Settled {
        self.exchange.hold();
        let plan = Arc::clone(self.plan());
        let asked = self.asked.iter();
        let asked: Vec<_> = asked
            .map(|one| (one.key.clone(), one.question.clone()))
            .collect();
        // Its server has had it: a client that stays away keeps no memory of ours with what it once sent.
        let body = self.exchange.let_go_of_body();
        match waiter.park(self) {
            Ok(state) => {
                let asked = asked.iter().map(|(key, question)| (&**key, question));
                Settled::Reply(input_required(&plan, asked, &state))
            }
            Err(mut kept) => {
                kept.exchange.take_back_body(body);
                kept.refused()
            }
        }
    }

    /// The client cannot be asked.
    fn refused(self) -> Settled {
        let Self {
            mut exchange,
            asked,
            digest: _,
        } = self;
        let error = RpcError::internal("the client cannot be asked now");
        for one in &asked {
            exchange.tell(error.to_bytes(Some(&one.id)));
        }
        exchange.go_on();
        Settled::GoOn(exchange)
    }

    /// Its client came back with `order`: the server hears the answers, and the call goes on. For what is not answered
    /// the client is asked again.
    pub(crate) fn taken_up(self, order: Order, waiter: &impl Waiter) -> Settled {
        let Self {
            mut exchange,
            asked,
            digest: _,
        } = self;
        let retry = order.plan.retry.as_ref();
        let responses = retry.and_then(|retry| retry.responses);
        let body = order.body.clone();
        let responses = responses.map_or(&b"{}"[..], |span| span.of(&body));
        exchange.taken_up(order);
        let mut open = Vec::new();
        for one in asked {
            let Some(answer) = object::get(responses, &one.key) else {
                open.push(one);
                continue;
            };
            exchange.go_on();
            let answer = String::from_utf8_lossy(answer);
            exchange.tell(message::response(&one.id, &answer));
        }
        if open.is_empty() {
            return Settled::GoOn(exchange);
        }
        Self::of(exchange, open).settle(waiter)
    }
}

impl fmt::Debug for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.asked.iter().map(|one| &one.key);
        f.debug_list().entries(keys).finish()
    }
}
