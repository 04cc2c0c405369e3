//! One connection, from the handshake to the last byte.

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
    accept::Shared,
    gate::{Gate, pass},
    limits::DoorLimits,
    memo::{Slot, TokenMemo},
    request::Visitor,
    standing::{Handover, carry},
    watch::{Watch, Watched},
};

/// Fields of a head that hyper reads without taking memory for them; what is over the limit is refused by [`pass`].
const FIELDS: usize = 100;

/// What a connection is served with.
pub(crate) struct Host<G> {
    pub(crate) gate: Arc<G>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) drain: Drain,
    /// Turns true when connections are to end.
    pub(crate) closing: Receiver<bool>,
}

/// Runs what hyper wants to run beside a connection.
#[derive(Clone)]
struct Beside(Drain);

/// What is left of a connection that was taken by an answer that stands.
pub(crate) type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves one connection to its end, or until an answer takes it. Why it ended is of no consequence to anybody.
pub(crate) async fn serve<G: Gate>(
    host: Host<G>,
    stream: TcpStream,
    address: IpAddr,
) -> Option<Rest> {
    let limits = &host.shared.limits;
    let Some(tls) = host.shared.tls.clone() else {
        let multiplexed = timeout(limits.head, is_http2(&stream)).await.ok()?.ok()?;
        return speak(host, stream, address, multiplexed).await;
    };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let stream = timeout(limits.handshake, handshake).await.ok()?.ok()?;
    let multiplexed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    // Boxed, like the other protocol below: what most connections never need is not carried by each.
    Box::pin(speak(host, stream, address, multiplexed)).await
}

/// Whether the client begins with HTTP/2's preface; looks without taking.
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
        // A byte or two of it have come: peeking again would answer at once.
        sleep(Duration::from_millis(10)).await;
    }
}

async fn speak<G, T>(host: Host<G>, stream: T, address: IpAddr, multiplexed: bool) -> Option<Rest>
where
    G: Gate,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Host {
        gate,
        shared,
        drain,
        closing,
    } = host;
    let watch = Watch::new(multiplexed);
    let visitor = Arc::new(Visitor {
        address,
        memo: TokenMemo::default(),
        slot: Slot::default(),
        watch: Arc::clone(&watch),
    });
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&watch)));
    let limits = shared.limits.clone();
    // Requests at once on one connection have to share it.
    let handover = (!multiplexed).then(Arc::<Handover<_>>::default);
    let offered = handover.clone();
    let service = service_fn(move |request| {
        pass(
            Arc::clone(&gate),
            Arc::clone(&shared),
            Arc::clone(&visitor),
            offered.clone(),
            request,
        )
    });
    let Some(handover) = handover else {
        let connection = http2(&limits, drain).serve_connection(io, service);
        let connection = Box::pin(connection);
        Box::pin(drive(
            connection,
            |c| c.graceful_shutdown(),
            || false,
            &watch,
            &limits,
            closing,
        ))
        .await;
        return None;
    };
    let mut connection = http1(&limits).serve_connection(io, service);
    // What was written before has to be with the client.
    let taken = || handover.is_offered() && !watch.is_writing();
    drive(
        Pin::new(&mut connection),
        |c| c.graceful_shutdown(),
        taken,
        &watch,
        &limits,
        closing,
    )
    .await;
    let answer = taken().then(|| handover.take()).flatten()?;
    let io = connection.into_parts().io.into_inner().into_inner();
    Some(Box::pin(carry(io, answer, limits.write_stall)))
}

/// No timer: [`Watch`] does with one per connection what hyper would do with one per request.
fn http1(limits: &DoorLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    if limits.headers > FIELDS {
        builder.max_headers(limits.headers);
    }
    builder
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(2 * limits.header_bytes);
    builder
}

fn http2(limits: &DoorLimits, drain: Drain) -> http2::Builder<Beside> {
    let header_bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(Beside(drain));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.local_resets)
        .max_header_list_size(header_bytes)
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.ping);
    builder
}

/// Runs a connection until it ends, times out, is taken, or is asked to close and has.
async fn drive<C: Future>(
    mut connection: Pin<impl DerefMut<Target = C>>,
    close: impl Fn(Pin<&mut C>),
    taken: impl Fn() -> bool,
    watch: &Watch,
    limits: &DoorLimits,
    mut closing: Receiver<bool>,
) {
    let tenth = (limits.age / 10).as_millis().max(1);
    let vary = Duration::from_millis(random::number() % u64::try_from(tenth).unwrap_or(u64::MAX));
    let aged = Instant::now() + limits.age - vary;
    let mut asked = pin!(async move { closing.wait_for(|closing| *closing).await.is_ok() });
    let mut timer = pin!(sleep_until(aged));
    let mut closed = false;
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() || taken() {
            return Poll::Ready(());
        }
        if !closed && asked.as_mut().poll(cx).is_ready() {
            closed = true;
            close(connection.as_mut());
            // Wakes itself so that the closing takes place now.
            cx.waker().wake_by_ref();
        }
        loop {
            let deadline = watch.deadline(limits);
            // Later is found out when the timer fires: the usual case, and it costs nothing here.
            if deadline.is_some_and(|deadline| deadline < timer.deadline()) {
                timer.as_mut().reset(deadline.unwrap_or(aged));
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(());
            }
            if now >= aged && !closed {
                closed = true;
                close(connection.as_mut());
                cx.waker().wake_by_ref();
            }
            let again = now + limits.idle;
            timer
                .as_mut()
                .reset(deadline.map_or(again, |deadline| deadline.min(again)));
        }
    })
    .await;
}

impl<F> Executor<F> for Beside
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        // Streams of a connection, which the drain waits for already.
        drop(self.0.spawn_unguarded(future));
    }
}
