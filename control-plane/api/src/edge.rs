//! What all services of a listener share: the desk, and how a command is handed over.

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

/// How long an answer waits for its own write to be published, so that whoever wrote can read it.
const SETTLE: Duration = Duration::from_secs(2);

/// Shared by the services of one listener.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) desk: Arc<dyn Desk>,
    pub(crate) drain: Drain,
    pub(crate) watches: Arc<Watches>,
}

/// What a write request carries beside the object.
pub(crate) struct Wish<'a> {
    pub(crate) caller: &'a Caller,
    /// May be empty.
    pub(crate) request_id: String,
    /// Of the whole request.
    pub(crate) digest: Digest,
    pub(crate) dry_run: bool,
    /// The resource version that came with it.
    pub(crate) given: Option<String>,
}

/// What a write has come to.
pub(crate) struct Done {
    pub(crate) change: Change,
    /// None on a dry run.
    pub(crate) revision: Option<Revision>,
}

impl Edge {
    /// What is published now.
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.desk.published().borrow())
    }

    /// Recognises the same request when it comes again. Keyed, because a request may hold a secret that could be
    /// guessed.
    pub(crate) fn digest(&self, caller: &Caller, request: &impl Message) -> Digest {
        let mut bytes = caller.method.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend(request.encode_to_vec());
        Digest(self.desk.hash(Purpose::Cursor, &bytes).0)
    }

    /// Hands a command over; on a dry run, decides it and stops there.
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

    /// Waits until what is published is at least as new as `revision`, but not long.
    pub(crate) async fn settle(&self, revision: Revision) {
        let mut published = self.desk.published();
        let reached = published.wait_for(|published| published.state.revision() >= revision);
        // Too slow is not wrong: it has been written, and readers will see it.
        let _settled = timeout(SETTLE, reached).await.is_ok();
    }
}
