//! Shared stream of an upstream session (GET). A request on it belongs to the call that is in flight in the session, if
//! it is the only one, and is refused at once otherwise. The stream is opened before the first call: a server stores no
//! messages for a stream that is opened later, and waits for the answer to a request that was not received.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use toolgate_client::{EventStream, open_stream};
use toolgate_data_core::rewrite::{deep_request_response, server_request_response};
use toolgate_mcp::{
    FrameErrorKind, FrameLimits, method,
    server_message::{ServerMessageBody, scan},
};
use toolgate_runtime::Drain;

use crate::{
    endpoint::AuthenticatedEndpoint,
    responder::refuse,
    session::{CallGeneration, UpstreamSessionHandle},
    upstream::Upstream,
};

/// Interval of checks that the session still exists.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Pause between the end of a stream and the next one.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Maximum time that a call waits for the stream to open.
const OPEN_TIMEOUT: Duration = Duration::from_millis(500);

/// Reader of the shared stream of one session.
struct SharedStream {
    session: Weak<UpstreamSessionHandle>,
    upstream: Arc<Upstream>,
    endpoint: Arc<AuthenticatedEndpoint>,
    drain: Drain,
}

/// Opens the shared stream of a session unless it is open. Returns when it is open, when it is known that there is
/// none, or after [`OPEN_TIMEOUT`]. If no client can get a request of the server (`may_request`), the stream of a server
/// that holds back the heads of its streams is not waited for.
pub(crate) async fn open_shared_stream(
    session: &Arc<UpstreamSessionHandle>,
    upstream: &Arc<Upstream>,
    endpoint: &Arc<AuthenticatedEndpoint>,
    drain: &Drain,
    may_request: bool,
) {
    if !session.shared_stream_receivers.listen() {
        return;
    }
    let stream = SharedStream {
        session: Arc::downgrade(session),
        upstream: Arc::clone(upstream),
        endpoint: Arc::clone(endpoint),
        drain: drain.clone(),
    };
    let settled = drain.settled();
    let (open, opened) = oneshot::channel();
    drop(drain.spawn_unguarded(async move {
        tokio::select! {
            () = settled => {}
            () = stream.run(open) => {}
        }
    }));
    let is_awaited = may_request || !upstream.holds_back_stream_heads();
    let upstream = Arc::clone(upstream);
    let begun = async move {
        let held_back = timeout(OPEN_TIMEOUT, opened).await.is_err();
        upstream.set_holds_back_stream_heads(held_back);
    };
    // The call is sent in any case.
    if is_awaited {
        begun.await;
    } else {
        drop(drain.spawn_unguarded(begun));
    }
}

/// End of one stream.
enum StreamEnd {
    /// The server has no such stream.
    NotOffered,
    /// Another call began while the stream was being resumed. It must not get older messages, so that a new stream is
    /// opened.
    Overtaken,
    /// The stream or the session has ended.
    Closed,
}

impl SharedStream {
    async fn run(self, open: oneshot::Sender<()>) {
        let mut open = Some(open);
        loop {
            match self.read(&mut open).await {
                StreamEnd::NotOffered => return,
                StreamEnd::Overtaken => {}
                StreamEnd::Closed => break,
            }
        }
        sleep(REOPEN_PAUSE).await;
        if let Some(session) = self.session.upgrade() {
            session.shared_stream_receivers.release_stream();
        }
    }

    /// Reads one stream to its end.
    async fn read(&self, open: &mut Option<oneshot::Sender<()>>) -> StreamEnd {
        let Some(headers) = self.session.upgrade().map(|session| session.headers()) else {
            return StreamEnd::Closed;
        };
        let (http, endpoint) = (&self.upstream.target.http, &self.endpoint.endpoint);
        let mut events = match open_stream(http, endpoint, headers.clone(), None).await {
            Ok(Some(events)) => events,
            Ok(None) => return StreamEnd::NotOffered,
            Err(_gone) => return StreamEnd::Closed,
        };
        let _awaited = open.take().map(|open| open.send(()));
        loop {
            let message = tokio::select! {
                message = events.message() => message,
                () = sleep(CHECK_INTERVAL) => match self.session.strong_count() {
                    0 => return StreamEnd::Closed,
                    _ => continue,
                },
            };
            let Some(session) = self.session.upgrade() else {
                return StreamEnd::Closed;
            };
            if EventStream::has_ended(&message) {
                // Without a call in flight the messages have no recipient: the next call opens a new stream.
                let generation = session.shared_stream_receivers.generation();
                drop(session);
                if generation.is_none() || !events.start_resume(http, endpoint, headers.clone()) {
                    return StreamEnd::Closed;
                }
                match self.overtaken(&mut events, generation).await {
                    Some(ended) => return ended,
                    None => continue,
                }
            }
            let Ok(Some(message)) = message else {
                return StreamEnd::Closed;
            };
            self.dispatch(&message, &session);
        }
    }

    /// Waits until the stream is resumed. Returns its end if it is of no more use.
    async fn overtaken(
        &self,
        events: &mut EventStream,
        generation: Option<CallGeneration>,
    ) -> Option<StreamEnd> {
        if events.wait_resumed().await.is_err() {
            return Some(StreamEnd::Closed);
        }
        match self.session.upgrade() {
            Some(session) if session.shared_stream_receivers.generation() == generation => None,
            Some(session) if session.shared_stream_receivers.generation().is_some() => {
                Some(StreamEnd::Overtaken)
            }
            Some(_) | None => Some(StreamEnd::Closed),
        }
    }

    fn dispatch(&self, message: &Bytes, session: &Arc<UpstreamSessionHandle>) {
        let answer = match scan(message, &FrameLimits::SERVER_MESSAGE) {
            Ok(answer) => answer,
            Err(error) if error.reason == FrameErrorKind::TooDeep => {
                return self.refuse_deep(message, session);
            }
            Err(_invalid) => return,
        };
        match &answer.body {
            ServerMessageBody::Request { method, .. } => {
                let id = answer.id.map(|id| id.raw).unwrap_or_default();
                if method.as_str() == method::PING
                    || !session
                        .shared_stream_receivers
                        .deliver_to_sole_call(message, true)
                {
                    self.post(session, server_request_response(method.as_str(), id));
                }
            }
            ServerMessageBody::Notification { method, .. } => {
                if matches!(method.as_str(), method::CANCELLED | method::MESSAGE) {
                    let _unclaimed = session
                        .shared_stream_receivers
                        .deliver_to_sole_call(message, false);
                }
            }
            ServerMessageBody::Result(_) | ServerMessageBody::Error(_) => {}
        }
    }

    /// Refuses a request that is nested too deeply, so that the server does not wait.
    fn refuse_deep(&self, message: &Bytes, session: &Arc<UpstreamSessionHandle>) {
        let answer = scan(message, &FrameLimits::LENIENT);
        if let Ok(answer) = answer
            && let (ServerMessageBody::Request { .. }, Some(id)) = (&answer.body, answer.id)
        {
            self.post(session, deep_request_response(id.raw));
        }
    }

    fn post(&self, session: &Arc<UpstreamSessionHandle>, body: Bytes) {
        refuse(session, &self.upstream, &self.endpoint, &self.drain, body);
    }
}
