//! One HTTP/1.1 connection, driven by whoever uses it. There is no task beside the request: the future that waits for
//! an answer polls the connection itself, so that a call to a server wakes nobody but its own caller.
//!
//! A connection keeps one waker of its own for its whole life, which passes wake-ups on to its present user. What the
//! connection and its user tell each other while they are being polled wakes nobody, and an unused connection does not
//! keep its last user's task alive.

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

use crate::{body::Body, connector::Connection};

/// How often a connection is polled for what it told itself before others get a turn.
const TURNS: usize = 8;

/// A connection that stands.
pub(crate) struct Line {
    sender: SendRequest<Body>,
    /// None when it is over. It has to be dropped then: only that tells a request which it had not begun with.
    connection: Option<http1::Connection<Connection, Body>>,
    /// Armed once for many requests: it is put off when it fires too early.
    timer: Pin<Box<Sleep>>,
    signal: Arc<Signal>,
    waker: Waker,
    /// Since when nobody has used it.
    pub(crate) idle_since: Instant,
    /// The thread whose runtime hears of its socket.
    pub(crate) thread: usize,
}

/// Why a request got no answer on this connection.
pub(crate) enum Unanswered {
    /// Nothing of it was sent: here it is again.
    Unsent(Box<Request<Body>>, hyper::Error),
    /// It may have been heard.
    Broken(hyper::Error),
    /// The deadline passed.
    Late,
}

/// Wakes whoever uses the connection, unless that is whom the news comes from.
struct Signal {
    state: AtomicU8,
    user: AtomicWaker,
}

const RESTING: u8 = 0;
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

impl Signal {
    fn begin(&self) {
        self.state.store(POLLED, Ordering::Release);
    }

    /// Whether there was news meanwhile.
    fn end(&self) -> bool {
        self.state.swap(RESTING, Ordering::AcqRel) == WOKEN
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self
            .state
            .compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if noted == Err(RESTING) {
            self.user.wake();
        }
    }
}

impl Line {
    /// Over `stream`, which stands.
    pub(crate) async fn new(
        stream: Connection,
        builder: &http1::Builder,
        thread: usize,
    ) -> Result<Box<Self>, hyper::Error> {
        let (sender, connection) = builder.handshake(stream).await?;
        let signal = Arc::new(Signal {
            state: AtomicU8::new(RESTING),
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

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn request(
        &mut self,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let mut sent = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|cx| self.poll_while(cx, deadline, |cx| sent.as_mut().poll(cx))).await;
        match answer {
            None => Err(Unanswered::Late),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(mut unsent)) => Err(match unsent.take_message() {
                Some(request) => Unanswered::Unsent(Box::new(request), unsent.into_error()),
                None => Unanswered::Broken(unsent.into_error()),
            }),
        }
    }

    /// The next piece of an answer.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>>> {
        use http_body::Body as _;
        // Mostly it came together with what was asked for last.
        self.signal.begin();
        let there = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(&self.waker));
        self.signal.end();
        if there.is_ready() {
            return there;
        }
        let next = self.poll_while(cx, None, |cx| Pin::new(&mut *body).poll_frame(cx));
        // Without a deadline none passes.
        next.map(Option::flatten)
    }

    /// Whether the last answer was read to its end, and another request may follow.
    pub(crate) fn is_free(&mut self) -> bool {
        if self.connection.is_some() && !self.sender.is_ready() {
            self.signal.begin();
            self.drive();
            self.signal.end();
        }
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Nobody uses it from now on.
    pub(crate) fn rest(&mut self) {
        drop(self.signal.user.take());
        self.idle_since = Instant::now();
    }

    /// Polls what waits for something of the connection, and the connection. None: the deadline has passed.
    fn poll_while<T>(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        self.signal.user.register(cx.waker());
        for _ in 0..TURNS {
            self.signal.begin();
            self.drive();
            if let Poll::Ready(ready) = wanted(&mut Context::from_waker(&self.waker)) {
                // News of before is found when the connection is polled next: it is not waited for now.
                self.signal.end();
                return Poll::Ready(Some(ready));
            }
            if deadline.is_some_and(|deadline| self.is_late(deadline)) {
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
        // How it ended is told to whoever waits for an answer.
        if Pin::new(connection)
            .poll(&mut Context::from_waker(&self.waker))
            .is_ready()
        {
            self.connection = None;
        }
    }

    fn is_late(&mut self, deadline: Instant) -> bool {
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
