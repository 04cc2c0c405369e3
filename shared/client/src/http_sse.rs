//! The HTTP+SSE transport (2024-11-05). All messages of the server arrive on one long-lived stream; messages to the
//! server are posted to a URL announced on that stream. For the layers above, such a server is a legacy server: each
//! request has its own stream of messages, demultiplexed from the shared one.

mod liveness;
mod pending_requests;

use std::{fmt, future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http::{HeaderMap, StatusCode, Uri};
use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use toolgate_egress::HttpClient;
use toolgate_mcp::{RpcError, error::codes, message, method, server_message::ServerMessageBody};
use toolgate_runtime::drain::Drain;
use url::Url;

use crate::{
    body::ReadDeadlines,
    endpoint::ServerEndpoint,
    error::ClientError,
    events::EventStream,
    reply::{ReplyBody, ServerReply},
    rpc_client::scan,
    send::{RequestHeaders, bounded, open_stream, send_to},
};

use liveness::{LivenessProbe, LivenessVerdict, TICKS_PER_TIMEOUT};
pub(crate) use pending_requests::MessageReceiver;
use pending_requests::PendingRequests;

/// Timeout until the server announces its message URL.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a response that rejects a request of the server, and the maximum number of such responses in flight.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REFUSALS: usize = 8;

/// Maximum length of the message URL in bytes.
const MAX_URL: usize = 8 * 1024;

/// Shared stream of one server, read by its own task until this is dropped.
pub struct HttpSseStream {
    messages: Uri,
    pending: Arc<PendingRequests>,
    _open: oneshot::Sender<()>,
}

/// Task that reads the shared stream.
struct HttpSseReader {
    events: EventStream,
    pending: Arc<PendingRequests>,
    http: HttpClient,
    endpoint: ServerEndpoint,
    messages: Uri,
    /// Maximum silence during a call.
    silence_timeout: Duration,
}

/// Outcome of dispatching a message.
enum MessageOutcome {
    /// The message was a response, delivered to its request.
    Answer,
    /// The message was delivered, or has no recipient.
    Done,
    /// The message is a request of the server without a recipient; contains the response.
    Refused(Bytes),
}

/// Closes all pending requests when the reader ends for any reason, so that none waits forever.
struct CloseOnDrop(Arc<PendingRequests>);

/// Returns `true` if this error of `initialize` may come from a server without Streamable HTTP.
pub(crate) fn may_be_http_sse(error: &ClientError) -> bool {
    let status = error.status().map(|status| status.as_u16());
    let modern = error.rpc().is_some_and(|rpc| codes::is_modern(rpc.code));
    matches!(status, Some(400 | 404 | 405)) && !modern
}

impl HttpSseStream {
    /// Opens the stream and reads the message URL. Returns `None` if the server does not announce one.
    pub(crate) async fn open(
        http: &HttpClient,
        endpoint: &ServerEndpoint,
        drain: &Drain,
    ) -> Result<Option<Arc<Self>>, ClientError> {
        let opening = async {
            let opened = open_stream(http, endpoint, RequestHeaders::none(), None).await;
            let mut events = opened.ok().flatten()?;
            let first = events.next().await.ok().flatten()?;
            (first.event.as_deref() == Some("endpoint")).then_some((events, first.data))
        };
        let most = OPEN_TIMEOUT.min(endpoint.timeouts.first_byte);
        let Ok(Some((mut events, named))) = timeout(most, opening).await else {
            return Ok(None);
        };
        events.expect_answers();
        let mut messages = resolve_message_url(&endpoint.uri, &named)?;
        if let Some(credential) = &endpoint.credential {
            credential.remove_from(&mut messages);
        }
        let messages: Uri = messages.as_str().parse().map_err(|_| invalid_url())?;
        let table = Arc::new(PendingRequests::default());
        let (open, closed) = oneshot::channel();
        let reader = HttpSseReader {
            events,
            pending: Arc::clone(&table),
            http: http.clone(),
            endpoint: endpoint.clone().with_max_timeout(REFUSAL_TIMEOUT),
            messages: messages.clone(),
            silence_timeout: silence_timeout(endpoint),
        };
        let settled = drain.settled();
        drop(drain.spawn_unguarded(async move {
            let _end = CloseOnDrop(Arc::clone(&reader.pending));
            tokio::select! {
                () = settled => {}
                _ = closed => {}
                () = reader.run() => {}
            }
        }));
        Ok(Some(Arc::new(Self {
            messages,
            pending: table,
            _open: open,
        })))
    }

    /// Returns `true` if the stream has ended.
    pub fn is_closed(&self) -> bool {
        self.pending.is_closed()
    }

    /// Like [`send`](crate::send()): the response to a request is its part of the shared stream.
    pub(crate) async fn send(
        &self,
        http: &HttpClient,
        endpoint: &ServerEndpoint,
        headers: RequestHeaders,
        message: Bytes,
    ) -> Result<ServerReply, ClientError> {
        let request = scan(&message)?;
        let receiver = match (&request.body, request.id) {
            (ServerMessageBody::Request { .. }, Some(id)) => {
                Some(PendingRequests::register(&self.pending, id.raw)?)
            }
            _ => None,
        };
        let reply = send_to(http, (endpoint, &self.messages), headers, message).await?;
        if is_gone(reply.status) {
            // The server does not know this stream: pending requests would wait in vain.
            self.pending.close();
        }
        let Some(receiver) = receiver.filter(|_| reply.status.is_success()) else {
            return Ok(reply);
        };
        let deadlines = bounded(endpoint, Instant::now());
        let idle = Some(silence_timeout(endpoint));
        let deadlines = ReadDeadlines { idle, ..deadlines };
        let events = EventStream::from_routed(receiver, endpoint.limits, deadlines);
        Ok(ServerReply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: ReplyBody::Sse(Box::new(events)),
            credential: None,
        })
    }

    /// Like [`open_stream`]: messages that belong to no request. One listener at a time.
    pub(crate) fn listen(
        &self,
        endpoint: &ServerEndpoint,
    ) -> Result<Option<EventStream>, ClientError> {
        let receiver = PendingRequests::listen(&self.pending)?;
        Ok(receiver.map(|receiver| {
            EventStream::from_routed(receiver, endpoint.limits, ReadDeadlines::NONE)
        }))
    }
}

