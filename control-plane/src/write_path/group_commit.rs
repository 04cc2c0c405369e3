//! Group commit: writes that wait at the same time are decided one after another, each on the state that the ones before it
//! leave, and committed in one transaction. A write that is not simply accepted is decided again alone, so that its result
//! does not depend on writes that may yet fail.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedMutexGuard, oneshot},
    time::{Instant, timeout, timeout_at},
};
use toolgate_control_core::{
    Change, Command, CommandContext, Revision, StoreState, decide,
    port::{
        CommitOutcome, MAX_TXN_OPS, StoreError, SubmitError, Txn, TxnCompare, TxnOutcome, WriteOp,
    },
};

use super::{Contention, Decision, StoreWriter, WRITE_TIMEOUT, transaction, write_queue_timeout};

/// Maximum size of the values in a group in bytes. A store accepts requests of 1.5 MiB.
const MAX_GROUP_BYTES: usize = 512 * 1024;

/// Time beyond its deadline that the answer of a write is waited for once its decision may have begun.
const ANSWER_GRACE: Duration = Duration::from_secs(3);

type WriteResult = Result<CommitOutcome, SubmitError>;

/// Writes that wait for their turn, in the order of their arrival.
#[derive(Default)]
pub(super) struct WriteQueue(Mutex<VecDeque<QueuedWrite>>);

struct QueuedWrite {
    command: Command,
    context: CommandContext,
    until: Instant,
    /// True if the write is not in the queue any more: it may be decided and committed.
    is_taken: Arc<AtomicBool>,
    reply: oneshot::Sender<WriteResult>,
}

impl WriteQueue {
    fn push(&self, write: QueuedWrite) {
        self.lock().push_back(write);
    }

    /// Takes the writes whose callers still wait, at most as many as one transaction can hold.
    fn take(&self) -> Vec<QueuedWrite> {
        let mut queue = self.lock();
        let count = queue.len().min(MAX_TXN_OPS);
        let taken = queue.drain(..count);
        let taken = taken.filter(|write| !write.reply.is_closed());
        taken
            .inspect(|write| write.is_taken.store(true, Ordering::Relaxed))
            .collect()
    }

