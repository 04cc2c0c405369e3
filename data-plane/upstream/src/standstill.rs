//! A call of a modern client that has to wait for somebody: a legacy server asks something in the middle of it, which
//! stands still with its stream open and goes on when the client comes back; or the server sends somebody to a page
//! before it runs the call, which is made when they have been there.

use std::{fmt, sync::Arc};

use toolgate_data_core::{
    asking::{Question, ROUNDS},
    plan::CallPlan,
    refusal::UpstreamFailure,
    rewrite::{Reply, failed, input_required, links},
};
use toolgate_mcp::{RpcError, message, object};
use toolgate_model::Digest;

use crate::{call::Order, exchange::Exchange, waiter::Waiter};

/// A call that waits. Dropped, it is taken back at its server.
pub struct Standstill {
    stage: Stage,
    asked: Vec<Asked>,
}

/// How far the call has come.
enum Stage {
    /// It runs.
    Running(Box<Exchange>),
    /// Its server has not run it.
    Refused(Arc<Order>),
}

/// One question.
struct Asked {
    /// The server's id for it, as written; none of a page.
    id: Option<Box<str>>,
    question: Question,
    /// Our key for it; no two questions of one call have the same.
    key: String,
}

/// What there is to do now.
pub(crate) enum Settled {
    /// Tell the client.
    Reply(Reply),
    /// Follow the call further.
    GoOn(Box<Exchange>),
}

/// What there is to do when the client came back.
pub(crate) enum TakenUp {
    /// As always.
    Settled(Settled),
    /// Make the call.
    Make(Box<Order>),
}

impl Standstill {
    /// A running call whose server asks these, by its own ids.
    pub(crate) fn asked(mut exchange: Box<Exchange>, questions: Vec<(Box<str>, Question)>) -> Self {
        let asked = questions.into_iter().map(|(id, question)| Asked {
            id: Some(id),
            question,
            key: format!("question-{}", exchange.turn()),
        });
        let asked = asked.collect();
        Self {
            stage: Stage::Running(exchange),
            asked,
        }
    }

    /// A call that was not run, because somebody has to be at these pages first.
    pub(crate) fn visit(order: Arc<Order>, pages: Vec<Question>) -> Self {
        let asked = pages.into_iter().enumerate().map(|(at, question)| Asked {
            id: None,
            question,
            key: format!("page-{}", at + 1),
        });
        Self {
            asked: asked.collect(),
            stage: Stage::Refused(order),
        }
    }

    fn order(&self) -> &Arc<Order> {
        match &self.stage {
            Stage::Running(exchange) => &exchange.order,
            Stage::Refused(order) => order,
        }
    }

    /// What it was planned as.
    pub fn plan(&self) -> &Arc<CallPlan> {
        &self.order().plan
    }

    /// What a retry has to be equal to.
    pub fn digest(&self) -> Option<Digest> {
        let order = self.order();
        order.plan.digest(&order.body)
    }

    /// Has it kept by `waiter` and asks the client; or refuses the questions in the client's stead, and goes on.
    pub(crate) fn settle(mut self, waiter: &impl Waiter) -> Settled {
        match &mut self.stage {
            Stage::Running(exchange) => exchange.hold(),
            Stage::Refused(order) if order.visits >= ROUNDS => {
                return Settled::Reply(self.in_words());
            }
            Stage::Refused(_) => {}
        }
        let plan = Arc::clone(self.plan());
        let asked = self.asked.iter();
        let asked: Vec<_> = asked
            .map(|one| (one.key.clone(), one.question.clone()))
            .collect();
        match waiter.park(self) {
            Ok(state) => {
                let asked = asked.iter().map(|(key, question)| (&**key, question));
                Settled::Reply(input_required(&plan, asked, &state))
            }
            Err(kept) => kept.refused(),
        }
    }

    /// The client cannot be asked.
    fn refused(self) -> Settled {
        match self.stage {
            Stage::Refused(_) => Settled::Reply(self.in_words()),
            Stage::Running(mut exchange) => {
                let error = RpcError::internal("the client cannot be asked now");
                for id in self.asked.iter().filter_map(|one| one.id.as_ref()) {
                    exchange.tell(error.to_bytes(Some(id)));
                }
                exchange.go_on();
                Settled::GoOn(exchange)
            }
        }
    }

    /// The same of a call that does not run.
    pub(crate) fn in_turn(self, waiter: &impl Waiter) -> Reply {
        let plan = Arc::clone(self.plan());
        match self.settle(waiter) {
            Settled::Reply(reply) => reply,
            Settled::GoOn(_) => failed(&plan, UpstreamFailure::Unanswered),
        }
    }

    /// Says where to go, and leaves it at that.
    fn in_words(&self) -> Reply {
        links(self.plan(), self.asked.iter().map(|one| &one.question))
    }

    /// Its client came back with `order`: the server hears the answers, and the call goes on. For what is not answered
    /// the client is asked again.
    pub(crate) fn taken_up(self, mut order: Order, waiter: &impl Waiter) -> TakenUp {
        let retry = order.plan.retry.as_ref();
        let responses = retry.and_then(|retry| retry.responses);
        let body = order.body.clone();
        let responses = responses.map_or(&b"{}"[..], |span| span.of(&body));
        let answer = |one: &Asked| object::get(responses, &one.key);
        match self.stage {
            Stage::Running(mut exchange) => {
                exchange.taken_up(order);
                let (answered, asked): (Vec<Asked>, Vec<Asked>) = self
                    .asked
                    .into_iter()
                    .partition(|one| answer(one).is_some());
                if !answered.is_empty() {
                    exchange.go_on();
                }
                for one in &answered {
                    if let (Some(id), Some(answer)) = (&one.id, answer(one)) {
                        let answer = String::from_utf8_lossy(answer);
                        exchange.tell(message::response(id, &answer));
                    }
                }
                if asked.is_empty() {
                    return TakenUp::Settled(Settled::GoOn(exchange));
                }
                let stage = Stage::Running(exchange);
                TakenUp::Settled(Self { stage, asked }.settle(waiter))
            }
            Stage::Refused(before) => {
                let asked = self.asked;
                order.visits = before.visits;
                if !asked.iter().all(|one| answer(one).is_some()) {
                    let stage = Stage::Refused(Arc::new(order));
                    return TakenUp::Settled(Self { stage, asked }.settle(waiter));
                }
                if !asked.iter().filter_map(answer).all(agrees) {
                    let declined = failed(&order.plan, UpstreamFailure::Unanswered);
                    return TakenUp::Settled(Settled::Reply(declined));
                }
                order.visits += 1;
                TakenUp::Make(Box::new(order))
            }
        }
    }
}

/// Whether somebody went to the page, as far as their client knows.
fn agrees(answer: &[u8]) -> bool {
    object::get(answer, "action") == Some(b"\"accept\"")
}

impl fmt::Debug for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.asked.iter().map(|one| &one.key);
        f.debug_list().entries(keys).finish()
    }
}
