//! An HTTP/1.1 connection, driven by its current request. No task runs beside the request: the future that waits for a
//! response polls the connection itself, so that a response wakes only the task of its caller.
//!
//! A connection keeps one waker for its whole life, which forwards wake-ups to the current request. Wake-ups between
//! the connection and its request during a poll wake no task, and an idle connection does not keep the task of its last
//! request alive.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{body::EgressRequestBody, connector::TransportStream};

/// Maximum number of polls in a row for wake-ups raised during a poll, before the task yields.
const MAX_POLLS: usize = 8;

/// Established HTTP/1.1 connection.
pub(crate) struct Http1Connection {
    sender: SendRequest<EgressRequestBody>,
    /// `None` once the connection has ended. It must be dropped then: only the drop fails a request that has not been
    /// started.
    connection: Option<http1::Connection<TransportStream, EgressRequestBody>>,
    /// Set once for many requests; re-armed when it fires before the deadline.
    timer: Pin<Box<Sleep>>,
    signal: Arc<ConnectionWaker>,
    waker: Waker,
    /// Time since which the connection has been unused.
    pub(crate) idle_since: Instant,
    /// Slot of the thread whose runtime polls the socket.
    pub(crate) thread: usize,
}

/// Error of a request on this connection.
pub(crate) enum Http1SendError {
    /// Nothing was sent; contains the request.
    Unsent(Box<Request<EgressRequestBody>>, hyper::Error),
    /// The server may have received the request.
    Broken(hyper::Error),
    /// The deadline passed.
    DeadlineExceeded,
}

/// Waker of a connection: wakes the task of the current request, except for wake-ups raised while that task is polling
/// the connection.
struct ConnectionWaker {
    state: AtomicU8,
    user: AtomicWaker,
}

const IDLE: u8 = 0;
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

impl ConnectionWaker {
    fn begin(&self) {
        self.state.store(POLLED, Ordering::Release);
    }

    /// Ends a poll; returns `true` if a wake-up was raised during it.
    fn end(&self) -> bool {
        self.state.swap(IDLE, Ordering::AcqRel) == WOKEN
    }
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self
            .state
            .compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if noted == Err(IDLE) {
            self.user.wake();
        }
    }
}

impl Http1Connection {
    /// Performs the HTTP/1.1 handshake on an established `stream`.
    pub(crate) async fn new(
        stream: TransportStream,
        builder: &http1::Builder,
        thread: usize,
    ) -> Result<Box<Self>, hyper::Error> {
        let (sender, connection) = builder.handshake(stream).await?;
        let signal = Arc::new(ConnectionWaker {
            state: AtomicU8::new(IDLE),
            user: AtomicWaker::new(),
        });
        let now = Instant::now();
        Ok(Box::new(Self {
            sender,
            connection: Some(connection),
            timer: Box::pin(sleep_until(now)),
            waker: Waker::from(Arc::clone(&signal)),
            signal,
            idle_since: now,
            thread,
        }))
    }

    /// Sends a request and waits for the response head.
    pub(crate) async fn request(
        &mut self,
        request: Request<EgressRequestBody>,
        deadline: Option<Instant>,
    ) -> Result<Response<Incoming>, Http1SendError> {
        let mut sent = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|cx| self.poll_while(cx, deadline, |cx| sent.as_mut().poll(cx))).await;
        match answer {
            None => Err(Http1SendError::DeadlineExceeded),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(mut unsent)) => Err(match unsent.take_message() {
                Some(request) => Http1SendError::Unsent(Box::new(request), unsent.into_error()),
                None => Http1SendError::Broken(unsent.into_error()),
            }),
        }
    }

    /// Polls for the next frame of a response body.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>>> {
        use http_body::Body as _;
        // The frame has usually arrived together with the previous read.
        self.signal.begin();
        let there = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(&self.waker));
        self.signal.end();
        if there.is_ready() {
            return there;
        }
        let next = self.poll_while(cx, None, |cx| Pin::new(&mut *body).poll_frame(cx));
        // Without a deadline, the result is never `None`.
        next.map(Option::flatten)
    }

    /// Returns `true` if the last response was read to its end and the connection can be used again.
    pub(crate) fn is_reusable(&mut self) -> bool {
        if self.connection.is_some() && !self.sender.is_ready() {
            self.signal.begin();
            self.drive();
            self.signal.end();
        }
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Marks the connection as unused from now on.
    pub(crate) fn mark_idle(&mut self) {
        drop(self.signal.user.take());
        self.idle_since = Instant::now();
    }

    /// Polls `wanted` and the connection. Ready with `None` if the deadline has passed.
    fn poll_while<T>(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        self.signal.user.register(cx.waker());
        for _ in 0..MAX_POLLS {
            self.signal.begin();
            self.drive();
            if let Poll::Ready(ready) = poll(&mut Context::from_waker(&self.waker)) {
                // A pending wake-up is handled by the next poll of the connection; it is not waited for now.
                self.signal.end();
                return Poll::Ready(Some(ready));
            }
            if deadline.is_some_and(|deadline| self.deadline_passed(deadline)) {
                self.signal.end();
                return Poll::Ready(None);
            }
            if !self.signal.end() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn drive(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        // The pending request receives the outcome of the connection.
        if Pin::new(connection)
            .poll(&mut Context::from_waker(&self.waker))
            .is_ready()
        {
            self.connection = None;
        }
    }

    fn deadline_passed(&mut self, deadline: Instant) -> bool {
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        let mut own = Context::from_waker(&self.waker);
        while self.timer.as_mut().poll(&mut own).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            self.timer.as_mut().reset(deadline);
        }
        false
    }
}