    /// Puts writes back, before later ones.
    fn put_back(&self, writes: Vec<QueuedWrite>) {
        let mut queue = self.lock();
        for write in writes.into_iter().rev() {
            write.is_taken.store(false, Ordering::Relaxed);
            queue.push_front(write);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<QueuedWrite>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns `true` if the command may be committed together with others.
pub(super) fn is_groupable(command: &Command) -> bool {
    match command {
        Command::Create(_)
        | Command::Update { .. }
        | Command::Delete { .. }
        | Command::RevokeToken(_) => true,
        Command::RecordDefinitions(_)
        | Command::RecordDefinitionsPart(_)
        | Command::RecordProxy(_)
        | Command::RecordProviderKeys { .. }
        | Command::ForgetProxy(_)
        | Command::AdmitProxy(_)
        | Command::CreateJoinToken(_)
        | Command::UseJoinToken(_)
        | Command::CreateSystemKey { .. }
        | Command::ResealSystemKey { .. }
        | Command::BumpEpoch => false,
    }
}

/// Transaction of several changes under construction.
#[derive(Default)]
struct GroupTxn {
    compares: BTreeMap<String, TxnCompare>,
    /// Latest revisions at which keys with these prefixes may have been written.
    unmodified: BTreeMap<String, Revision>,
    /// Earliest revisions at which these keys may have been written last.
    at_least: BTreeMap<String, Revision>,
    writes: BTreeMap<String, WriteOp>,
    bytes: usize,
}

impl GroupTxn {
    /// Adds the transaction of a change that was decided on the state after the changes before it. Returns `false`, and
    /// adds nothing, if the group would be too large for the store.
    fn add(&mut self, txn: Txn) -> bool {
        let added: usize = txn.writes.iter().map(size_of_value).sum();
        let new_writes = txn.writes.iter().map(key_of_write);
        let new_writes = new_writes.filter(|key| !self.writes.contains_key(*key));
        let writes = self.writes.len() + new_writes.count();
        let mut compares = Vec::new();
        let mut unmodified = self.unmodified.clone();
        let mut at_least = self.at_least.clone();
        for compare in txn.compares {
            match compare {
                TxnCompare::NotModifiedAfter { prefix, revision } => {
                    let latest = unmodified.entry(prefix).or_insert(revision);
                    *latest = revision.min(*latest);
                }
                // Kept although the group writes the key: the compare is of the store before the group.
                TxnCompare::ModRevisionAtLeast(key, revision) => {
                    let earliest = at_least.entry(key).or_insert(revision);
                    *earliest = revision.max(*earliest);
                }
                // What the group has written needs no compare.
                TxnCompare::Absent(ref key) | TxnCompare::ModRevision(ref key, _) => {
                    if !self.writes.contains_key(key) && !self.compares.contains_key(key) {
                        compares.push((key.clone(), compare));
                    }
                }
            }
        }
        if writes > MAX_TXN_OPS
            || self.compares.len() + compares.len() + unmodified.len() + at_least.len()
                > MAX_TXN_OPS
            || self.bytes + added > MAX_GROUP_BYTES
        {
            return false;
        }
        self.bytes += added;
        self.compares.extend(compares);
        self.unmodified = unmodified;
        self.at_least = at_least;
        let writes = txn.writes.into_iter();
        let writes = writes.map(|write| (key_of_write(&write).to_owned(), write));
        self.writes.extend(writes);
        true
    }

    fn into_txn(self) -> Txn {
        let unmodified = self.unmodified.into_iter();
        let unmodified =
            unmodified.map(|(prefix, revision)| TxnCompare::NotModifiedAfter { prefix, revision });
        let at_least = self.at_least.into_iter();
        let at_least =
            at_least.map(|(key, revision)| TxnCompare::ModRevisionAtLeast(key, revision));
        let compares = self.compares.into_values().chain(unmodified);
        Txn {
            compares: compares.chain(at_least).collect(),
            writes: self.writes.into_values().collect(),
        }
    }
}

fn key_of_write(write: &WriteOp) -> &str {
    match write {
        WriteOp::Put { key, .. } | WriteOp::Delete(key) => key,
    }
}

fn size_of_value(write: &WriteOp) -> usize {
    match write {
        WriteOp::Put { value, .. } => value.len(),
        WriteOp::Delete(_) => 0,
    }
}

/// Decisions on the writes of one group.
#[derive(Default)]
struct GroupDecision {
    txn: GroupTxn,
    accepted: Vec<(QueuedWrite, Change)>,
    /// Writes that need a decision of their own.
    alone: Vec<QueuedWrite>,
    /// Writes that do not fit any more.
    left: Vec<QueuedWrite>,
}

/// Decides `writes` in turn, each on the state after those before it.
fn decide_group(base: &StoreState, writes: Vec<QueuedWrite>) -> GroupDecision {
    let mut group = GroupDecision::default();
    let mut state = base.clone();
    for write in writes {
        if !group.left.is_empty() {
            group.left.push(write);
            continue;
        }
        match decide(&state, &write.command, &write.context) {
            Ok(change) if !change.is_empty() => {
                if group.txn.add(transaction(&change, &write.context, base)) {
                    state = state.after_change(&change);
                    group.accepted.push((write, change));
                } else if group.accepted.is_empty() {
                    group.alone.push(write);
                } else {
                    group.left.push(write);
                }
            }
            Ok(_) | Err(_) => group.alone.push(write),
        }
    }
    group
}

impl StoreWriter {
    /// Decides and commits a command, together with others that wait at the same time.
    pub(super) async fn write_in_group(
        &self,
        command: &Command,
        context: &CommandContext,
    ) -> WriteResult {
        self.check_followed()?;
        let until = Instant::now() + WRITE_TIMEOUT;
        let (reply, mut answer) = oneshot::channel();
        let is_taken = Arc::new(AtomicBool::new(false));
        self.queue.push(QueuedWrite {
            is_taken: Arc::clone(&is_taken),
            command: command.clone(),
            context: context.clone(),
            until,
            reply,
        });
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or_else(|_| Err(unknown_result())),
                turn = self.owned_turn(until) => turn,
            };
            let turn = match turn {
                Ok(turn) => turn,
                Err(_late) if is_taken.load(Ordering::Relaxed) => {
                    let answer = timeout(ANSWER_GRACE, answer).await;
                    let answer = answer.ok().and_then(Result::ok);
                    return answer.unwrap_or_else(|| Err(unknown_result()));
                }
                Err(late) => return Err(late),
            };
            // A task of its own: the caller whose turn it is may go, and the others must not suffer from it.
            let (writer, drain) = (self.clone(), self.drain.clone());
            let committing = drain.spawn("commit", async move { writer.commit_queue(turn).await });
            // The task goes on with the writes of other callers after this write is answered.
            tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or_else(|_| Err(unknown_result())),
                _ended = committing => {}
            }
        }
    }

