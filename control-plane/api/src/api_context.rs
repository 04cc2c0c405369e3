//! State shared by all services of a listener, and the submission of commands.

use std::{sync::Arc, time::Duration};

use prost::Message;
use tokio::time::timeout;
use tonic::Status;
use toolgate_control_core::{
    Change, Command, CommandContext, Revision, command::RequestId, decide, limits,
};
use toolgate_model::Digest;
use toolgate_runtime::Drain;

use crate::{
    caller::AdminCaller,
    control_api::{ControlApi, PublishedState, SecretPurpose},
    status,
    watch_limiter::WatchLimiter,
};

/// Maximum time a response waits for its own write to be published, so that the caller can read it at once.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// State shared by the services of one listener.
#[derive(Clone)]
pub(crate) struct ApiContext {
    pub(crate) control_api: Arc<dyn ControlApi>,
    pub(crate) drain: Drain,
    pub(crate) watch_limiter: Arc<WatchLimiter>,
}

/// Fields of a write request other than the object.
pub(crate) struct WriteRequest<'a> {
    pub(crate) caller: &'a AdminCaller,
    /// May be empty.
    pub(crate) request_id: String,
    /// Digest of the whole request.
    pub(crate) digest: Digest,
    pub(crate) dry_run: bool,
    /// Resource version in the request.
    pub(crate) resource_version: Option<String>,
}

/// Result of a write request.
pub(crate) struct WriteOutcome {
    pub(crate) change: Change,
    /// `None` for a dry run.
    pub(crate) revision: Option<Revision>,
}

impl ApiContext {
    /// Returns the state that is published now.
    pub(crate) fn published(&self) -> Arc<PublishedState> {
        Arc::clone(&self.control_api.published().borrow())
    }

    /// Digest that recognises a repeated request. It is keyed, because a request may contain a secret that could be
    /// guessed.
    pub(crate) fn digest(&self, caller: &AdminCaller, request: &impl Message) -> Digest {
        let mut bytes = caller.method.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend(request.encode_to_vec());
        Digest(self.control_api.hash(SecretPurpose::Cursor, &bytes).0)
    }

    /// Submits a command. A dry run only decides it.
    pub(crate) async fn submit(
        &self,
        write: &WriteRequest<'_>,
        command: Command,
    ) -> Result<WriteOutcome, Status> {
        let request = match write.request_id.as_str() {
            "" => None,
            id if id.len() > limits::REQUEST_ID || id.contains(char::is_control) => {
                let reason = format!("use at most {} visible characters", limits::REQUEST_ID);
                return Err(status::invalid("request_id", reason));
            }
            id => Some(RequestId {
                id: id.to_owned(),
                digest: write.digest,
            }),
        };
        let mut context = CommandContext {
            now: self.control_api.now(),
            author: write.caller.author(),
            request,
        };
        let given = write.resource_version.as_deref();
        if write.dry_run {
            context.request = None;
            let change = decide(&self.published().state, &command, &context);
            let change = change.map_err(|rejection| status::rejected(&rejection, given))?;
            let revision = None;
            return Ok(WriteOutcome { change, revision });
        }
        let outcome = self.control_api.submit(command, context).await;
        let outcome = outcome.map_err(|error| status::submit(&error, given))?;
        self.wait_published(outcome.revision).await;
        Ok(WriteOutcome {
            change: outcome.change,
            revision: Some(outcome.revision),
        })
    }

    /// Waits until the published state has reached `revision`, for at most [`SETTLE_TIMEOUT`].
    pub(crate) async fn wait_published(&self, revision: Revision) {
        let mut published = self.control_api.published();
        let reached = published.wait_for(|published| published.state.revision() >= revision);
        // A timeout is no error: the change is written, and readers will see it.
        let _settled = timeout(SETTLE_TIMEOUT, reached).await.is_ok();
    }
}
