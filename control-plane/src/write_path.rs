//! Write path, from top to bottom:
//!
//! ```text
//! Command --decide--> Change --encode--> transaction --store--> Revision      the response to the caller ends here
//!                                            :
//!    store_follower: watch --> State --compile--> Snapshot --> PublishedState  the feed of every proxy starts here
//! ```
//!
//! Writers of this replica take turns, so that they do not fail each other's guards. Guards detect writers of other
//! replicas, and the loser decides again on the newer state.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Notify, watch},
    time::timeout,
};
use toolgate_control_core::{
    Change, Command, CommandContext, KeyGuard, ObjectKey, Revision, StoreState, decide,
    port::{
        CommitOutcome, PublishedState, ServerProber, Store, StoreError, SubmitError, Txn,
        TxnCompare, TxnOutcome, WriteOp,
    },
};
use toolgate_runtime::SharedClock;
use toolgate_vault::{EnvelopeSealer, TokenMinter};

use crate::{deployment_keys::DeploymentKeys, leader_election, record_codec};

mod ports;
#[cfg(test)]
mod tests;

/// Maximum number of decisions on one command, before the caller receives [`SubmitError::Contended`].
const MAX_ATTEMPTS: usize = 8;
/// Maximum time a writer waits for its turn. The request limit of the API bounds the number of waiting writers.
/// Together with the store's own timeout, this bounds the waiting time of a caller.
const TURN_TIMEOUT: Duration = Duration::from_secs(8);
/// Maximum time a writer waits to observe earlier commits in the published state.
const OBSERVE_TIMEOUT: Duration = Duration::from_millis(500);

/// Write path, and all that the API needs of the control plane. Shared by `Arc`.
pub struct WritePath {
    pub(crate) writer: StoreWriter,
    pub(crate) vault: Arc<EnvelopeSealer>,
    pub(crate) keys: DeploymentKeys,
    pub(crate) prober: Arc<dyn ServerProber>,
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
    /// Requests a resync by listing, when the watch does not deliver a commit that a writer knows of.
    resync: Arc<Notify>,
}

impl StoreWriter {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        published: watch::Receiver<Arc<PublishedState>>,
        clock: SharedClock,
        resync: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            published,
            clock,
            write_lock: Arc::default(),
            resync,
        }
    }

    /// Decides `command` and commits the change.
    pub(crate) async fn write(
        &self,
        command: &Command,
        context: &CommandContext,
    ) -> Result<CommitOutcome, SubmitError> {
        let written = self.write_unless(|_| false, command, context).await?;
        written.ok_or(SubmitError::Contended)
    }

    /// Decides and commits only while `fence` is valid, for writers that must not write after another control plane has
    /// taken over.
    pub(crate) async fn write_fenced(
        &self,
        fence: &TxnCompare,
        command: &Command,
        context: &CommandContext,
    ) -> Result<CommitOutcome, SubmitError> {
        let mut last = timeout(TURN_TIMEOUT, self.write_lock.lock())
            .await
            .map_err(|_| write_queue_timeout())?;
        let written = self
            .attempt(|_| false, command, context, *last, Some(fence))
            .await?;
        let outcome = written.ok_or(SubmitError::Contended)?;
        *last = outcome.revision;
        Ok(outcome)
    }

    /// Returns `true` if `fence` is valid, or if the store cannot be read.
    pub(crate) async fn is_fence_valid(&self, fence: &TxnCompare) -> bool {
        leader_election::is_fence_valid(self.store.as_ref(), fence)
            .await
            .unwrap_or(true)
    }

    /// Decides and commits unless `done` holds on the state decided on. For preparations that several control planes
    /// make when they start at once.
    pub(crate) async fn write_unless(
        &self,
        done: impl Fn(&StoreState) -> bool,
        command: &Command,
        context: &CommandContext,
    ) -> Result<Option<CommitOutcome>, SubmitError> {
        if !touches_snapshot(command) {
            // Observations of proxies and join tokens guard only their own keys and need no turn.
            return self.attempt(done, command, context, 0, None).await;
        }
        let mut last = timeout(TURN_TIMEOUT, self.write_lock.lock())
            .await
            .map_err(|_| write_queue_timeout())?;
        let outcome = self.attempt(done, command, context, *last, None).await?;
        if let Some(outcome) = &outcome {
            *last = outcome.revision;
        }
        Ok(outcome)
    }

    /// Decides on a state that includes revision `seen`, and commits. Decides again if another commit came first.
    async fn attempt(
        &self,
        done: impl Fn(&StoreState) -> bool,
        command: &Command,
        context: &CommandContext,
        seen: Revision,
        fence: Option<&TxnCompare>,
    ) -> Result<Option<CommitOutcome>, SubmitError> {
        let mut revision = seen;
        for _attempt in 0..MAX_ATTEMPTS {
            let state = self.state_at(revision).await;
            if done(&state) {
                return Ok(None);
            }
            let change = decide(&state, command, context)?;
            if change.is_empty() {
                let revision = state.revision();
                return Ok(Some(CommitOutcome { revision, change }));
            }
            let mut transaction = transaction(&change, context);
            transaction.compares.extend(fence.cloned());
            match self.store.commit(transaction).await? {
                TxnOutcome::Committed(revision) => {
                    return Ok(Some(CommitOutcome { revision, change }));
                }
                TxnOutcome::CompareFailed => {
                    if let Some(fence) = fence
                        && !self.is_fence_valid(fence).await
                    {
                        return Err(SubmitError::Contended);
                    }
                    // Another writer changed a guarded key, at a revision later than this state.
                    revision = state.revision() + 1;
                }
            }
        }
        Err(SubmitError::Contended)
    }

    /// Returns the published state once it includes `revision`, or the latest state after [`OBSERVE_TIMEOUT`].
    pub(crate) async fn state_at(&self, revision: Revision) -> Arc<StoreState> {
        let mut published = self.published.clone();
        let seen = published.wait_for(|published| published.state.revision() >= revision);
        if timeout(OBSERVE_TIMEOUT, seen).await.is_err() {
            // A decision on an old state is safe, because the guards reject it if it conflicts. The resync keeps the
            // state from staying old.
            self.resync.notify_one();
        }
        self.current()
    }

    /// Returns the published state.
    pub(crate) fn current(&self) -> Arc<StoreState> {
        Arc::clone(&self.published.borrow().state)
    }
}

/// Returns `true` if the command's change guards the version marker.
fn touches_snapshot(command: &Command) -> bool {
    match command {
        Command::RecordProxy(_)
        | Command::ForgetProxy(_)
        | Command::CreateJoinToken(_)
        | Command::UseJoinToken(_)
        | Command::CreateSystemKey { .. }
        | Command::ResealSystemKey { .. } => false,
        Command::Create(_)
        | Command::Update { .. }
        | Command::Delete { .. }
        | Command::RevokeToken(_)
        | Command::RecordDefinitions(_)
        | Command::BumpEpoch => true,
    }
}

fn write_queue_timeout() -> SubmitError {
    let reason = "writers are waiting for one another; try again in a moment".to_owned();
    SubmitError::Store(StoreError::Unavailable(reason))
}

fn transaction(change: &Change, context: &CommandContext) -> Txn {
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
    Txn {
        compares: change.guards.iter().map(guard).collect(),
        writes: change
            .puts
            .iter()
            .map(put)
            .chain(change.deletes.iter().map(delete))
            .collect(),
    }
}
