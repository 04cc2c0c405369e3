//! The HTTP+SSE transport (2024-11-05). All messages of the server arrive on one long-lived stream; messages to the
//! server are posted to a URL announced on that stream. For the layers above, such a server is a legacy server: each
//! request has its own stream of messages, demultiplexed from the shared one.

mod silence;
mod table;

use std::{fmt, future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http::{HeaderMap, StatusCode, Uri};
use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use toolgate_egress::HttpClient;
use toolgate_mcp::{RpcError, answer::Body, error::codes, message, method};
use toolgate_runtime::drain::Drain;
use url::Url;

use crate::{
    body::Deadlines,
    conversation::scan,
    endpoint::Endpoint,
    error::ClientError,
    events::EventStream,
    reply::{Reply, ReplyBody},
    send::{Headers, bounded, open_stream, send_to},
};

use silence::{Silence, TICKS, Verdict};
use table::Table;
pub(crate) use table::Told;

/// Timeout until the server announces its message URL.
const OPENING: Duration = Duration::from_secs(10);

/// Timeout of a response that rejects a request of the server, and the maximum number of such responses in flight.
const REFUSING: Duration = Duration::from_secs(5);
const REFUSALS: usize = 8;

/// Maximum length of the message URL in bytes.
const MAX_URL: usize = 8 * 1024;

/// Shared stream of one server, read by its own task until this is dropped.
pub struct OldStream {
    messages: Uri,
    table: Arc<Table>,
    _open: oneshot::Sender<()>,
}

/// Task that reads the shared stream.
struct Reader {
    events: EventStream,
    table: Arc<Table>,
    http: HttpClient,
    endpoint: Endpoint,
    messages: Uri,
    /// Maximum silence during a call.
    patience: Duration,
}

/// Outcome of dispatching a message.
enum Became {
    /// The message was a response, delivered to its request.
    Answer,
    /// The message was delivered, or has no recipient.
    Done,
    /// The message is a request of the server without a recipient; contains the response.
    Refused(Bytes),
}

/// Closes all pending requests when the reader ends for any reason, so that none waits forever.
struct End(Arc<Table>);

/// Returns `true` if this error of `initialize` may come from a server without Streamable HTTP.
pub(crate) fn may_be_old(error: &ClientError) -> bool {
    let status = error.status().map(|status| status.as_u16());
    let modern = error.rpc().is_some_and(|rpc| codes::is_modern(rpc.code));
    matches!(status, Some(400 | 404 | 405)) && !modern
}

impl OldStream {
    /// Opens the stream and reads the message URL. Returns `None` if the server does not announce one.
    pub(crate) async fn open(
        http: &HttpClient,
        endpoint: &Endpoint,
        drain: &Drain,
    ) -> Result<Option<Arc<Self>>, ClientError> {
        let opening = async {
            let opened = open_stream(http, endpoint, Headers::none(), None).await;
            let mut events = opened.ok().flatten()?;
            let first = events.next().await.ok().flatten()?;
            (first.event.as_deref() == Some("endpoint")).then_some((events, first.data))
        };
        let most = OPENING.min(endpoint.timeouts.first_byte);
        let Ok(Some((mut events, named))) = timeout(most, opening).await else {
            return Ok(None);
        };
        events.is_awaited();
        let messages = beside(&endpoint.uri, &named)?;
        let table = Arc::new(Table::default());
        let (open, closed) = oneshot::channel();
        let reader = Reader {
            events,
            table: Arc::clone(&table),
            http: http.clone(),
            endpoint: endpoint.clone().within(REFUSING),
            messages: messages.clone(),
            patience: patience(endpoint),
        };
        let settled = drain.settled();
        drop(drain.spawn_unguarded(async move {
            let _end = End(Arc::clone(&reader.table));
            tokio::select! {
                () = settled => {}
                _ = closed => {}
                () = reader.run() => {}
            }
        }));
        Ok(Some(Arc::new(Self {
            messages,
            table,
            _open: open,
        })))
    }

    /// Returns `true` if the stream has ended.
    pub fn is_lost(&self) -> bool {
        self.table.is_lost()
    }

    /// Like [`send`](crate::send()): the response to a request is its part of the shared stream.
    pub(crate) async fn send(
        &self,
        http: &HttpClient,
        endpoint: &Endpoint,
        headers: Headers,
        message: Bytes,
    ) -> Result<Reply, ClientError> {
        let ours = scan(&message)?;
        let told = match (&ours.body, ours.id) {
            (Body::Request { .. }, Some(id)) => Some(Table::enter(&self.table, id.raw)?),
            _ => None,
        };
        let reply = send_to(http, (endpoint, &self.messages), headers, message).await?;
        if is_gone(reply.status) {
            // The server does not know this stream: pending requests would wait in vain.
            self.table.lose();
        }
        let Some(told) = told.filter(|_| reply.status.is_success()) else {
            return Ok(reply);
        };
        let deadlines = bounded(endpoint);
        let idle = Some(patience(endpoint));
        let deadlines = Deadlines { idle, ..deadlines };
        let events = EventStream::told(told, endpoint.limits, deadlines);
        Ok(Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: ReplyBody::Sse(Box::new(events)),
        })
    }

    /// Like [`open_stream`]: messages that belong to no request. One listener at a time.
    pub(crate) fn listen(&self, endpoint: &Endpoint) -> Result<Option<EventStream>, ClientError> {
        let told = Table::listen(&self.table)?;
        Ok(told.map(|told| EventStream::told(told, endpoint.limits, Deadlines::NONE)))
    }
}

