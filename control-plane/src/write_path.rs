//! Write path, from top to bottom:
//!
//! ```text
//! Command --decide--> Change --encode--> transaction --store--> Revision      the response to the caller ends here
//!                                            :
//!    store_follower: watch --> State --compile--> Snapshot --> PublishedState  the feed of every proxy starts here
//! ```
//!
//! Writers of this replica take turns, so that they do not fail each other's guards; waiting writes are
//! committed together, see [`group_commit`]. Guards detect writers of other replicas that change what a decision has read,
//! and the loser decides again on the newer state. A rejection has no guards, so it is only given on a state
//! that includes all changes acknowledged before the command: see [`StoreWriter::catch_up`].

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard, Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use toolgate_control_core::{
    Change, Command, CommandContext, KeyGuard, ObjectKey, PrefixGuard, Revision, StoreState,
    command::WritePriority,
    decide,
    port::{
        CommitOutcome, PublishedState, ServerProber, Store, StoreError, SubmitError, Txn,
        TxnCompare, TxnOutcome, WriteOp,
    },
};
use toolgate_model::{Digest, Slug};
use toolgate_runtime::{Backoff, Drain, SharedClock, random};
use toolgate_vault::{EnvelopeSealer, TokenMinter};

use crate::{
    deployment_keys::DeploymentKeys, leader_election::LeadershipFence, record_codec,
    space_monitor::SpaceMonitor,
};
use group_commit::WriteQueue;
use read_index::{ReadIndex, revision_of};

mod group_commit;
mod ports;
mod read_index;
#[cfg(test)]
mod tests;

/// Maximum time from the arrival of a command to the start of its last decision: the wait for its turn, and all
/// decisions that other control planes overtake. Together with the store's own timeout, this bounds the waiting time of
/// a caller. A caller with an earlier deadline stops waiting at that time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);
/// Ceiling of the delay after the second lost guard in a row. A single loss needs none: the next decision waits for the
/// commit that came first. It doubles up to [`MAX_CONTENTION_DELAY`].
const MIN_CONTENTION_DELAY: Duration = Duration::from_millis(1);
const MAX_CONTENTION_DELAY: Duration = Duration::from_millis(16);
/// Maximum time a writer waits to observe earlier commits in the published state.
const OBSERVE_TIMEOUT: Duration = Duration::from_millis(500);
/// Number of [`OBSERVE_TIMEOUT`]s for which a replica that is behind is waited for.
const CATCH_UP_ATTEMPTS: usize = 4;

/// Write path, and all that the API needs of the control plane. Shared by `Arc`.
pub struct WritePath {
    pub(crate) writer: StoreWriter,
    pub(crate) vault: Arc<EnvelopeSealer>,
    pub(crate) keys: DeploymentKeys,
    pub(crate) prober: Arc<dyn ServerProber>,
    pub(crate) local_proxy: Option<Slug>,
}

impl WritePath {
    /// Decides `command` and commits the change.
    pub async fn write(
        &self,
        command: Command,
        context: CommandContext,
    ) -> Result<CommitOutcome, SubmitError> {
        self.writer.write(&command, &context).await
    }

    /// Returns a receiver of the published state.
    pub fn publications(&self) -> watch::Receiver<Arc<PublishedState>> {
        self.writer.published.clone()
    }

    /// Returns the service that creates and hashes bearer tokens.
    pub(crate) fn token_minter(&self) -> &TokenMinter {
        &self.keys.token_minter
    }
}

/// Part of the write path that needs no keys. Cheap to clone; clones share the lock.
#[derive(Clone)]
pub(crate) struct StoreWriter {
    store: Arc<dyn Store>,
    pub(crate) published: watch::Receiver<Arc<PublishedState>>,
    pub(crate) clock: SharedClock,
    /// Held while a change is decided and committed. Contains the revision of the last commit.
    write_lock: Arc<Mutex<Revision>>,
    queue: Arc<WriteQueue>,
    drain: Drain,
    /// Requests a resync by listing, when the watch does not deliver a commit that a writer knows of.
    resync: Arc<Notify>,
    read_index: Arc<ReadIndex>,
    space: Arc<SpaceMonitor>,
}

/// Command to decide, until when.
#[derive(Clone, Copy)]
struct Decision<'a> {
    command: &'a Command,
    context: &'a CommandContext,
    fence: Option<LeadershipFence>,
    until: Instant,
}

/// Guards that one command has lost to other control planes in a row.
#[derive(Default)]
struct Contention(Option<Backoff>);

