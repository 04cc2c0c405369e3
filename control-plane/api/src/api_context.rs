//! State shared by all services of a listener, and the submission of commands.

use std::{sync::Arc, time::Duration};

use prost::Message;
use tokio::time::timeout;
use tonic::Status;
use toolgate_control_core::{
    Change, Command, CommandAuthor, CommandContext, Revision,
    command::RequestId,
    decide, limits,
    port::{
        CertificateAuthority, CommandWriter, CursorSigner, PublishedState, SecretSealer,
        ServerProber, StateReader, TokenIssuer,
    },
};
use toolgate_model::Digest;
use toolgate_runtime::Drain;

use crate::{
    call_readers::CallReaders, caller::AdminCaller, control_api::ControlApi, status,
    watch_limiter::WatchLimiter,
};

/// Maximum time a response waits for its own write to be published, so that the caller can read it at once.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// State shared by the services of the admin listener, with one port for each use.
#[derive(Clone)]
pub(crate) struct ApiContext {
    pub(crate) state: Arc<dyn StateReader>,
    pub(crate) cursors: Arc<dyn CursorSigner>,
    pub(crate) secrets: SecretServices,
    pub(crate) prober: Arc<dyn ServerProber>,
    pub(crate) authority: Arc<dyn CertificateAuthority>,
    pub(crate) drain: Drain,
    pub(crate) watch_limiter: Arc<WatchLimiter>,
    pub(crate) call_readers: CallReaders,
    writer: Arc<dyn CommandWriter>,
}

/// Services for the secrets of an object that is written.
#[derive(Clone)]
pub(crate) struct SecretServices {
    pub(crate) sealer: Arc<dyn SecretSealer>,
    pub(crate) tokens: Arc<dyn TokenIssuer>,
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

/// Waits until the published state has reached `revision`, for at most [`SETTLE_TIMEOUT`].
pub(crate) async fn wait_published(state: &dyn StateReader, revision: Revision) {
    let mut watcher = state.watch_state();
    let reached = watcher.wait_for(|published| published.state.revision() >= revision);
    // A timeout is no error: the change is written, and readers will see it.
    let _settled = timeout(SETTLE_TIMEOUT, reached).await.is_ok();
}

impl ApiContext {
    /// Creates the context of a listener.
    pub(crate) fn new(
        control_api: &Arc<dyn ControlApi>,
        call_readers: CallReaders,
        drain: Drain,
    ) -> Self {
        Self {
            state: Arc::<dyn ControlApi>::clone(control_api),
            cursors: Arc::<dyn ControlApi>::clone(control_api),
            secrets: SecretServices {
                sealer: Arc::<dyn ControlApi>::clone(control_api),
                tokens: Arc::<dyn ControlApi>::clone(control_api),
            },
            prober: Arc::<dyn ControlApi>::clone(control_api),
            authority: Arc::<dyn ControlApi>::clone(control_api),
            drain,
            watch_limiter: Arc::default(),
            call_readers,
            writer: Arc::<dyn ControlApi>::clone(control_api),
        }
    }

    /// Returns the state that is published now.
    pub(crate) fn published(&self) -> Arc<PublishedState> {
        self.state.published()
    }

    /// Digest that recognises a repeated request. It is keyed, because a request may contain a secret that could be
    /// guessed.
    pub(crate) fn digest(&self, caller: &AdminCaller, request: &impl Message) -> Digest {
        let mut bytes = caller.method.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend(request.encode_to_vec());
        self.cursors.sign(&bytes)
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
            now: self.state.now(),
            author: CommandAuthor::Caller(write.caller.identity.clone()),
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
        let outcome = self.writer.submit(command, context).await;
        let outcome = outcome.map_err(|error| status::submit(&error, given))?;
        wait_published(&*self.state, outcome.revision).await;
        Ok(WriteOutcome {
            change: outcome.change,
            revision: Some(outcome.revision),
        })
    }
}
