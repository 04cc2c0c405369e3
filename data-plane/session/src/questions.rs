//! Questions of servers that wait for the answers of legacy clients, so that an answer finds the one call that it is
//! for, in its own session only.

use std::{fmt, sync::Arc};

use toolgate_data_core::{
    asking::QuestionId,
    session_id::{RANDOM, SessionFacts},
};
use toolgate_model::{Principal, Slug};
use toolgate_runtime::random;

use crate::shard::Shards;

/// Questions that one proxy waits for the answers of.
pub const QUESTIONS: usize = 50_000;

/// Every question that waits. `A` is where its answer goes. Cheap to clone.
#[derive(Clone)]
pub struct Questions<A: Clone> {
    open: Arc<Open<A>>,
    proxy: Slug,
}

/// While it lives, the question can be answered.
#[must_use = "the question can be answered only while this lives"]
pub struct Asked<A: Clone> {
    open: Arc<Open<A>>,
    id: QuestionId,
}

/// Whom an answer is for.
#[derive(Debug)]
pub enum Heard<A> {
    /// This one, which gets it now and never again.
    By(QuestionId, A),
    /// Nobody: it was never asked here, not in this session, or is answered already.
    Nobody,
    /// Another proxy asked.
    Elsewhere(Slug),
}

type Open<A> = Shards<[u8; 16], Waiting<A>>;

#[derive(Clone)]
struct Waiting<A> {
    session: [u8; RANDOM],
    principal: Arc<Principal>,
    to: A,
}

impl<A: Clone> Questions<A> {
    /// None yet, on this proxy.
    pub fn new(proxy: Slug) -> Self {
        let open = Arc::new(Shards::new(QUESTIONS));
        Self { open, proxy }
    }

    /// A question to the client of this session; none if too many wait.
    pub fn ask(
        &self,
        session: &SessionFacts,
        principal: &Arc<Principal>,
        to: A,
    ) -> Option<Asked<A>> {
        let random = random::bytes();
        let waiting = Waiting {
            session: session.random,
            principal: Arc::clone(principal),
            to,
        };
        self.open.get_or_insert(&random, || waiting).ok()?;
        Some(Asked {
            open: Arc::clone(&self.open),
            id: QuestionId {
                proxy: self.proxy.clone(),
                random,
            },
        })
    }

    /// Whom the answer with this id, the literal as written, is for.
    pub fn hear(
        &self,
        session: &SessionFacts,
        principal: &Arc<Principal>,
        literal: &str,
    ) -> Heard<A> {
        let Some(id) = QuestionId::parse(literal) else {
            return Heard::Nobody;
        };
        if id.proxy != self.proxy {
            return Heard::Elsewhere(id.proxy);
        }
        let theirs = |waiting: &Waiting<A>| {
            waiting.session == session.random && waiting.principal == *principal
        };
        let taken = self.open.update(&id.random, |value| match value {
            Some(waiting) if theirs(waiting) => value.take(),
            Some(_) | None => None,
        });
        taken.map_or(Heard::Nobody, |waiting| Heard::By(id, waiting.to))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.open.len()
    }
}

impl<A: Clone> Asked<A> {
    /// Its name.
    pub fn id(&self) -> &QuestionId {
        &self.id
    }
}

impl<A: Clone> Drop for Asked<A> {
    fn drop(&mut self) {
        self.open.remove_if(&self.id.random, |_waiting| true);
    }
}

impl<A: Clone> fmt::Debug for Questions<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Questions({})", self.count())
    }
}

impl<A: Clone> fmt::Debug for Asked<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asked({})", self.id.name())
    }
}

#[cfg(test)]
mod tests;
