//! Guard of one stream of a session.

use std::fmt;

use toolgate_actor::ActorHandle;
use toolgate_data_core::session::StreamId;

use super::actor::{SessionActor, SessionMessage};
use crate::stream::StreamOwner;

/// Notifies the session on drop that the stream is closed.
pub(crate) struct SessionStreamGuard {
    stream: StreamId,
    session: ActorHandle<SessionActor>,
}

impl SessionStreamGuard {
    pub(crate) fn new(stream: StreamId, session: ActorHandle<SessionActor>) -> Self {
        Self { stream, session }
    }
}

impl StreamOwner for SessionStreamGuard {}

impl Drop for SessionStreamGuard {
    fn drop(&mut self) {
        // If the actor's mailbox is full, it notices at the next keep-alive.
        let _busy_or_gone = self.session.tell(SessionMessage::Closed(self.stream));
    }
}

impl fmt::Debug for SessionStreamGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionStreamGuard({})", self.stream.0)
    }
}
