//! Questions of servers that wait for the answers of legacy clients, so that an answer finds the one call that it is
//! for, in its own session only. They end with their session.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use toolgate_data_core::{
    asking::QuestionId,
    session::session_id::{RANDOM_LEN, SessionClaims},
};
use toolgate_model::{Principal, Slug};
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, random};

use crate::sharded_map::ShardedMap;

/// Questions that one proxy waits for the answers of.
pub const QUESTIONS: usize = 50_000;

/// Of these, how many to clients of one principal.
pub const QUESTIONS_PER_PRINCIPAL: usize = QUESTIONS / 4;

/// Every question that waits. `A` is where its answer goes. Cheap to clone.
#[derive(Clone)]
pub struct Questions<A: Clone> {
    open: Arc<Open<A>>,
    principals: Arc<Quota>,
    proxy: Slug,
}

/// While it lives, the question can be answered.
#[must_use = "the question can be answered only while this lives"]
pub struct Asked<A: Clone> {
    open: Arc<Open<A>>,
    session: [u8; RANDOM_LEN],
    id: QuestionId,
    _share: QuotaPermit,
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

/// By session, and there by the random part of their names.
struct Open<A> {
    sessions: ShardedMap<[u8; RANDOM_LEN], BTreeMap<[u8; 16], Waiting<A>>>,
    count: AtomicUsize,
}

#[derive(Clone)]
struct Waiting<A> {
    principal: Arc<Principal>,
    to: A,
}

impl<A: Clone> Questions<A> {
    /// None yet, on this proxy; so many of one principal at most.
    pub fn new(proxy: Slug, share: usize) -> Self {
        let open = Open {
            sessions: ShardedMap::new(QUESTIONS),
            count: AtomicUsize::new(0),
        };
        Self {
            open: Arc::new(open),
            principals: Quota::new(share),
            proxy,
        }
    }

    /// A question to the client of this session; none if too many wait, of everybody's or of this principal's.
    pub fn ask(
        &self,
        session: &SessionClaims,
        principal: &Arc<Principal>,
        to: A,
    ) -> Option<Asked<A>> {
        let share = self.principals.acquire(BudgetOwner::of(principal))?;
        let random = random::bytes();
        let waiting = Waiting {
            principal: Arc::clone(principal),
            to,
        };
        if !self.open.insert(session.random, random, waiting) {
            return None;
        }
        Some(Asked {
            open: Arc::clone(&self.open),
            session: session.random,
            id: QuestionId {
                proxy: self.proxy.clone(),
                random,
            },
            _share: share,
        })
    }

    /// Whom the answer with this id, the literal as written, is for.
    pub fn hear(
        &self,
        session: &SessionClaims,
        principal: &Arc<Principal>,
        literal: &str,
    ) -> Heard<A> {
        let Some(id) = QuestionId::parse(literal) else {
            return Heard::Nobody;
        };
        if id.proxy != self.proxy {
            return Heard::Elsewhere(id.proxy);
        }
        let theirs = |waiting: &Waiting<A>| waiting.principal == *principal;
        let taken = self.open.take(&session.random, &id.random, theirs);
        taken.map_or(Heard::Nobody, |waiting| Heard::By(id, waiting.to))
    }

    /// A session is over: whom its answers would have gone to. Nothing is waited for any more.
    pub fn session_over(&self, session: &[u8; RANDOM_LEN]) -> Vec<A> {
        let over = self.open.sessions.update(session, Option::take);
        let over = over.unwrap_or_default();
        self.open.count.fetch_sub(over.len(), Ordering::Relaxed);
        over.into_values().map(|waiting| waiting.to).collect()
    }

    /// Nobody can answer these any more: where their answers would have gone to. Nothing is waited for.
    pub fn take_if(&self, gone: impl Fn(&A) -> bool) -> Vec<A> {
        let mut found = Vec::new();
        self.open.sessions.for_each(|session, open| {
            let gone = open.iter().filter(|(_, waiting)| gone(&waiting.to));
            found.extend(gone.map(|(question, _)| (*session, *question)));
        });
        let taken = found
            .iter()
            .filter_map(|(session, question)| self.open.take(session, question, |_waiting| true));
        taken.map(|waiting| waiting.to).collect()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.open.count.load(Ordering::Relaxed)
    }
}

impl<A: Clone> Open<A> {
    /// Whether there was room.
    fn insert(&self, session: [u8; RANDOM_LEN], question: [u8; 16], waiting: Waiting<A>) -> bool {
        if self.count.fetch_add(1, Ordering::Relaxed) >= QUESTIONS {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.sessions.update(&session, |open| {
            let open = open.get_or_insert_default();
            open.insert(question, waiting);
        });
        true
    }

    fn take(
        &self,
        session: &[u8; RANDOM_LEN],
        question: &[u8; 16],
        wanted: impl FnOnce(&Waiting<A>) -> bool,
    ) -> Option<Waiting<A>> {
        let taken = self.sessions.update(session, |value| {
            let open = value.as_mut()?;
            if !open.get(question).is_some_and(wanted) {
                return None;
            }
            let taken = open.remove(question);
            if open.is_empty() {
                *value = None;
            }
            taken
        })?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(taken)
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
        let _answered = self
            .open
            .take(&self.session, &self.id.random, |_waiting| true);
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
