//! The write path, top to bottom:
//!
//! ```text
//! Command --decide--> Change --encode--> transaction --store--> Revision      the caller's answer ends here
//!                                            :
//!            follow: watch --> State --compile--> Snapshot --> Published      every proxy's feed starts here
//! ```
//!
//! Writers of this replica take turns, so that they do not fail each other's guards; writers of other replicas are
//! met by the guards, and the loser decides again on what it then sees.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Notify, watch},
    time::timeout,
};
use toolgate_api::{Outcome, Published, SubmitError};
use toolgate_control_core::{
    Change, Command, Context, Key, KeyGuard, Revision, State, decide,
    port::{Commit, Guard, Prober, Store, StoreError, Txn, Write},
};
use toolgate_runtime::SharedClock;
use toolgate_vault::{Minter, Vault};

use crate::{codec, keys::DeploymentKeys, tenure};

#[cfg(test)]
mod tests;

/// Decisions on one command before the caller is told that others keep coming first.
const ATTEMPTS: usize = 8;
/// How long a writer waits for its turn; how many wait is bounded by the API's seats. With the store's own deadline,
/// this bounds how long a caller waits.
const TURN: Duration = Duration::from_secs(8);
/// How long a writer waits to see what has been committed before it.
const SIGHT: Duration = Duration::from_millis(500);

/// The write path and all that the API needs of the control plane. Shared by `Arc`.
pub struct Spine {
    pub(crate) writer: Writer,
    pub(crate) vault: Arc<Vault>,
    pub(crate) keys: DeploymentKeys,
    pub(crate) prober: Arc<dyn Prober>,
}

impl Spine {
    /// Decides `command` and commits what it comes to.
    pub async fn write(&self, command: Command, context: Context) -> Result<Outcome, SubmitError> {
        self.writer.write(&command, &context).await
    }

    /// What is published now and from now on.
    pub fn publications(&self) -> watch::Receiver<Arc<Published>> {
        self.writer.published.clone()
    }

    /// Makes and hashes bearer tokens.
    pub(crate) fn minter(&self) -> &Minter {
        &self.keys.minter
    }
}

/// The bare write path: all that can be had before there are keys. Cheap to clone; clones share the turn.
#[derive(Clone)]
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    pub(crate) published: watch::Receiver<Arc<Published>>,
    pub(crate) clock: SharedClock,
    /// Held by the writer whose turn it is; the revision that the last one committed.
    turn: Arc<Mutex<Revision>>,
    /// Has everything listed: what guards say does not come by the watch.
    suspicion: Arc<Notify>,
}

impl Writer {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        published: watch::Receiver<Arc<Published>>,
        clock: SharedClock,
        suspicion: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            published,
            clock,
            turn: Arc::default(),
            suspicion,
        }
    }

    /// Decides and commits.
    pub(crate) async fn write(
        &self,
        command: &Command,
        context: &Context,
    ) -> Result<Outcome, SubmitError> {
        let written = self.write_unless(|_| false, command, context).await?;
        written.ok_or(SubmitError::Contended)
    }

    /// Decides and commits as long as `fence` stands: for writers that must not write after another has taken over.
    pub(crate) async fn write_fenced(
        &self,
        fence: &Guard,
        command: &Command,
        context: &Context,
    ) -> Result<Outcome, SubmitError> {
        let mut last = timeout(TURN, self.turn.lock()).await.map_err(|_| busy())?;
        let written = self
            .attempt(|_| false, command, context, *last, Some(fence))
            .await?;
        let outcome = written.ok_or(SubmitError::Contended)?;
        *last = outcome.revision;
        Ok(outcome)
    }

    /// Whether `fence` stands, as far as can be seen.
    pub(crate) async fn stands(&self, fence: &Guard) -> bool {
        tenure::stands(self.store.as_ref(), fence)
            .await
            .unwrap_or(true)
    }

    /// The same, unless `done` holds on the state decided on: for what several control planes do when they start
    /// at once.
    pub(crate) async fn write_unless(
        &self,
        done: impl Fn(&State) -> bool,
        command: &Command,
        context: &Context,
    ) -> Result<Option<Outcome>, SubmitError> {
        if !touches_snapshot(command) {
            // Observations of proxies and join tokens guard their own keys only: they need no turn.
            return self.attempt(done, command, context, 0, None).await;
        }
        let mut last = timeout(TURN, self.turn.lock()).await.map_err(|_| busy())?;
        let outcome = self.attempt(done, command, context, *last, None).await?;
        if let Some(outcome) = &outcome {
            *last = outcome.revision;
        }
        Ok(outcome)
    }

    /// Decides on a state that shows everything up to `seen`, and commits; again when another came first.
    async fn attempt(
        &self,
        done: impl Fn(&State) -> bool,
        command: &Command,
        context: &Context,
        seen: Revision,
        fence: Option<&Guard>,
    ) -> Result<Option<Outcome>, SubmitError> {
        let mut wanted = seen;
        for _attempt in 0..ATTEMPTS {
            let state = self.state_at(wanted).await;
            if done(&state) {
                return Ok(None);
            }
            let change = decide(&state, command, context)?;
            if change.is_empty() {
                let revision = state.revision();
                return Ok(Some(Outcome { revision, change }));
            }
            let mut transaction = transaction(&change, context);
            transaction.guards.extend(fence.cloned());
            match self.store.commit(transaction).await? {
                Commit::Done(revision) => return Ok(Some(Outcome { revision, change })),
                Commit::GuardFailed => {
                    if let Some(fence) = fence
                        && !self.stands(fence).await
                    {
                        return Err(SubmitError::Contended);
                    }
                    // Somebody wrote what we decided on: whatever it was, it is later than what we saw.
                    wanted = state.revision() + 1;
                }
            }
        }
        Err(SubmitError::Contended)
    }

    /// The published state once it shows `revision`; the latest there is when that takes too long.
    pub(crate) async fn state_at(&self, revision: Revision) -> Arc<State> {
        let mut published = self.published.clone();
        let seen = published.wait_for(|published| published.state.revision() >= revision);
        if timeout(SIGHT, seen).await.is_err() {
            // Whatever is decided on an old state, the guards hold it to the new one; but it should not stay old.
            self.suspicion.notify_one();
        }
        self.current()
    }

    /// The published state.
    pub(crate) fn current(&self) -> Arc<State> {
        Arc::clone(&self.published.borrow().state)
    }
}

/// Whether what the command writes guards the version marker.
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
        | Command::RecordCatalogue(_)
        | Command::BumpEpoch => true,
    }
}

fn busy() -> SubmitError {
    let why = "writers are waiting for one another; try again in a moment".to_owned();
    SubmitError::Store(StoreError::Unavailable(why))
}

fn transaction(change: &Change, context: &Context) -> Txn {
    let put = |(key, object): &(Key, _)| Write::Put {
        key: key.to_string(),
        value: codec::encode(object, context.now, &context.author),
        lease: None,
    };
    let delete = |key: &Key| Write::Delete(key.to_string());
    let guard = |guard: &KeyGuard| match guard.modified {
        Some(revision) => Guard::Modified(guard.key.to_string(), revision),
        None => Guard::Absent(guard.key.to_string()),
    };
    Txn {
        guards: change.guards.iter().map(guard).collect(),
        writes: change
            .puts
            .iter()
            .map(put)
            .chain(change.deletes.iter().map(delete))
            .collect(),
    }
}