impl HttpSseReader {
    /// Reads until the stream ends.
    async fn run(self) {
        let Self {
            mut events,
            pending: table,
            http,
            endpoint,
            messages,
            silence_timeout: patience,
        } = self;
        let to = (&endpoint, &messages);
        let mut refusing = FuturesUnordered::new();
        let tick = (patience / TICKS_PER_TIMEOUT).max(Duration::from_millis(1));
        let mut ticks = interval_at(Instant::now() + tick, tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut liveness, mut pings) = (LivenessProbe::default(), 0_u64);
        let mut ping_in_flight = no_reply();
        loop {
            let message = tokio::select! {
                message = events.message() => message,
                Some(_result) = refusing.next() => continue,
                ping_reply = &mut ping_in_flight => {
                    ping_in_flight = no_reply();
                    if ping_reply.as_ref().is_ok_and(|reply| is_gone(reply.status)) {
                        return;
                    }
                    liveness.probe_sent(ping_reply.is_ok_and(|reply| reply.status.is_success()));
                    continue;
                }
                _ = ticks.tick() => {
                    match liveness.tick(events.chunks(), table.pending() > 0) {
                        LivenessVerdict::Healthy => {}
                        LivenessVerdict::Probe => {
                            pings += 1;
                            let ping = ping_request(pings);
                            ping_in_flight = Box::pin(send_to(&http, to, RequestHeaders::none(), ping));
                        }
                        LivenessVerdict::Dead => return,
                    }
                    continue;
                }
            };
            let Ok(Some(message)) = message else { return };
            match dispatch(&table, &message) {
                MessageOutcome::Answer => events.discount_answer(),
                // Limits the responses in flight to a server that keeps sending requests.
                MessageOutcome::Refused(refusal) if refusing.len() < MAX_REFUSALS => {
                    refusing.push(send_to(&http, to, RequestHeaders::none(), refusal));
                }
                MessageOutcome::Refused(_) | MessageOutcome::Done => {}
            }
        }
    }
}

/// Returns the maximum silence during a call. The response head of Streamable HTTP has no counterpart here, so the
/// first-byte timeout applies within the stream as well.
fn silence_timeout(endpoint: &ServerEndpoint) -> Duration {
    endpoint.timeouts.idle.max(endpoint.timeouts.first_byte)
}

/// Returns `true` if the server does not know the stream.
fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Builds a ping under an id that no request of a call has. Any response counts.
fn ping_request(number: u64) -> Bytes {
    message::request(&format!("\"sign-of-life-{number}\""), method::PING, None)
}

/// Returns a future that never completes, used while no ping is in flight.
fn no_reply<'a>() -> BoxFuture<'a, Result<ServerReply, ClientError>> {
    Box::pin(pending())
}

/// Delivers a message to its recipient.
fn dispatch(table: &PendingRequests, message: &Bytes) -> MessageOutcome {
    let Ok(answer) = scan(message) else {
        return MessageOutcome::Done;
    };
    let taken = table.deliver(message, &answer);
    match (&answer.body, answer.id) {
        (ServerMessageBody::Result(_) | ServerMessageBody::Error(_), _) if taken => {
            MessageOutcome::Answer
        }
        (ServerMessageBody::Request { method, .. }, Some(id)) if !taken => {
            MessageOutcome::Refused(if method.as_str() == method::PING {
                message::response(id.raw, "{}")
            } else {
                RpcError::method_not_found(method.as_str()).to_bytes(Some(id.raw))
            })
        }
        _ => MessageOutcome::Done,
    }
}

fn invalid_url() -> ClientError {
    ClientError::Protocol("the server names no valid URL for its messages".into())
}

/// Resolves the announced message URL, which must have the origin of the stream.
fn resolve_message_url(stream: &Uri, named: &[u8]) -> Result<Url, ClientError> {
    let named = std::str::from_utf8(named).map_err(|_| invalid_url())?;
    let stream = Url::parse(&stream.to_string()).map_err(|_| invalid_url())?;
    if named.is_empty() || named.len() > MAX_URL {
        return Err(invalid_url());
    }
    let mut url = stream.join(named.trim()).map_err(|_| invalid_url())?;
    let userinfo = !url.username().is_empty() || url.password().is_some();
    if url.origin() != stream.origin() || userinfo {
        let elsewhere = "the server wants its messages at another origin than its own";
        return Err(ClientError::Protocol(elsewhere.into()));
    }
    url.set_fragment(None);
    Ok(url)
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for HttpSseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The message URL is a secret between client and server.
        write!(f, "HttpSseStream({})", self.pending.pending())
    }
}

#[cfg(test)]
mod tests;