impl Contention {
    /// Waits before the next decision, with jitter, from the second loss on. Fails if the time of the command is over.
    async fn wait(&mut self, until: Instant) -> Result<(), SubmitError> {
        if Instant::now() >= until {
            return Err(SubmitError::Contended);
        }
        match &mut self.0 {
            Some(backoff) => sleep(backoff.next(random::number())).await,
            None => self.0 = Some(Backoff::new(MIN_CONTENTION_DELAY, MAX_CONTENTION_DELAY)),
        }
        Ok(())
    }
}

/// Keys with the revisions of their last writes in the store; 0 for a key that does not exist.
struct KeyRevisions(Vec<(ObjectKey, Revision)>);

impl StoreWriter {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        published: watch::Receiver<Arc<PublishedState>>,
        clock: SharedClock,
        resync: Arc<Notify>,
        drain: Drain,
    ) -> Self {
        Self {
            store,
            published,
            clock,
            write_lock: Arc::default(),
            queue: Arc::default(),
            drain,
            resync,
            read_index: Arc::default(),
            space: Arc::default(),
        }
    }

    /// Returns the monitor that admits the writes.
    pub(crate) fn space_monitor(&self) -> Arc<SpaceMonitor> {
        Arc::clone(&self.space)
    }

    /// Decides `command` and commits the change.
    pub(crate) async fn write(
        &self,
        command: &Command,
        context: &CommandContext,
    ) -> Result<CommitOutcome, SubmitError> {
        if group_commit::is_groupable(command) {
            return self.write_in_group(command, context).await;
        }
        let written = self.write_unless(|_| false, command, context).await?;
        written.ok_or(SubmitError::Contended)
    }

    /// Decides and commits only while `fence` is valid, for writers that must not write after another control plane has
    /// taken over.
    pub(crate) async fn write_fenced(
        &self,
        fence: LeadershipFence,
        command: &Command,
        context: &CommandContext,
    ) -> Result<CommitOutcome, SubmitError> {
        let until = Instant::now() + WRITE_TIMEOUT;
        let mut last = self.turn(until).await?;
        let decision = Decision {
            command,
            context,
            fence: Some(fence),
            until,
        };
        let written = self.attempt(|_| false, decision, *last).await?;
        let outcome = written.ok_or(SubmitError::Contended)?;
        *last = outcome.revision;
        Ok(outcome)
    }

    /// Returns `true` if `fence` is valid, or if the store cannot be read.
    pub(crate) async fn may_be_valid(&self, fence: LeadershipFence) -> bool {
        fence.is_valid(self.store.as_ref()).await.unwrap_or(true)
    }

    /// Decides and commits unless `done` holds on the state decided on. For preparations that several control planes
    /// make when they start at once.
    pub(crate) async fn write_unless(
        &self,
        done: impl Fn(&StoreState) -> bool,
        command: &Command,
        context: &CommandContext,
    ) -> Result<Option<CommitOutcome>, SubmitError> {
        let until = Instant::now() + WRITE_TIMEOUT;
        let decision = Decision {
            command,
            context,
            fence: None,
            until,
        };
        if !touches_snapshot(command) {
            // Observations of proxies and join tokens guard only their own keys and need no turn.
            return self.attempt(done, decision, 0).await;
        }
        let mut last = self.turn(until).await?;
        let outcome = self.attempt(done, decision, *last).await?;
        if let Some(outcome) = &outcome {
            *last = outcome.revision;
        }
        Ok(outcome)
    }

    /// Waits for the turn of a writer.
    async fn turn(&self, until: Instant) -> Result<MutexGuard<'_, Revision>, SubmitError> {
        let turn = timeout_at(until, self.write_lock.lock()).await;
        turn.map_err(|_elapsed| write_queue_timeout())
    }

    /// Decides on a state that includes revision `seen`, and commits. Decides again if another commit came first.
    async fn attempt(
        &self,
        done: impl Fn(&StoreState) -> bool,
        decision: Decision<'_>,
        seen: Revision,
    ) -> Result<Option<CommitOutcome>, SubmitError> {
        let Decision {
            command,
            context,
            fence,
            until,
        } = decision;
        let mut revision = seen;
        let mut latest: Option<KeyRevisions> = None;
        let mut contention = Contention::default();
        loop {
            let is_current = |state: &StoreState| {
                state.revision() >= revision && latest.as_ref().is_none_or(|it| it.seen_by(state))
            };
            let state = self.state_where(is_current).await;
            self.check_followed()?;
            if done(&state) {
                return Ok(None);
            }
            let decided = decide(&state, command, context);
            // A change is checked by its guards. Any other result has to be based on the latest state.
            if !matches!(&decided, Ok(change) if !change.is_empty()) {
                if latest.is_none() {
                    latest = Some(self.latest_revisions(&record_keys(command)).await?);
                }
                let is_latest = latest.as_ref().is_some_and(|it| it.seen_by(&state));
                if !is_latest || state.revision() < revision {
                    if Instant::now() >= until {
                        return Err(behind().into());
                    }
                    continue;
                }
            }
            let change = decided?;
            if change.is_empty() {
                let revision = state.revision();
                return Ok(Some(CommitOutcome { revision, change }));
            }
            self.space.admit(command.priority())?;
            let mut transaction = transaction(&change, context, &state);
            transaction
                .compares
                .extend(fence.map(LeadershipFence::compare));
            match self.commit(transaction, command.priority()).await? {
                TxnOutcome::Committed(revision) => {
                    return Ok(Some(CommitOutcome { revision, change }));
                }
                TxnOutcome::CompareFailed => {
                    if let Some(fence) = fence
                        && !self.may_be_valid(fence).await
                    {
                        return Err(SubmitError::Contended);
                    }
                    // Another writer changed a guarded key, at a revision later than this state.
                    revision = state.revision() + 1;
                    contention.wait(until).await?;
                }
            }
        }
    }

    /// Commits. For a removal, room is made in a full store.
    async fn commit(&self, txn: Txn, priority: WritePriority) -> Result<TxnOutcome, StoreError> {
        let retry = (priority == WritePriority::Removal).then(|| txn.clone());
        match (self.store.commit(txn).await, retry) {
            (Err(StoreError::NoSpace(_)), Some(txn)) => {
                self.space.make_room(self.store.as_ref()).await?;
                self.store.commit(txn).await
            }
            (outcome, _) => outcome,
        }
    }

    /// Waits until the published state includes every change of a compile input, and the last write of each of `records`,
    /// that was acknowledged before this call, by this control plane or another one.
    pub(crate) async fn catch_up(&self, records: &[ObjectKey]) -> Result<(), StoreError> {
        self.check_followed()?;
        let latest = self.latest_revisions(records).await?;
        for _attempt in 0..CATCH_UP_ATTEMPTS {
            let state = self.state_where(|state| latest.seen_by(state)).await;
            self.check_followed()?;
            if latest.seen_by(&state) {
                return Ok(());
            }
        }
        Err(behind())
    }

    /// Reads the revisions of the version marker and of `records` from the store.
    async fn latest_revisions(&self, records: &[ObjectKey]) -> Result<KeyRevisions, StoreError> {
        let marker = self.read_index.read(self.store.as_ref()).await?;
        let mut latest = KeyRevisions(vec![(ObjectKey::Marker, marker)]);
        for key in records {
            let revision = revision_of(self.store.as_ref(), key).await?;
            latest.0.push((key.clone(), revision));
        }
        Ok(latest)
    }

    /// Returns the published state once it includes `revision`, or the latest state after [`OBSERVE_TIMEOUT`].
    pub(crate) async fn state_at(&self, revision: Revision) -> Arc<StoreState> {
        self.state_where(|state| state.revision() >= revision).await
    }

    /// Returns the published state once `condition` holds, or the latest state after [`OBSERVE_TIMEOUT`]. The state of a store
    /// that is not followed any more does not change.
    async fn state_where(&self, condition: impl Fn(&StoreState) -> bool) -> Arc<StoreState> {
        let mut published = self.published.clone();
        let is_final = |published: &PublishedState| published.refusal.is_some();
        let seen = published.wait_for(|it| is_final(it) || condition(&it.state));
        if timeout(OBSERVE_TIMEOUT, seen).await.is_err() {
            // The resync keeps the state from staying old.
            self.resync.notify_one();
        }
        self.current()
    }

    /// Fails if the store is not followed.
    fn check_followed(&self) -> Result<(), StoreError> {
        self.published.borrow().check_followed()
    }

    /// Returns the published state.
    pub(crate) fn current(&self) -> Arc<StoreState> {
        Arc::clone(&self.published.borrow().state)
    }
}

