//! A call in flight at its server: its response is read, requests of the server are answered, and a call that is
//! dropped before its end is cancelled in the way of the server's era.

use std::{future::pending, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use toolgate_client::{ClientError, EventStream, LimitedBody, send};
use toolgate_data_core::{
    call::{BodyKind, CallEvent, UpstreamEnd, UpstreamVerdict},
    port::UpstreamSession as _,
    refusal::UpstreamFailure,
};
use toolgate_mcp::message;
use toolgate_model::Timestamp;
use toolgate_runtime::{Drain, trace::TraceSpan};

use crate::{
    endpoint::AuthenticatedEndpoint,
    failure,
    permit::CallPermit,
    responder::{RESPONSE_TIMEOUT, refuse, refuse_modern},
    session::UpstreamSessionHandle,
    subscriber::SharedStreamSubscriber,
    upstream::Upstream,
};

/// A request that was sent to a server. It is cancelled if it is dropped before a verdict says that the server is done.
pub struct InFlightCall {
    permit: CallPermit,
    endpoint: Arc<AuthenticatedEndpoint>,
    /// Session with a legacy server, and id of the request there.
    session: Option<(Arc<UpstreamSessionHandle>, u64)>,
    drain: Drain,
    body: UpstreamBody,
    subscriber: Option<SharedStreamSubscriber>,
    /// `true` if the server is done with the request.
    complete: bool,
    /// Ends with the call.
    span: Option<TraceSpan>,
}

/// Readable part of a response.
pub(crate) enum UpstreamBody {
    /// Nothing.
    Empty,
    /// A body that is neither a document nor a stream.
    Other,
    /// A document that was not read yet.
    Document(LimitedBody),
    /// A document that is being read.
    Reading(BoxFuture<'static, Result<Bytes, ClientError>>),
    /// A stream of events.
    Stream(Box<EventStream>),
}

impl InFlightCall {
    pub(crate) fn new(
        permit: CallPermit,
        endpoint: Arc<AuthenticatedEndpoint>,
        session: Option<(Arc<UpstreamSessionHandle>, u64)>,
        drain: Drain,
    ) -> Self {
        Self {
            permit,
            endpoint,
            session,
            drain,
            body: UpstreamBody::Empty,
            subscriber: None,
            complete: false,
            span: None,
        }
    }

    /// Adds the span of the request.
    pub(crate) fn traced(mut self, span: Option<TraceSpan>) -> Self {
        self.span = span;
        self
    }

    /// Ends a call that was not sent. Neither the server nor its circuit breaker is told.
    pub(crate) fn abandon(mut self) {
        self.complete = true;
    }

    /// Leaves timeouts of the call out of the health of its server.
    pub(crate) fn tolerate_timeout(&mut self) {
        self.permit.tolerate_timeout();
    }

    /// Adds the response, and the subscription to messages outside of it, which admits requests once a stream has
    /// begun.
    pub(crate) fn receive(
        &mut self,
        body: UpstreamBody,
        subscriber: Option<SharedStreamSubscriber>,
    ) {
        if let UpstreamBody::Stream(_) = body {
            self.permit.stream_began();
            if let Some(subscriber) = &subscriber {
                subscriber.open();
            }
        }
        self.body = body;
        self.subscriber = subscriber;
    }

    /// Returns the kind of the response body.
    pub(crate) fn body_kind(&self) -> BodyKind {
        match self.body {
            UpstreamBody::Empty => BodyKind::Empty,
            UpstreamBody::Other => BodyKind::Other,
            UpstreamBody::Document(_) | UpstreamBody::Reading(_) => BodyKind::Document,
            UpstreamBody::Stream(_) => BodyKind::Stream,
        }
    }

    /// Reads the document that is the whole response. Not cancel-safe; allocates nothing.
    pub async fn read_document(&mut self) -> CallEvent {
        match std::mem::replace(&mut self.body, UpstreamBody::Empty) {
            UpstreamBody::Document(body) => document(body.bytes().await),
            UpstreamBody::Reading(reading) => document(reading.await),
            UpstreamBody::Empty | UpstreamBody::Other | UpstreamBody::Stream(_) => {
                CallEvent::UpstreamEnd(UpstreamEnd::Failed(UpstreamFailure::Broken))
            }
        }
    }

    /// Waits for the next message, of the response or of the session's shared stream. Cancel-safe. Never ends if there
    /// is nothing to read.
    pub async fn read(&mut self) -> CallEvent {
        let Self {
            body, subscriber, ..
        } = self;
        let shared = async {
            match subscriber {
                Some(subscriber) => subscriber.message().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            message = shared => CallEvent::UpstreamMessage(message),
            event = body.read() => event,
        }
    }

    /// Answers a request of the server. The response is not awaited.
    pub fn respond(&self, answer: Bytes, now: Timestamp) {
        if let Some((session, _)) = &self.session {
            // Users take their time: the session must not look idle meanwhile.
            session.touch(now);
        }
        self.post(answer, "answer to a server");
    }

    /// Refuses a request of the server that no client gets.
    pub fn refuse(&self, answer: Bytes) {
        let upstream = self.permit.upstream();
        match &self.session {
            Some((session, _)) => refuse(session, upstream, &self.endpoint, &self.drain, answer),
            None => refuse_modern(upstream, &self.endpoint, &self.drain, answer),
        }
    }

    /// Reports the verdict to the circuit breaker. A response that is complete is read no further.
    pub fn settle(&mut self, verdict: UpstreamVerdict) {
        match verdict {
            UpstreamVerdict::Answered => self.answered(),
            UpstreamVerdict::Resting => {
                self.answered();
                self.permit.release();
            }
            UpstreamVerdict::Failed { failure, running } => {
                if let Some(span) = &self.span {
                    span.set_error(failure.kind());
                }
                self.complete |= !running;
                self.permit.record_failure(failure);
            }
        }
    }

    fn answered(&mut self) {
        self.complete = true;
        self.body = UpstreamBody::Empty;
        self.permit.record_success();
    }

    /// Stops the timeouts of the stream: the server waits for the client.
    pub fn hold_timeouts(&mut self) {
        if let UpstreamBody::Stream(events) = &mut self.body {
            events.pause_deadlines();
        }
    }

    /// Restarts the timeouts of the stream.
    pub fn resume_timeouts(&mut self) {
        if let UpstreamBody::Stream(events) = &mut self.body {
            events.resume_deadlines();
        }
    }

    /// Resumes an interrupted stream where it broke off. Returns `false` if that is not possible. The call itself is
    /// not sent again.
    #[must_use]
    pub fn start_resume(&mut self, now: Timestamp) -> bool {
        let (UpstreamBody::Stream(events), Some((session, _))) = (&mut self.body, &self.session)
        else {
            return false;
        };
        session.touch(now);
        let http = &self.permit.upstream().target.http;
        events.start_resume(http, &self.endpoint.endpoint, session.headers())
    }

    /// Cancels the call unless the server is done with it. A modern server sees its connection closed when the call is
    /// dropped; a legacy server gets a notification, unless its session has ended with its stream.
    pub fn cancel(&mut self) {
        if std::mem::replace(&mut self.complete, true) {
            return;
        }
        if let Some((session, id)) = &self.session
            && !session.is_lost()
        {
            let body = message::cancelled(&id.to_string(), "the caller no longer waits");
            self.post(body, "cancellation");
        }
    }

    fn post(&self, body: Bytes, name: &'static str) {
        let Some((session, _)) = &self.session else {
            return;
        };
        let upstream: Arc<Upstream> = Arc::clone(self.permit.upstream());
        // A server that sends request after request, or whose calls are cancelled again and again, and that accepts no
        // message, is sent no more.
        let Some(permit) = upstream.message_permit() else {
            return;
        };
        let headers = session.headers();
        let endpoint = self.endpoint.within(RESPONSE_TIMEOUT);
        drop(self.drain.spawn(name, async move {
            // Best effort.
            let _sent = send(&upstream.target.http, &endpoint, headers, body).await;
            drop(permit);
        }));
    }
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        if !self.complete && tokio::runtime::Handle::try_current().is_ok() {
            self.cancel();
        }
    }
}

impl UpstreamBody {
    async fn read(&mut self) -> CallEvent {
        if let Self::Document(_) = self
            && let Self::Document(body) = std::mem::replace(self, Self::Empty)
        {
            *self = Self::Reading(Box::pin(body.bytes()));
        }
        match self {
            Self::Stream(events) => streamed(events.message().await),
            Self::Reading(reading) => {
                let event = document(reading.as_mut().await);
                *self = Self::Empty;
                event
            }
            Self::Empty | Self::Other | Self::Document(_) => pending().await,
        }
    }
}

fn document(read: Result<Bytes, ClientError>) -> CallEvent {
    match read {
        Ok(bytes) => CallEvent::UpstreamMessage(bytes),
        Err(error) => CallEvent::UpstreamEnd(UpstreamEnd::Failed(failure::of(&error))),
    }
}

fn streamed(read: Result<Option<Bytes>, ClientError>) -> CallEvent {
    let interrupted = EventStream::has_ended(&read);
    let failure = match read {
        Ok(Some(message)) => return CallEvent::UpstreamMessage(message),
        Ok(None) => UpstreamFailure::Broken,
        Err(error) => failure::of(&error),
    };
    CallEvent::UpstreamEnd(match interrupted {
        true => UpstreamEnd::Interrupted(failure),
        false => UpstreamEnd::Failed(failure),
    })
}

#[cfg(test)]
mod tests;