    async fn owned_turn(&self, until: Instant) -> Result<OwnedMutexGuard<Revision>, SubmitError> {
        let lock = Arc::clone(&self.write_lock).lock_owned();
        let turn = timeout_at(until, lock).await;
        turn.map_err(|_elapsed| write_queue_timeout())
    }

    /// Commits the writes that wait, and answers their callers.
    async fn commit_queue(&self, mut last: OwnedMutexGuard<Revision>) {
        let writes = self.queue.take();
        let alone = if writes.len() > 1 {
            self.commit_group(writes, &mut last).await
        } else {
            writes
        };
        for write in alone {
            if write.reply.is_closed() {
                continue;
            }
            if Instant::now() >= write.until {
                let _caller_gone = write.reply.send(Err(write_queue_timeout()));
                continue;
            }
            let decision = Decision {
                command: &write.command,
                context: &write.context,
                fence: None,
                until: write.until,
            };
            let written = self.attempt(|_| false, decision, *last).await;
            let written = written.and_then(|written| written.ok_or(SubmitError::Contended));
            if let Ok(outcome) = &written {
                *last = outcome.revision.max(*last);
            }
            let _caller_gone = write.reply.send(written);
        }
    }

    /// Commits writes in one transaction. Returns the writes that need a decision of their own.
    async fn commit_group(
        &self,
        mut writes: Vec<QueuedWrite>,
        last: &mut Revision,
    ) -> Vec<QueuedWrite> {
        let mut contention = Contention::default();
        let mut revision = *last;
        loop {
            let state = self.state_at(revision).await;
            if self.check_followed().is_err() {
                return writes;
            }
            let group = decide_group(&state, writes);
            self.queue.put_back(group.left);
            let mut alone = group.alone;
            let Some(until) = group.accepted.iter().map(|(write, _)| write.until).min() else {
                return alone;
            };
            let is_admitted = |(write, _): &(QueuedWrite, Change)| {
                self.space.admit(write.command.priority()).is_ok()
            };
            if !group.accepted.iter().all(is_admitted) {
                alone.extend(group.accepted.into_iter().map(|(write, _)| write));
                return alone;
            }
            match self.store.commit(group.txn.into_txn()).await {
                Ok(TxnOutcome::Committed(revision)) => {
                    *last = revision;
                    for (write, change) in group.accepted {
                        let outcome = CommitOutcome { revision, change };
                        let _caller_gone = write.reply.send(Ok(outcome));
                    }
                    return alone;
                }
                Ok(TxnOutcome::CompareFailed) => {
                    // Another writer changed a guarded key, at a revision later than this state.
                    revision = state.revision() + 1;
                    writes = group.accepted.into_iter().map(|(write, _)| write).collect();
                    writes.append(&mut alone);
                    if contention.wait(until).await.is_err() {
                        return writes;
                    }
                }
                // Nothing was written. A removal makes room, alone.
                Err(StoreError::NoSpace(_) | StoreError::InvalidRequest(_)) => {
                    alone.extend(group.accepted.into_iter().map(|(write, _)| write));
                    return alone;
                }
                Err(
                    error @ (StoreError::Unavailable(_)
                    | StoreError::Compacted(_)
                    | StoreError::LeaseNotFound
                    | StoreError::NotFollowed(_)),
                ) => {
                    for (write, _) in group.accepted {
                        let _caller_gone = write.reply.send(Err(error.clone().into()));
                    }
                    return alone;
                }
            }
        }
    }
}

fn unknown_result() -> SubmitError {
    let reason = "the write was interrupted; its result is unknown".to_owned();
    SubmitError::Store(StoreError::Unavailable(reason))
}

#[cfg(test)]
mod tests;