/// Returns `true` if the command's change writes the version marker.
fn touches_snapshot(command: &Command) -> bool {
    match command {
        Command::RecordProxy(_)
        | Command::RecordDefinitionsPart(_)
        | Command::ForgetProxy(_)
        | Command::AdmitProxy(_)
        | Command::CreateJoinToken(_)
        | Command::UseJoinToken(_)
        | Command::CreateSystemKey { .. }
        | Command::ResealSystemKey { .. } => false,
        Command::Create(_)
        | Command::Update { .. }
        | Command::Delete { .. }
        | Command::RevokeToken(_)
        | Command::RecordDefinitions(_)
        | Command::RecordProviderKeys { .. }
        | Command::BumpEpoch => true,
    }
}

/// Returns the keys that a decision on `command` reads and that the version marker does not cover.
fn record_keys(command: &Command) -> Vec<ObjectKey> {
    match command {
        Command::RecordProxy(proxy) => vec![
            ObjectKey::Expelled(proxy.id.clone()),
            ObjectKey::Proxy(proxy.id.clone()),
        ],
        Command::RecordDefinitionsPart(part) => {
            vec![ObjectKey::DefinitionsPart(
                part.server.clone(),
                part.digest(),
            )]
        }
        Command::ForgetProxy(id) => vec![ObjectKey::Proxy(id.clone())],
        Command::AdmitProxy(id) => vec![ObjectKey::Expelled(id.clone())],
        Command::UseJoinToken(hash) => vec![ObjectKey::JoinToken(Digest(hash.0))],
        Command::CreateSystemKey { name, .. } | Command::ResealSystemKey { name, .. } => {
            vec![ObjectKey::SystemKey(name.clone())]
        }
        Command::CreateJoinToken(_)
        | Command::RecordProviderKeys { .. }
        | Command::Create(_)
        | Command::Update { .. }
        | Command::Delete { .. }
        | Command::RevokeToken(_)
        | Command::RecordDefinitions(_)
        | Command::BumpEpoch => Vec::new(),
    }
}

