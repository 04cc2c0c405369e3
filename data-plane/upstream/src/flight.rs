//! A call on its way. Whoever lets go of it before its end takes it back, in the way of the server's era.

use std::sync::Arc;

use http::HeaderValue;
use toolgate_client::{EventStream, HttpSseStream, RequestHeaders, send};
use toolgate_data_core::{port::UpstreamSessionHandle, refusal::UpstreamFailure};
use toolgate_mcp::message;
use toolgate_model::Timestamp;
use toolgate_runtime::{Drain, trace::TraceSpan};

use crate::{
    refuse::{PATIENCE, refuse},
    station::{Leave, Station},
    upstream::{Presented, Target},
};

/// One request that was sent to a server.
pub(crate) struct Flight {
    leave: Leave<Target>,
    presented: Arc<Presented>,
    /// Of legacy servers: the session it runs in, and its id there.
    link: Option<(Arc<UpstreamSessionHandle>, u64)>,
    drain: Drain,
    landed: bool,
    /// Ends with the flight.
    span: Option<TraceSpan>,
}

impl Flight {
    pub(crate) fn new(
        leave: Leave<Target>,
        presented: Arc<Presented>,
        link: Option<(Arc<UpstreamSessionHandle>, u64)>,
        drain: Drain,
    ) -> Self {
        Self {
            leave,
            presented,
            link,
            drain,
            landed: false,
            span: None,
        }
    }

    /// The span of this request to the server.
    pub(crate) fn traced(mut self, span: Option<TraceSpan>) -> Self {
        self.span = span;
        self
    }

    /// The server answered.
    pub(crate) fn worked(&mut self) {
        self.landed = true;
        self.leave.worked();
    }

    /// The server answered, and has nothing of this call any more: others may take its place there.
    pub(crate) fn rests(&mut self) {
        self.worked();
        self.leave.rests();
    }

    /// It came to this. A server that may still be at it is told to stop.
    pub(crate) fn failed(&mut self, failure: UpstreamFailure) {
        if let Some(span) = &self.span {
            span.set_error(failure.kind());
        }
        self.landed |= !goes_on(failure);
        self.leave.failed(failure);
    }

    /// The server has said all that it has to say of it, whatever that is worth: there is nothing to take back.
    pub(crate) fn lands(&mut self) {
        self.landed = true;
    }

    /// Answers something that the server asked of nobody.
    pub(crate) fn refuse(&self, answer: bytes::Bytes) {
        if let Some((link, _)) = &self.link {
            refuse(
                link,
                self.leave.station(),
                &self.presented,
                &self.drain,
                answer,
            );
        }
    }

    /// Answers something that the server asked, for its client. Nobody waits for it.
    pub(crate) fn respond(&self, body: bytes::Bytes) {
        self.post(body, "answer to a server");
    }

    /// The session that it runs in is in use.
    pub(crate) fn touch(&self, now: Timestamp) {
        if let Some((facts, _)) = &self.link {
            facts.touch(now);
        }
    }

    /// The stream of its answer has ended before the answer: takes it up, if its server is one that allows that.
    pub(crate) fn take_up(&self, events: &mut EventStream, now: Timestamp) -> bool {
        let Some((facts, _)) = &self.link else {
            return false;
        };
        // Whoever is asked for more of an answer is in use, however long that takes.
        facts.touch(now);
        let http = &self.leave.station().target.http;
        events.start_resume(http, &self.presented.endpoint, session_headers(facts))
    }

    fn post(&self, body: bytes::Bytes, name: &'static str) {
        let Some((facts, _)) = &self.link else {
            return;
        };
        let station: Arc<Station<Target>> = Arc::clone(self.leave.station());
        // Whoever asks and asks, or is called and left again and again, and takes in nothing, is told no more.
        let Some(room) = station.note() else {
            return;
        };
        let headers = session_headers(facts);
        let endpoint = self.presented.within(PATIENCE);
        drop(self.drain.spawn(name, async move {
            // Accepted or not, there is nothing more to do about it.
            let _sent = send(&station.target.http, &endpoint, headers, body).await;
            drop(room);
        }));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.landed || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        // A modern server sees its connection closed, which says the same; to one of old that is the end of the session.
        if let Some((facts, id)) = &self.link
            && !is_lost(facts)
        {
            let body = message::cancelled(&id.to_string(), "the caller no longer waits");
            self.post(body, "cancellation");
        }
    }
}

/// Whether the server may still be at a call that has come to this here: it was not heard out. That a connection broke
/// says nothing of the call to a legacy server; and what makes no sense ahead of its answer need not be all it has to say.
fn goes_on(failure: UpstreamFailure) -> bool {
    match failure {
        UpstreamFailure::Timeout
        | UpstreamFailure::TooLarge
        | UpstreamFailure::TooManyMessages
        | UpstreamFailure::ResponseBufferFull
        | UpstreamFailure::Broken
        | UpstreamFailure::Malformed => true,
        UpstreamFailure::Unreachable
        | UpstreamFailure::CircuitOpen
        | UpstreamFailure::Busy
        | UpstreamFailure::TooManyOpen(_)
        | UpstreamFailure::Overloaded
        | UpstreamFailure::Status
        | UpstreamFailure::Credential
        | UpstreamFailure::RateLimited
        | UpstreamFailure::StateTooLarge
        | UpstreamFailure::TooLargeAfterRewrite
        | UpstreamFailure::NeedsInput
        | UpstreamFailure::InputNotGiven
        | UpstreamFailure::SessionLost => false,
    }
}

/// With a server of old: the stream of this session.
pub(crate) fn old_stream(facts: &UpstreamSessionHandle) -> Option<Arc<HttpSseStream>> {
    let kept = facts.handshake.transport.clone()?;
    kept.0.downcast().ok()
}

/// Whether the stream of this session has ended, and the session with it.
pub(crate) fn is_lost(facts: &UpstreamSessionHandle) -> bool {
    old_stream(facts).is_some_and(|old| old.is_closed())
}

/// The headers of a message within a session with a legacy server.
pub(crate) fn session_headers(facts: &UpstreamSessionHandle) -> RequestHeaders {
    let session = facts.handshake.session.as_deref();
    let session = session.and_then(|session| HeaderValue::from_str(session).ok());
    RequestHeaders::legacy(&facts.handshake.version, session.as_ref())
}