impl Reader {
    /// Reads until the stream ends.
    async fn run(self) {
        let Self {
            mut events,
            table,
            http,
            endpoint,
            messages,
            patience,
        } = self;
        let to = (&endpoint, &messages);
        let mut refusing = FuturesUnordered::new();
        let tick = (patience / TICKS).max(Duration::from_millis(1));
        let mut ticks = interval_at(Instant::now() + tick, tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut silence, mut asked) = (Silence::default(), 0_u64);
        let mut sign = never();
        loop {
            let message = tokio::select! {
                message = events.message() => message,
                Some(_told) = refusing.next() => continue,
                told = &mut sign => {
                    sign = never();
                    if told.as_ref().is_ok_and(|reply| is_gone(reply.status)) {
                        return;
                    }
                    silence.told(told.is_ok_and(|reply| reply.status.is_success()));
                    continue;
                }
                _ = ticks.tick() => {
                    match silence.tick(events.pieces(), table.waiting() > 0) {
                        Verdict::Fine => {}
                        Verdict::Ask => {
                            asked += 1;
                            let ping = sign_of_life(asked);
                            sign = Box::pin(send_to(&http, to, Headers::none(), ping));
                        }
                        Verdict::Lost => return,
                    }
                    continue;
                }
            };
            let Ok(Some(message)) = message else { return };
            match handed(&table, &message) {
                Became::Answer => events.was_asked_for(),
                // Limits the responses in flight to a server that keeps sending requests.
                Became::Refused(refusal) if refusing.len() < REFUSALS => {
                    refusing.push(send_to(&http, to, Headers::none(), refusal));
                }
                Became::Refused(_) | Became::Done => {}
            }
        }
    }
}

/// Returns the maximum silence during a call. The response head of Streamable HTTP has no counterpart here, so the
/// first-byte timeout applies within the stream as well.
fn patience(endpoint: &Endpoint) -> Duration {
    endpoint.timeouts.idle.max(endpoint.timeouts.first_byte)
}

/// Returns `true` if the server does not know the stream.
fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Builds a ping under an id that no request of a call has. Any response counts.
fn sign_of_life(number: u64) -> Bytes {
    message::request(&format!("\"sign-of-life-{number}\""), method::PING, None)
}

/// Returns a future that never completes, used while no ping is in flight.
fn never<'a>() -> BoxFuture<'a, Result<Reply, ClientError>> {
    Box::pin(pending())
}

/// Delivers a message to its recipient.
fn handed(table: &Table, message: &Bytes) -> Became {
    let Ok(answer) = scan(message) else {
        return Became::Done;
    };
    let taken = table.hand_on(message, &answer);
    match (&answer.body, answer.id) {
        (Body::Result(_) | Body::Error(_), _) if taken => Became::Answer,
        (Body::Request { method, .. }, Some(id)) if !taken => {
            Became::Refused(if method.as_str() == method::PING {
                message::response(id.raw, "{}")
            } else {
                RpcError::method_not_found(method.as_str()).to_bytes(Some(id.raw))
            })
        }
        _ => Became::Done,
    }
}

/// Resolves the announced message URL, which must have the origin of the stream.
fn beside(stream: &Uri, named: &[u8]) -> Result<Uri, ClientError> {
    let refused = |words: &'static str| ClientError::Protocol(words.into());
    let invalid = "the server names no valid URL for its messages";
    let named = std::str::from_utf8(named).map_err(|_| refused(invalid))?;
    let stream = Url::parse(&stream.to_string()).map_err(|_| refused(invalid))?;
    if named.is_empty() || named.len() > MAX_URL {
        return Err(refused(invalid));
    }
    let mut url = stream.join(named.trim()).map_err(|_| refused(invalid))?;
    let userinfo = !url.username().is_empty() || url.password().is_some();
    if url.origin() != stream.origin() || userinfo {
        return Err(refused(
            "the server wants its messages at another origin than its own",
        ));
    }
    url.set_fragment(None);
    url.as_str().parse().map_err(|_| refused(invalid))
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.lose();
    }
}

impl fmt::Debug for OldStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The message URL is a secret between client and server.
        write!(f, "OldStream({})", self.table.waiting())
    }
}

#[cfg(test)]
mod tests;
