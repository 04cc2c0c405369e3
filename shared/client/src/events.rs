//! Event streams of a server: read one event at a time, with limits on the size of an event and on the number of events
//! per call.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use toolgate_egress::{Answer, HttpClient};
use toolgate_mcp::sse::{Event, Framer};
use toolgate_runtime::{
    Budget,
    budget::{Charge, Holder},
};

use crate::{
    body::{Deadlines, Quiet, SMALL_ANSWER, hold},
    endpoint::{Endpoint, ReadLimits},
    error::ClientError,
    old::Told,
    pace::{self, Helpings, Pace},
    place::{Place, take_up},
    send::Headers,
};

/// Maximum number of events in one response; the stream fails at the last of them. Well above the number of
/// notifications that a rate-limited stream carries in ten seconds, so that such a stream does not cost a call its
/// response. Long-lived streams have no limit.
pub const EVENTS: u32 = 250_000;

/// Number of bytes parsed into events at once. It limits the events waiting to be read, however small they are.
const SLICE: usize = 16 * 1024;

/// Number of events and slices after which the task yields to others on its thread.
const TURN: u32 = 64;

/// Events of a response body, or the messages of one request routed from the shared stream of an HTTP+SSE server.
#[derive(Debug)]
pub struct EventStream {
    source: Source,
    deadlines: Deadlines,
    quiet: Quiet,
    framer: Framer,
    limits: ReadLimits,
    /// Part of the last chunk not yet parsed into events.
    rest: Bytes,
    /// Pending error; events received before it are returned first.
    fault: Option<ClientError>,
    place: Place,
    /// Number of chunks received.
    pieces: u64,
    /// Number of events still allowed; `None` for no limit.
    left: Option<u32>,
    /// Budget for the buffer of an unfinished event.
    budget: Option<Arc<Budget>>,
    holder: Option<Holder>,
    charge: Option<Charge>,
    held: Option<(Instant, Deadlines)>,
    /// Events and slices read since the last yield.
    turn: u32,
    pace: Pace,
    /// Time before which the stream is not read.
    pause: Option<Instant>,
}

enum Source {
    Body(Answer),
    Told(Told),
    /// The stream has ended and is being resumed. The mutex is never locked: it only makes the unshared future `Sync`.
    Away(Mutex<BoxFuture<'static, Result<EventStream, ClientError>>>),
}

impl EventStream {
    /// Reads the events of `body`, charged to `budget` while they are held.
    pub fn new(
        body: Answer,
        limits: ReadLimits,
        budget: Option<&Arc<Budget>>,
        deadlines: Deadlines,
    ) -> Self {
        Self::of(Source::Body(body), limits, budget.cloned(), deadlines)
    }

    /// Reads the messages routed to one request of an HTTP+SSE server. The reader of the shared stream charges them.
    pub(crate) fn told(told: Told, limits: ReadLimits, deadlines: Deadlines) -> Self {
        Self::of(Source::Told(told), limits, None, deadlines)
    }

    fn of(
        source: Source,
        limits: ReadLimits,
        budget: Option<Arc<Budget>>,
        deadlines: Deadlines,
    ) -> Self {
        Self {
            source,
            deadlines,
            quiet: None,
            framer: Framer::new(limits.sse()),
            limits,
            rest: Bytes::new(),
            fault: None,
            place: Place::default(),
            pieces: 0,
            left: deadlines.end.map(|_| EVENTS),
            budget,
            holder: None,
            charge: None,
            held: None,
            turn: 0,
            pace: Pace::new(match deadlines.end {
                Some(_) => Helpings::AWAITED,
                None => Helpings::NEWS,
            }),
            pause: None,
        }
    }

    /// Charges the held bytes to this owner.
    pub(crate) fn held_by(&mut self, holder: Holder) {
        self.holder = Some(holder);
    }

    /// Reads at the rate of an awaited response although the stream is long-lived, since responses arrive on it.
    pub(crate) fn is_awaited(&mut self) {
        self.pace = Pace::new(Helpings::AWAITED);
    }

    /// Excludes the last message from the rate limit: it was requested.
    pub(crate) fn was_asked_for(&mut self) {
        self.pace.forgive(pace::ANSWER);
    }

    /// Reads the chunks already received without rate limit; for a stream that is being closed.
    pub(crate) fn hurry(&mut self) {
        self.pace = Pace::new(Helpings::AWAITED);
        self.pause = None;
        self.turn = 0;
    }

    /// Suspends the deadlines while the server itself waits for the client.
    pub fn hold(&mut self) {
        if self.held.is_none() {
            let deadlines = std::mem::replace(&mut self.deadlines, Deadlines::NONE);
            self.held = Some((Instant::now(), deadlines));
        }
    }

    /// Resumes the deadlines; the suspended time does not count.
    pub fn go_on(&mut self) {
        if let Some((since, deadlines)) = self.held.take() {
            let end = deadlines.end.map(|end| end + since.elapsed());
            self.deadlines = Deadlines { end, ..deadlines };
            self.quiet = None;
        }
    }

