//! Reading a stream of events: one at a time, each of a bounded size, and no more of them than a call can be about.

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

/// Events that are too many for one answer: the stream ends with the last of them. Far more than what is thinned out on
/// its way to a client in ten seconds, which is to cost no call its answer. A stream that is meant to stay may have any number.
pub const EVENTS: u32 = 250_000;

/// Bytes that are cut into events at once: however small they are, no more of them than these hold wait to be read.
const SLICE: usize = 16 * 1024;

/// Events and slices after which others on this thread have their turn, however much there is to read.
const TURN: u32 = 64;

/// Events of a body, or what a server of old says of one request on the stream that it says everything on.
#[derive(Debug)]
pub struct EventStream {
    source: Source,
    deadlines: Deadlines,
    quiet: Quiet,
    framer: Framer,
    limits: ReadLimits,
    /// Of the last piece, what has not been cut into events.
    rest: Bytes,
    /// What is wrong with it. Events before the fault are still told.
    fault: Option<ClientError>,
    place: Place,
    /// Pieces that came.
    pieces: u64,
    /// Events that may still come; none for any number.
    left: Option<u32>,
    /// For what is kept of an unfinished event.
    budget: Option<Arc<Budget>>,
    holder: Option<Holder>,
    charge: Option<Charge>,
    held: Option<(Instant, Deadlines)>,
    /// What was read in this turn.
    turn: u32,
    pace: Pace,
    /// It is not read before this.
    pause: Option<Instant>,
}

enum Source {
    Body(Answer),
    Told(Told),
    /// It has ended, and is being taken up. Never locked: it only makes a future `Sync` that nobody shares.
    Away(Mutex<BoxFuture<'static, Result<EventStream, ClientError>>>),
}

impl EventStream {
    /// The events of `body`, counted in `budget` as long as they are held.
    pub fn new(
        body: Answer,
        limits: ReadLimits,
        budget: Option<&Arc<Budget>>,
        deadlines: Deadlines,
    ) -> Self {
        Self::of(Source::Body(body), limits, budget.cloned(), deadlines)
    }

    /// What a server of old says. Whoever reads its stream counts it.
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

    /// What is held of its events is held by this one.
    pub(crate) fn held_by(&mut self, holder: Holder) {
        self.holder = Some(holder);
    }

    /// Answers come on it, though it is meant to stay.
    pub(crate) fn is_awaited(&mut self) {
        self.pace = Pace::new(Helpings::AWAITED);
    }

    /// The message that came last was asked for.
    pub(crate) fn was_asked_for(&mut self) {
        self.pace.forgive(pace::ANSWER);
    }

    /// It is given up with what has come of it: that is read now or never.
    pub(crate) fn hurry(&mut self) {
        self.pace = Pace::new(Helpings::AWAITED);
        self.pause = None;
        self.turn = 0;
    }

    /// From now on the server is not waited for: it waits itself, for somebody else.
    pub fn hold(&mut self) {
        if self.held.is_none() {
            let deadlines = std::mem::replace(&mut self.deadlines, Deadlines::NONE);
            self.held = Some((Instant::now(), deadlines));
        }
    }

    /// It is its turn again; the time in between does not count.
    pub fn go_on(&mut self) {
        if let Some((since, deadlines)) = self.held.take() {
            let end = deadlines.end.map(|end| end + since.elapsed());
            self.deadlines = Deadlines { end, ..deadlines };
            self.quiet = None;
        }
    }

    /// The next event; none at the end. Its id is not told with it: see [`last_id`](Self::last_id). Cancel-safe.
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
                // It would only be told again.
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

    /// Makes a pause where too much has come.
    async fn rests(&mut self) -> Result<(), ClientError> {
        if self.pace.is_over() && self.pause.is_none() {
            self.pause = self.pace.pause(Instant::now());
        }
        let Some(until) = self.pause else {
            return Ok(());
        };
        // It is no silence of the server's.
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

    /// The next event that carries a message; none at the end. Cancel-safe.
    pub async fn message(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(event) = self.next().await? {
            if event.is_message() {
                return Ok(Some(event.data));
            }
        }
        Ok(None)
    }

    /// The same, of a legacy server's stream: one that ends is taken up in its session as often as it can be.
    /// Cancel-safe.
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

    /// Whether what was read is the end of a stream, rather than something that is wrong with it.
    pub fn has_ended(read: &Result<Option<Bytes>, ClientError>) -> bool {
        matches!(read, Ok(None) | Err(ClientError::Broken(_)))
    }

    /// A legacy server's stream has ended: what comes next comes from where it is taken up, within the same deadlines.
    /// False if there is no such place, and the end is the end.
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

    /// Waits until a stream that is being taken up has come back. Cancel-safe.
    pub async fn back(&mut self) -> Result<(), ClientError> {
        let Source::Away(coming) = &mut self.source else {
            return Ok(());
        };
        // A pause that the server asked for is no silence of its.
        let deadlines = Deadlines {
            idle: None,
            ..self.deadlines
        };
        let coming = coming.get_mut().unwrap_or_else(PoisonError::into_inner);
        let came = deadlines.limit(&mut self.quiet, coming).await?;
        self.quiet = None;
        let stream = came.inspect_err(|_| self.place.lose())?;
        // An event that was cut off is told again, from its beginning.
        self.framer = stream.framer;
        self.rest = Bytes::new();
        self.charge = None;
        self.source = stream.source;
        Ok(())
    }

    /// The id of the last event that had one: where a legacy stream can be taken up.
    pub fn last_id(&self) -> Option<&str> {
        self.place.id()
    }

    /// How long the server wants to be left alone before a stream is taken up.
    pub fn retry(&self) -> Option<Duration> {
        self.place.retry()
    }

    /// How many pieces have come: whether anything has been heard at all, if only a comment.
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