impl KeyRevisions {
    /// Returns `true` if `state` is not older than these writes.
    fn seen_by(&self, state: &StoreState) -> bool {
        let mut keys = self.0.iter();
        keys.all(|(key, revision)| state.mod_revision_at(key).unwrap_or_default() >= *revision)
    }
}

fn behind() -> StoreError {
    StoreError::Unavailable("this control plane has not seen the latest changes yet".to_owned())
}

fn write_queue_timeout() -> SubmitError {
    let reason = "writers are waiting for one another; try again in a moment".to_owned();
    SubmitError::Store(StoreError::Unavailable(reason))
}

/// Returns the transaction of a change. `base` is the state of the store that the decision started from.
fn transaction(change: &Change, context: &CommandContext, base: &StoreState) -> Txn {
    let author = context.author.to_string();
    let put = |(key, object): &(ObjectKey, _)| WriteOp::Put {
        key: key.to_string(),
        value: record_codec::encode(object, context.now, &author),
        lease: None,
    };
    let delete = |key: &ObjectKey| WriteOp::Delete(key.to_string());
    let guard = |guard: &KeyGuard| match guard.mod_revision {
        Some(revision) => TxnCompare::ModRevision(guard.key.to_string(), revision),
        None => TxnCompare::Absent(guard.key.to_string()),
    };
    let prefix_guard = |guard: &PrefixGuard| TxnCompare::NotModifiedAfter {
        prefix: guard.prefix.clone(),
        revision: guard.revision,
    };
    let marker = base.mod_revision_at(&ObjectKey::Marker).unwrap_or_default();
    let marker_guard = |tolerated: u64| TxnCompare::NotModifiedAfter {
        prefix: ObjectKey::Marker.to_string(),
        revision: marker.saturating_add(tolerated),
    };
    let guards = change.guards.iter().map(guard);
    let guards = guards.chain(change.prefix_guards.iter().map(prefix_guard));
    let guards = guards.chain(change.tolerated_commits.map(marker_guard));
    // A store that was restored from a copy has an older marker than the state. Together with a guard that tolerates no
    // commit, this is the exact revision.
    let is_compared = marker > 0 && change.depends_on_marker();
    let not_restored =
        is_compared.then(|| TxnCompare::ModRevisionAtLeast(ObjectKey::Marker.to_string(), marker));
    Txn {
        compares: guards.chain(not_restored).collect(),
        writes: change
            .puts
            .iter()
            .map(put)
            .chain(change.deletes.iter().map(delete))
            .collect(),
    }
}