    /// Returns the next event; `None` at the end. The event id is removed: see [`last_id`](Self::last_id). Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            self.turn += 1;
            if self.turn >= TURN {
                self.turn = 0;
                yield_now().await;
            }
            if let Some(mut event) = self.framer.next_event() {
                self.count()?;
                if event.data.len() > SMALL_ANSWER {
                    event.data = hold(self.charge.take(), event.data);
                }
                if self.place.passes(&mut event) {
                    continue;
                }
                return Ok(Some(event));
            }
            if let Some(fault) = self.fault.take() {
                // Resuming would deliver the same fault again.
                self.place.lose();
                return Err(fault);
            }
            self.rests().await?;
            if !self.rest.is_empty() {
                let slice = self.rest.split_to(SLICE.min(self.rest.len()));
                self.fault = self.push(&slice).err();
                continue;
            }
            let body = match &mut self.source {
                Source::Body(body) => body,
                Source::Told(told) => {
                    let data = self.deadlines.limit(&mut self.quiet, told.next()).await??;
                    self.count()?;
                    return Ok(Some(Event {
                        data,
                        ..Event::default()
                    }));
                }
                Source::Away(_) => {
                    self.back().await?;
                    continue;
                }
            };
            let next = self.deadlines.piece(&mut self.quiet, body);
            let piece = if self.pace.in_helpings() {
                match next.now_or_never() {
                    Some(piece) => piece?,
                    None => {
                        self.pause = self.pace.pause(Instant::now());
                        continue;
                    }
                }
            } else {
                next.await?
            };
            let Some(piece) = piece else {
                return Ok(None);
            };
            self.pieces += 1;
            self.pace.take(u32::from(piece.len() < pace::SMALL));
            self.rest = piece;
        }
    }

    /// Waits until the rate limit allows reading.
    async fn rests(&mut self) -> Result<(), ClientError> {
        if self.pace.is_over() && self.pause.is_none() {
            self.pause = self.pace.pause(Instant::now());
        }
        let Some(until) = self.pause else {
            return Ok(());
        };
        // The pause is not idle time of the server.
        let deadlines = Deadlines {
            idle: None,
            ..self.deadlines
        };
        let mut quiet = self.quiet;
        deadlines.limit(&mut quiet, sleep_until(until)).await?;
        self.pause = None;
        Ok(())
    }

    fn push(&mut self, slice: &[u8]) -> Result<(), ClientError> {
        let before = self.framer.effort();
        let pushed = self.framer.push(slice);
        let effort = self.framer.effort().saturating_sub(before);
        self.pace.take(u32::try_from(effort).unwrap_or(u32::MAX));
        if pushed.is_err() {
            self.rest.clear();
            return Err(ClientError::TooLarge(self.limits.message));
        }
        let kept = self.framer.buffered();
        if kept > SMALL_ANSWER
            && let Some(budget) = &self.budget
        {
            let charge = self.charge.get_or_insert_with(|| budget.open(self.holder));
            charge.cover(kept)?;
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), ClientError> {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Err(ClientError::TooMuch(EVENTS));
            }
        }
        Ok(())
    }

    /// Returns the next event that carries a message; `None` at the end. Cancel-safe.
    pub async fn message(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(event) = self.next().await? {
            if event.is_message() {
                return Ok(Some(event.data));
            }
        }
        Ok(None)
    }

    /// Like [`message`](Self::message), for a legacy server's stream: an ended stream is resumed in its session as
    /// often as allowed. Cancel-safe.
    pub async fn message_in(
        &mut self,
        http: &HttpClient,
        endpoint: &Endpoint,
        headers: &Headers,
    ) -> Result<Option<Bytes>, ClientError> {
        loop {
            let message = self.message().await;
            let ended = Self::has_ended(&message);
            if !ended || !self.take_up(http, endpoint, headers.clone()) {
                return message;
            }
        }
    }

    /// Returns `true` if the result of a read is the end of a stream rather than an error of its content.
    pub fn has_ended(read: &Result<Option<Bytes>, ClientError>) -> bool {
        matches!(read, Ok(None) | Err(ClientError::Broken(_)))
    }

    /// Starts to resume a legacy server's stream that has ended, within the same deadlines. Returns `false` if there is
    /// no position to resume from: the end is final.
    #[must_use]
    pub fn take_up(&mut self, http: &HttpClient, endpoint: &Endpoint, headers: Headers) -> bool {
        let Some(place) = self.place.leave() else {
            return false;
        };
        let coming = take_up(http.clone(), endpoint.clone(), headers, place);
        self.source = Source::Away(Mutex::new(Box::pin(coming)));
        self.quiet = None;
        true
    }

    /// Waits until the stream has been resumed. Cancel-safe.
    pub async fn back(&mut self) -> Result<(), ClientError> {
        let Source::Away(coming) = &mut self.source else {
            return Ok(());
        };
        // A delay requested by the server is not idle time.
        let deadlines = Deadlines {
            idle: None,
            ..self.deadlines
        };
        let coming = coming.get_mut().unwrap_or_else(PoisonError::into_inner);
        let came = deadlines.limit(&mut self.quiet, coming).await?;
        self.quiet = None;
        let stream = came.inspect_err(|_| self.place.lose())?;
        // An event that was cut off is sent again from its beginning.
        self.framer = stream.framer;
        self.rest = Bytes::new();
        self.charge = None;
        self.source = stream.source;
        Ok(())
    }

    /// Returns the id of the last event that had one, from which a legacy stream can be resumed.
    pub fn last_id(&self) -> Option<&str> {
        self.place.id()
    }

    /// Returns the server's `retry` delay before a stream is resumed.
    pub fn retry(&self) -> Option<Duration> {
        self.place.retry()
    }

    /// Returns the number of chunks received; comments count too.
    pub(crate) fn pieces(&self) -> u64 {
        self.pieces
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body(_) => "Body",
            Self::Told(_) => "Told",
            Self::Away(_) => "Away",
        })
    }
}

#[cfg(test)]
mod tests;
