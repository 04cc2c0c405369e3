//! Serves one connection, from the TLS handshake to its last byte.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc};

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
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use toolgate_runtime::{
    Drain,
    budget::BudgetOwner,
    connection::{ActivityIo, ConnectionActivity, ConnectionPermit, drive, is_http2},
    hosts::HostPolicy,
};

use crate::{
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

/// Both ends of a connection.
struct ConnectionAddresses {
    peer: IpAddr,
    /// Hosts that are served at the address where it arrived.
    hosts: HostPolicy,
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
    permit: &ConnectionPermit,
) -> Option<DetachedStream> {
    let limits = &context.listener.limits.connection;
    let hosts = match stream.local_addr() {
        Ok(local) => context.listener.hosts.at(local.ip()),
        Err(_unknown) => context.listener.hosts.clone(),
    };
    let addresses = ConnectionAddresses {
        peer: address,
        hosts,
    };
    let Some(tls) = context.listener.tls.clone() else {
        let multiplexed = timeout(limits.head_timeout, is_http2(&stream))
            .await
            .ok()?
            .ok()?;
        return serve_http(context, stream, addresses, multiplexed, permit).await;
    };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let stream = timeout(limits.handshake_timeout, handshake)
        .await
        .ok()?
        .ok()?;
    let session = stream.get_ref().1;
    let multiplexed = session.alpn_protocol() == Some(b"h2");
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    if certificate.is_some_and(|leaf| !permit.identify(BudgetOwner::of(leaf))) {
        return None;
    }
    // Boxed, as is HTTP/2 below: plaintext HTTP/1 connections, the majority, do not pay for the larger future.
    Box::pin(serve_http(context, stream, addresses, multiplexed, permit)).await
}

async fn serve_http<G, T>(
    context: ConnectionContext<G>,
    stream: T,
    addresses: ConnectionAddresses,
    multiplexed: bool,
    permit: &ConnectionPermit,
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
    let activity = ConnectionActivity::new(multiplexed, &listener.limits.connection);
    let info = Arc::new(ConnectionInfo {
        address: addresses.peer,
        hosts: addresses.hosts,
        token_hashes: TokenHashCache::default(),
        cache_slot: CacheSlot::default(),
        activity: Arc::clone(&activity),
        seat: Arc::clone(permit.seat()),
    });
    let io = TokioIo::new(ActivityIo::new(stream, Arc::clone(&activity)));
    let limits = listener.limits.clone();
    let responses = listener.responses.clone();
    let is_pressed = || responses.as_ref().is_some_and(|it| it.is_under_pressure());
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
        Box::pin(drive(
            Box::pin(connection),
            |c| c.graceful_shutdown(),
            || false,
            &activity,
            &limits.connection,
            begins(closing),
            is_pressed,
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
        &limits.connection,
        begins(closing),
        is_pressed,
    )
    .await;
    let answer = is_handed_off().then(|| handoff.take()).flatten()?;
    let io = connection.into_parts().io.into_inner().into_inner();
    Some(Box::pin(serve_long_lived(
        io,
        answer,
        limits.connection.write_stall_timeout,
    )))
}

/// Completes when the value becomes `true`, or its owner is gone.
async fn begins(mut value: Receiver<bool>) {
    let _begun_or_gone = value.wait_for(|value| *value).await;
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

impl<F> Executor<F> for DrainExecutor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        // Streams of a connection; the drain already waits for the connection.
        drop(self.0.spawn_unguarded(future));
    }
}
