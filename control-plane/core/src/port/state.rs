//! Ports of the published state: reading it, waiting for the next one, and changing it by commands.

use std::sync::Arc;

use toolgate_model::{Slug, Timestamp};

use crate::{
    change::Change,
    command::{Command, CommandContext},
    compile::CompileOutput,
    key::ObjectKey,
    port::{BoxFuture, Revision, StoreError},
    rejection::Rejection,
    state::StoreState,
    store_history::StoreRefusal,
};

/// State of the store and the snapshot compiled from it. Both change together.
#[derive(Debug, Clone, Default)]
pub struct PublishedState {
    /// All objects in the store.
    pub state: Arc<StoreState>,
    /// Result of compiling `state`.
    pub compiled: Arc<CompileOutput>,
    /// Reason for which the store is not followed; `None` if it is. The state and the snapshot are then the last ones of the
    /// store that was followed, and nothing is written.
    pub refusal: Option<Arc<StoreRefusal>>,
}

impl PublishedState {
    /// Fails if the store is not followed.
    pub fn check_followed(&self) -> Result<(), StoreError> {
        match &self.refusal {
            Some(refusal) => Err(StoreError::NotFollowed(Arc::clone(refusal))),
            None => Ok(()),
        }
    }
}

/// Reads the published state.
pub trait StateReader: Send + Sync + 'static {
    /// Returns the state that is published now.
    fn published(&self) -> Arc<PublishedState>;

    /// Returns a watcher of the published state and of every later one.
    fn watch_state(&self) -> Box<dyn StateWatcher>;

    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Waits until the published state includes every change of a compile input, and the last write of each of
    /// `records`, that was acknowledged before this call, by this control plane or another one. Fails if the store does
    /// not answer, or if this control plane remains behind it.
    fn catch_up(&self, records: Vec<ObjectKey>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns the id of the proxy in the same process, if there is one. The process serves nothing without it.
    fn local_proxy(&self) -> Option<&Slug>;
}

/// Watches the published state. Only the latest state is kept: a slow reader skips the states in between.
pub trait StateWatcher: Send + 'static {
    /// Returns the latest state and marks it as seen.
    fn latest(&mut self) -> Arc<PublishedState>;

    /// Waits for a state that is not yet marked as seen.
    fn changed(&mut self) -> BoxFuture<'_, Result<(), PublicationEnded>>;
}

/// Error of a wait for a state after the control plane has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the control plane is ending")]
pub struct PublicationEnded;

impl dyn StateWatcher {
    /// Returns the first state, from the latest one on, for which `condition` holds.
    pub async fn wait_for(
        &mut self,
        condition: impl Fn(&PublishedState) -> bool,
    ) -> Result<Arc<PublishedState>, PublicationEnded> {
        loop {
            let latest = self.latest();
            if condition(&latest) {
                return Ok(latest);
            }
            self.changed().await?;
        }
    }
}

/// Changes the stored state.
pub trait CommandWriter: Send + Sync + 'static {
    /// Decides a command and commits the change; decides again if another commit came first. Returns when the store
    /// has answered. The change is published soon after, at [`CommitOutcome::revision`] or later.
    fn submit(
        &self,
        command: Command,
        context: CommandContext,
    ) -> BoxFuture<'_, Result<CommitOutcome, SubmitError>>;
}

/// Result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOutcome {
    /// Store revision after the command: the revision of its own commit, or, for a replayed request, of the state it was
    /// decided on.
    pub revision: Revision,
    /// Writes and deletes of the command.
    pub change: Change,
}

/// Error of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The core rejected the command.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store failed. After [`StoreError::Unavailable`] the change may have been written all the same; retrying with
    /// the same `request_id` is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other writers kept committing first.
    #[error("too many others write at the same time; try again in a moment")]
    Contended,
}
