//! Serves one connection, from the TLS handshake to its last byte.

use std::{
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    ops::DerefMut,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper::{
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch::Receiver,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use toolgate_runtime::{Drain, random};

use crate::{
    activity::{ActivityIo, ConnectionActivity},
    connection_cache::{CacheSlot, TokenHashCache},
    handler::{RequestHandler, handle_request},
    limits::ListenerLimits,
    listener::ListenerContext,
    long_lived_stream::{StreamHandoff, serve_long_lived},
    request::ConnectionInfo,
};

/// Number of header fields that hyper's HTTP/1 parser accepts by default, without allocating. Requests above the
/// configured limit are rejected by [`handle_request`].
const HYPER_HEADER_LIMIT: usize = 100;

/// Handler, listener state and drain of a connection.
pub(crate) struct ConnectionContext<G> {
    pub(crate) handler: Arc<G>,
    pub(crate) listener: Arc<ListenerContext>,
    pub(crate) drain: Drain,
    /// Turns `true` when connections have to close.
    pub(crate) closing: Receiver<bool>,
}

/// Executor for the tasks that hyper spawns for a connection.
#[derive(Clone)]
struct DrainExecutor(Drain);

/// Future of a long-lived stream that took its connection over from hyper.
pub(crate) type DetachedStream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves a connection until it ends, or until a long-lived stream takes it over; returns that stream's future. The
/// reason for the end is not reported.
pub(crate) async fn serve<G: RequestHandler>(
    context: ConnectionContext<G>,
    stream: TcpStream,
    address: IpAddr,
) -> Option<DetachedStream> {
    let limits = &context.listener.limits;
    let Some(tls) = context.listener.tls.clone() else {
        let multiplexed = timeout(limits.head_timeout, is_http2(&stream))
            .await
            .ok()?
            .ok()?;
        return serve_http(context, stream, address, multiplexed).await;
    };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let stream = timeout(limits.handshake_timeout, handshake)
        .await
        .ok()?
        .ok()?;
    let multiplexed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    // Boxed, as is HTTP/2 below: plaintext HTTP/1 connections, the majority, do not pay for the larger future.
    Box::pin(serve_http(context, stream, address, multiplexed)).await
}

/// Peeks at the stream and returns `true` if it begins with the HTTP/2 preface.
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8; 3] = b"PRI";
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..seen] != PREFACE[..seen] {
            return Ok(false);
        }
        if seen == PREFACE.len() {
            return Ok(true);
        }
        // Only part of the preface has arrived. Peeking again without a pause would return at once.
        sleep(Duration::from_millis(10)).await;
    }
}

async fn serve_http<G, T>(
    context: ConnectionContext<G>,
    stream: T,
    address: IpAddr,
    multiplexed: bool,
) -> Option<DetachedStream>
where
    G: RequestHandler,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ConnectionContext {
        handler,
        listener,
        drain,
        closing,
    } = context;
    let activity = ConnectionActivity::new(multiplexed);
    let info = Arc::new(ConnectionInfo {
        address,
        token_hashes: TokenHashCache::default(),
        cache_slot: CacheSlot::default(),
        activity: Arc::clone(&activity),
    });
    let io = TokioIo::new(ActivityIo::new(stream, Arc::clone(&activity)));
    let limits = listener.limits.clone();
    // Requests of an HTTP/2 connection share it, so no stream can take it over.
    let handoff = (!multiplexed).then(Arc::<StreamHandoff<_>>::default);
    let offered = handoff.clone();
    let service = service_fn(move |request| {
        handle_request(
            Arc::clone(&handler),
            Arc::clone(&listener),
            Arc::clone(&info),
            offered.clone(),
            request,
        )
    });
    let Some(handoff) = handoff else {
        let connection = http2(&limits, drain).serve_connection(io, service);
        let connection = Box::pin(connection);
        Box::pin(drive(
            connection,
            |c| c.graceful_shutdown(),
            || false,
            &activity,
            &limits,
            closing,
        ))
        .await;
        return None;
    };
    let mut connection = http1(&limits).serve_connection(io, service);
    // Everything written before must have been taken by the client.
    let is_handed_off = || handoff.is_offered() && !activity.is_writing();
    drive(
        Pin::new(&mut connection),
        |c| c.graceful_shutdown(),
        is_handed_off,
        &activity,
        &limits,
        closing,
    )
    .await;
    let answer = is_handed_off().then(|| handoff.take()).flatten()?;
    let io = connection.into_parts().io.into_inner().into_inner();
    Some(Box::pin(serve_long_lived(
        io,
        answer,
        limits.write_stall_timeout,
    )))
}

/// Builds the HTTP/1 server without hyper's header timeout: [`ConnectionActivity`] needs one timer per connection,
/// hyper would arm one per request.
fn http1(limits: &ListenerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    if limits.headers > HYPER_HEADER_LIMIT {
        builder.max_headers(limits.headers);
    }
    builder
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(2 * limits.header_bytes);
    builder
}

fn http2(limits: &ListenerLimits, drain: Drain) -> http2::Builder<DrainExecutor> {
    let header_bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(DrainExecutor(drain));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.local_resets)
        .max_header_list_size(header_bytes)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_interval);
    builder
}

/// Polls a connection until it ends, times out, is taken over, or has closed after being asked to.
async fn drive<C: Future>(
    mut connection: Pin<impl DerefMut<Target = C>>,
    close: impl Fn(Pin<&mut C>),
    is_handed_off: impl Fn() -> bool,
    activity: &ConnectionActivity,
    limits: &ListenerLimits,
    mut closing: Receiver<bool>,
) {
    let tenth = (limits.max_age / 10).as_millis().max(1);
    let jitter = Duration::from_millis(random::number() % u64::try_from(tenth).unwrap_or(u64::MAX));
    let max_age_deadline = Instant::now() + limits.max_age - jitter;
    let mut close_requested =
        pin!(async move { closing.wait_for(|closing| *closing).await.is_ok() });
    let mut timer = pin!(sleep_until(max_age_deadline));
    let mut is_closing = false;
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() || is_handed_off() {
            return Poll::Ready(());
        }
        if !is_closing && close_requested.as_mut().poll(cx).is_ready() {
            is_closing = true;
            close(connection.as_mut());
            // Wakes the task so that the graceful shutdown makes progress now.
            cx.waker().wake_by_ref();
        }
        loop {
            let deadline = activity.deadline(limits);
            // A deadline that moved later is noticed when the timer fires. This is the usual case and costs nothing
            // here.
            if deadline.is_some_and(|deadline| deadline < timer.deadline()) {
                timer.as_mut().reset(deadline.unwrap_or(max_age_deadline));
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(());
            }
            if now >= max_age_deadline && !is_closing {
                is_closing = true;
                close(connection.as_mut());
                cx.waker().wake_by_ref();
            }
            let next_check = now + limits.idle_timeout;
            timer
                .as_mut()
                .reset(deadline.map_or(next_check, |deadline| deadline.min(next_check)));
        }
    })
    .await;
}

impl<F> Executor<F> for DrainExecutor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        // Streams of a connection; the drain already waits for the connection.
        drop(self.0.spawn_unguarded(future));
    }
}
