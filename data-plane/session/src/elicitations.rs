//! Elicitations that wait for answers of legacy clients. An answer finds the call that waits for it, within its own
//! session only. Elicitations end with their session.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use toolgate_data_core::{
    call::ElicitationId,
    session::session_id::{RANDOM_LEN, SessionClaims},
};
use toolgate_model::{Principal, Slug};
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, random};

use crate::sharded_map::ShardedMap;

/// Maximum number of elicitations that wait on one proxy.
pub const ELICITATIONS: usize = 50_000;

/// Maximum number of elicitations that wait for clients of one principal.
pub const ELICITATIONS_PER_PRINCIPAL: usize = ELICITATIONS / 4;

/// Registry of the elicitations that wait. `A` is the recipient of the answer. Cheap to clone.
#[derive(Clone)]
pub struct ElicitationRegistry<A: Clone> {
    waiting: Arc<WaitingElicitations<A>>,
    principals: Arc<Quota>,
    proxy: Slug,
}

/// Registration of one elicitation, which can be answered until this is dropped.
#[must_use = "the elicitation can be answered only until this is dropped"]
pub struct ElicitationRegistration<A: Clone> {
    waiting: Arc<WaitingElicitations<A>>,
    session: [u8; RANDOM_LEN],
    id: ElicitationId,
    _permit: QuotaPermit,
}

/// Recipient of an answer.
#[derive(Debug)]
pub enum AnswerRecipient<A> {
    /// The call that waits for it. Its elicitation is registered no more.
    Call(ElicitationId, A),
    /// None: no such elicitation waits in this session.
    Unknown,
    /// A call on another proxy.
    OtherProxy(Slug),
}

/// Elicitations by session, and within it by the random part of their ids.
struct WaitingElicitations<A> {
    sessions: ShardedMap<[u8; RANDOM_LEN], BTreeMap<[u8; 16], WaitingEntry<A>>>,
    count: AtomicUsize,
}

#[derive(Clone)]
struct WaitingEntry<A> {
    principal: Arc<Principal>,
    recipient: A,
}

impl<A: Clone> ElicitationRegistry<A> {
    /// Creates an empty registry with a quota per principal.
    pub fn new(proxy: Slug, quota: usize) -> Self {
        let waiting = WaitingElicitations {
            sessions: ShardedMap::new(ELICITATIONS),
            count: AtomicUsize::new(0),
        };
        Self {
            waiting: Arc::new(waiting),
            principals: Quota::new(quota),
            proxy,
        }
    }

    /// Registers an elicitation of the client of this session. Returns `None` if too many wait, in total or of this
    /// principal.
    pub fn register(
        &self,
        session: &SessionClaims,
        principal: &Arc<Principal>,
        recipient: A,
    ) -> Option<ElicitationRegistration<A>> {
        let permit = self.principals.acquire(BudgetOwner::of(principal))?;
        let random = random::bytes();
        let entry = WaitingEntry {
            principal: Arc::clone(principal),
            recipient,
        };
        if !self.waiting.insert(session.random, random, entry) {
            return None;
        }
        Some(ElicitationRegistration {
            waiting: Arc::clone(&self.waiting),
            session: session.random,
            id: ElicitationId {
                proxy: self.proxy.clone(),
                random,
            },
            _permit: permit,
        })
    }

    /// Finds the recipient of the answer with this id, a literal as written. `may_answer` selects the recipients that the
    /// caller may answer to.
    pub fn take_recipient(
        &self,
        session: &SessionClaims,
        principal: &Arc<Principal>,
        literal: &str,
        may_answer: impl Fn(&A) -> bool,
    ) -> AnswerRecipient<A> {
        let Some(id) = ElicitationId::parse(literal) else {
            return AnswerRecipient::Unknown;
        };
        if id.proxy != self.proxy {
            return AnswerRecipient::OtherProxy(id.proxy);
        }
        let same =
            |entry: &WaitingEntry<A>| entry.principal == *principal && may_answer(&entry.recipient);
        let taken = self.waiting.take(&session.random, &id.random, same);
        taken.map_or(AnswerRecipient::Unknown, |entry| {
            AnswerRecipient::Call(id, entry.recipient)
        })
    }

    /// Removes the elicitations of a session that is over, and returns their recipients.
    pub fn session_over(&self, session: &[u8; RANDOM_LEN]) -> Vec<A> {
        let over = self.waiting.sessions.update(session, Option::take);
        let over = over.unwrap_or_default();
        self.waiting.count.fetch_sub(over.len(), Ordering::Relaxed);
        over.into_values().map(|entry| entry.recipient).collect()
    }

    /// Removes the elicitations that `gone` selects because they cannot be answered any more, and returns their
    /// recipients.
    pub fn take_if(&self, gone: impl Fn(&A) -> bool) -> Vec<A> {
        let mut found = Vec::new();
        self.waiting.sessions.for_each(|session, entries| {
            let gone = entries.iter().filter(|(_, entry)| gone(&entry.recipient));
            found.extend(gone.map(|(id, _)| (*session, *id)));
        });
        let taken = found
            .iter()
            .filter_map(|(session, id)| self.waiting.take(session, id, |_entry| true));
        taken.map(|entry| entry.recipient).collect()
    }

    /// Returns the number of elicitations that wait.
    pub fn count(&self) -> usize {
        self.waiting.count.load(Ordering::Relaxed)
    }
}

impl<A: Clone> WaitingElicitations<A> {
    /// Adds an entry. Returns `false` if there is no room.
    fn insert(&self, session: [u8; RANDOM_LEN], id: [u8; 16], entry: WaitingEntry<A>) -> bool {
        if self.count.fetch_add(1, Ordering::Relaxed) >= ELICITATIONS {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.sessions.update(&session, |entries| {
            let entries = entries.get_or_insert_default();
            entries.insert(id, entry);
        });
        true
    }

    fn take(
        &self,
        session: &[u8; RANDOM_LEN],
        id: &[u8; 16],
        selects: impl FnOnce(&WaitingEntry<A>) -> bool,
    ) -> Option<WaitingEntry<A>> {
        let taken = self.sessions.update(session, |value| {
            let entries = value.as_mut()?;
            if !entries.get(id).is_some_and(selects) {
                return None;
            }
            let taken = entries.remove(id);
            if entries.is_empty() {
                *value = None;
            }
            taken
        })?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(taken)
    }
}

impl<A: Clone> ElicitationRegistration<A> {
    /// Returns the id under which the client answers.
    pub fn id(&self) -> &ElicitationId {
        &self.id
    }
}

impl<A: Clone> Drop for ElicitationRegistration<A> {
    fn drop(&mut self) {
        let _answered = self
            .waiting
            .take(&self.session, &self.id.random, |_entry| true);
    }
}

impl<A: Clone> fmt::Debug for ElicitationRegistry<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ElicitationRegistry({})", self.count())
    }
}

impl<A: Clone> fmt::Debug for ElicitationRegistration<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ElicitationRegistration({})", self.id.name())
    }
}

#[cfg(test)]
mod tests;
