//! State shared by all services of a listener, and the submission of commands.

use std::{sync::Arc, time::Duration};

use prost::Message;
use tokio::time::timeout;
use tonic::Status;
use toolgate_control_core::{
    Change, Command, Context, Revision, command::RequestId, decide, limits,
};
use toolgate_model::Digest;
use toolgate_runtime::Drain;

use crate::{
    caller::Caller,
    desk::{Desk, Published, Purpose},
    status,
    watches::Watches,
};

/// Maximum time a response waits for its own write to be published, so that the caller can read it at once.
const SETTLE: Duration = Duration::from_secs(2);

/// State shared by the services of one listener.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) desk: Arc<dyn Desk>,
    pub(crate) drain: Drain,
    pub(crate) watches: Arc<Watches>,
}

/// Fields of a write request other than the object.
pub(crate) struct Wish<'a> {
    pub(crate) caller: &'a Caller,
    /// May be empty.
    pub(crate) request_id: String,
    /// Digest of the whole request.
    pub(crate) digest: Digest,
    pub(crate) dry_run: bool,
    /// Resource version in the request.
    pub(crate) given: Option<String>,
}

/// Result of a write request.
pub(crate) struct Done {
    pub(crate) change: Change,
    /// `None` for a dry run.
    pub(crate) revision: Option<Revision>,
}

impl Edge {
    /// Returns the state that is published now.
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.desk.published().borrow())
    }

    /// Digest that recognises a repeated request. It is keyed, because a request may contain a secret that could be
    /// guessed.
    pub(crate) fn digest(&self, caller: &Caller, request: &impl Message) -> Digest {
        let mut bytes = caller.method.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend(request.encode_to_vec());
        Digest(self.desk.hash(Purpose::Cursor, &bytes).0)
    }

    /// Submits a command. A dry run only decides it.
    pub(crate) async fn submit(&self, wish: &Wish<'_>, command: Command) -> Result<Done, Status> {
        let request = match wish.request_id.as_str() {
            "" => None,
            id if id.len() > limits::REQUEST_ID || id.contains(char::is_control) => {
                let reason = format!("use at most {} visible characters", limits::REQUEST_ID);
                return Err(status::invalid("request_id", reason));
            }
            id => Some(RequestId {
                id: id.to_owned(),
                digest: wish.digest,
            }),
        };
        let mut context = Context {
            now: self.desk.now(),
            author: wish.caller.author(),
            request,
        };
        let given = wish.given.as_deref();
        if wish.dry_run {
            context.request = None;
            let change = decide(&self.published().state, &command, &context);
            let change = change.map_err(|rejection| status::rejected(&rejection, given))?;
            let revision = None;
            return Ok(Done { change, revision });
        }
        let outcome = self.desk.submit(command, context).await;
        let outcome = outcome.map_err(|error| status::submit(&error, given))?;
        self.settle(outcome.revision).await;
        Ok(Done {
            change: outcome.change,
            revision: Some(outcome.revision),
        })
    }

    /// Waits until the published state has reached `revision`, for at most [`SETTLE_TIMEOUT`].
    pub(crate) async fn settle(&self, revision: Revision) {
        let mut published = self.desk.published();
        let reached = published.wait_for(|published| published.state.revision() >= revision);
        // A timeout is no error: the change is written, and readers will see it.
        let _settled = timeout(SETTLE, reached).await.is_ok();
    }
}
