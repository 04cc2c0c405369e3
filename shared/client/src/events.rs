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
use toolgate_egress::HttpClient;
use toolgate_mcp::sse::{SseDecoder, SseEvent};
use toolgate_runtime::{
    MemoryBudget,
    budget::{BudgetCharge, BudgetOwner},
};

use crate::{
    body::{IdleSince, ReadDeadlines, SMALL_RESPONSE, attach_charge},
    content_coding::DecodedBody,
    endpoint::{ReadLimits, ServerEndpoint},
    error::ClientError,
    http_sse::MessageReceiver,
    read_limiter::{self, ReadLimiter, ReadQuantum},
    send::RequestHeaders,
    stream_cursor::{StreamCursor, resume_stream},
};

/// Maximum number of events in one response; the stream fails at the last of them. Well above the number of
/// notifications that a rate-limited stream carries in ten seconds, so that such a stream does not cost a call its
/// response. Long-lived streams have no limit.
pub const MAX_EVENTS: u32 = 250_000;

/// Number of bytes parsed into events at once. It limits the events waiting to be read, however small they are.
const SLICE_BYTES: usize = 16 * 1024;

/// Number of events and slices after which the task yields to others on its thread.
const YIELD_EVERY: u32 = 64;

/// Events of a response body, or the messages of one request routed from the shared stream of an HTTP+SSE server.
#[derive(Debug)]
pub struct EventStream {
    source: StreamSource,
    deadlines: ReadDeadlines,
    idle_since: IdleSince,
    framer: SseDecoder,
    limits: ReadLimits,
    /// Part of the last chunk not yet parsed into events.
    rest: Bytes,
    /// Pending error; events received before it are returned first.
    fault: Option<ClientError>,
    cursor: StreamCursor,
    /// Number of chunks received.
    chunks: u64,
    /// Number of events still allowed; `None` for no limit.
    events_left: Option<u32>,
    /// Budget for the buffer of an unfinished event.
    budget: Option<Arc<MemoryBudget>>,
    owner: Option<BudgetOwner>,
    charge: Option<BudgetCharge>,
    paused_deadlines: Option<(Instant, ReadDeadlines)>,
    /// Events and slices read since the last yield.
    steps_since_yield: u32,
    read_limiter: ReadLimiter,
    /// Time before which the stream is not read.
    paused_until: Option<Instant>,
}

enum StreamSource {
    Body(DecodedBody),
    Routed(MessageReceiver),
    /// The stream has ended and is being resumed. The mutex is never locked: it only makes the unshared future `Sync`.
    Resuming(Mutex<BoxFuture<'static, Result<EventStream, ClientError>>>),
}

impl EventStream {
    /// Reads the events of `body`, charged to `budget` while they are held.
    pub(crate) fn new(
        body: DecodedBody,
        limits: ReadLimits,
        budget: Option<&Arc<MemoryBudget>>,
        deadlines: ReadDeadlines,
    ) -> Self {
        Self::of(StreamSource::Body(body), limits, budget.cloned(), deadlines)
    }

    /// Reads the messages routed to one request of an HTTP+SSE server. The reader of the shared stream charges them.
    pub(crate) fn from_routed(
        messages: MessageReceiver,
        limits: ReadLimits,
        deadlines: ReadDeadlines,
    ) -> Self {
        Self::of(StreamSource::Routed(messages), limits, None, deadlines)
    }

    fn of(
        source: StreamSource,
        limits: ReadLimits,
        budget: Option<Arc<MemoryBudget>>,
        deadlines: ReadDeadlines,
    ) -> Self {
        Self {
            source,
            deadlines,
            idle_since: None,
            framer: SseDecoder::new(limits.sse()),
            limits,
            rest: Bytes::new(),
            fault: None,
            cursor: StreamCursor::default(),
            chunks: 0,
            events_left: deadlines.end.map(|_| MAX_EVENTS),
            budget,
            owner: None,
            charge: None,
            paused_deadlines: None,
            steps_since_yield: 0,
            read_limiter: ReadLimiter::new(match deadlines.end {
                Some(_) => ReadQuantum::AWAITED,
                None => ReadQuantum::BACKGROUND,
            }),
            paused_until: None,
        }
    }

    /// Charges the held bytes to this owner.
    pub(crate) fn charge_to(&mut self, holder: BudgetOwner) {
        self.owner = Some(holder);
    }

    /// Reads at the rate of an awaited response although the stream is long-lived, since responses arrive on it.
    pub(crate) fn expect_answers(&mut self) {
        self.read_limiter = ReadLimiter::new(ReadQuantum::AWAITED);
    }

    /// Excludes the last message from the rate limit: it was requested.
    pub(crate) fn discount_answer(&mut self) {
        self.read_limiter.refund(read_limiter::ANSWER_COST);
    }

    /// Reads the chunks already received without rate limit; for a stream that is being closed.
    pub(crate) fn read_buffered_only(&mut self) {
        self.read_limiter = ReadLimiter::new(ReadQuantum::AWAITED);
        self.paused_until = None;
        self.steps_since_yield = 0;
    }

    /// Suspends the deadlines while the server itself waits for the client.
    pub fn pause_deadlines(&mut self) {
        if self.paused_deadlines.is_none() {
            let deadlines = std::mem::replace(&mut self.deadlines, ReadDeadlines::NONE);
            self.paused_deadlines = Some((Instant::now(), deadlines));
        }
    }

    /// Resumes the deadlines; the suspended time does not count.
    pub fn resume_deadlines(&mut self) {
        if let Some((since, deadlines)) = self.paused_deadlines.take() {
            let end = deadlines.end.map(|end| end + since.elapsed());
            self.deadlines = ReadDeadlines { end, ..deadlines };
            self.idle_since = None;
        }
    }

    /// Returns the next event; `None` at the end. The event id is removed: see [`last_id`](Self::last_id). Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<SseEvent>, ClientError> {
        loop {
            self.steps_since_yield += 1;
            if self.steps_since_yield >= YIELD_EVERY {
                self.steps_since_yield = 0;
                yield_now().await;
            }
            if let Some(mut event) = self.framer.next_event() {
                self.count()?;
                if event.data.len() > SMALL_RESPONSE {
                    event.data = attach_charge(self.charge.take(), event.data);
                }
                if self.cursor.record(&mut event) {
                    continue;
                }
                return Ok(Some(event));
            }
            if let Some(fault) = self.fault.take() {
                // Resuming would deliver the same fault again.
                self.cursor.invalidate();
                return Err(fault);
            }
            self.wait_until_readable().await?;
            if !self.rest.is_empty() {
                let slice = self.rest.split_to(SLICE_BYTES.min(self.rest.len()));
                self.fault = self.push(&slice).err();
                continue;
            }
            let body = match &mut self.source {
                StreamSource::Body(body) => body,
                StreamSource::Routed(messages) => {
                    let data = self
                        .deadlines
                        .limit(&mut self.idle_since, messages.next())
                        .await??;
                    self.count()?;
                    return Ok(Some(SseEvent {
                        data,
                        ..SseEvent::default()
                    }));
                }
                StreamSource::Resuming(_) => {
                    self.wait_resumed().await?;
                    continue;
                }
            };
            body.charge_window(self.budget.as_ref(), self.owner)?;
            let next = self.deadlines.chunk(&mut self.idle_since, body);
            let piece = if self.read_limiter.is_limited() {
                match next.now_or_never() {
                    Some(piece) => piece?,
                    None => {
                        self.paused_until = self.read_limiter.next_pause(Instant::now());
                        continue;
                    }
                }
            } else {
                next.await?
            };
            let Some(piece) = piece else {
                return Ok(None);
            };
            self.chunks += 1;
            self.read_limiter
                .charge(u32::from(piece.len() < read_limiter::SMALL_CHUNK));
            self.rest = piece;
        }
    }

    /// Waits until the rate limit allows reading.
    async fn wait_until_readable(&mut self) -> Result<(), ClientError> {
        if self.read_limiter.is_exhausted() && self.paused_until.is_none() {
            self.paused_until = self.read_limiter.next_pause(Instant::now());
        }
        let Some(until) = self.paused_until else {
            return Ok(());
        };
        // The pause is not idle time of the server.
        let deadlines = ReadDeadlines {
            idle: None,
            ..self.deadlines
        };
        let mut idle_since = self.idle_since;
        deadlines.limit(&mut idle_since, sleep_until(until)).await?;
        self.paused_until = None;
        Ok(())
    }

    fn push(&mut self, slice: &[u8]) -> Result<(), ClientError> {
        let before = self.framer.read_cost();
        let pushed = self.framer.push(slice);
        let effort = self.framer.read_cost().saturating_sub(before);
        self.read_limiter
            .charge(u32::try_from(effort).unwrap_or(u32::MAX));
        if pushed.is_err() {
            self.rest.clear();
            return Err(ClientError::TooLarge(self.limits.message));
        }
        let kept = self.framer.buffered();
        if kept > SMALL_RESPONSE
            && let Some(budget) = &self.budget
        {
            let charge = self.charge.get_or_insert_with(|| budget.open(self.owner));
            charge.cover(kept)?;
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), ClientError> {
        if let Some(remaining) = &mut self.events_left {
            *remaining = remaining.saturating_sub(1);
            if *remaining == 0 {
                return Err(ClientError::TooManyEvents(MAX_EVENTS));
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
        endpoint: &ServerEndpoint,
        headers: &RequestHeaders,
    ) -> Result<Option<Bytes>, ClientError> {
        loop {
            let message = self.message().await;
            let ended = Self::has_ended(&message);
            if !ended || !self.start_resume(http, endpoint, headers.clone()) {
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
    pub fn start_resume(
        &mut self,
        http: &HttpClient,
        endpoint: &ServerEndpoint,
        headers: RequestHeaders,
    ) -> bool {
        let Some(position) = self.cursor.next_resume() else {
            return false;
        };
        let resumption = resume_stream(http.clone(), endpoint.clone(), headers, position);
        self.source = StreamSource::Resuming(Mutex::new(Box::pin(resumption)));
        self.idle_since = None;
        true
    }

    /// Waits until the stream has been resumed. Cancel-safe.
    pub async fn wait_resumed(&mut self) -> Result<(), ClientError> {
        let StreamSource::Resuming(resumption) = &mut self.source else {
            return Ok(());
        };
        // A delay requested by the server is not idle time.
        let deadlines = ReadDeadlines {
            idle: None,
            ..self.deadlines
        };
        let resumption = resumption.get_mut().unwrap_or_else(PoisonError::into_inner);
        let resumed = deadlines.limit(&mut self.idle_since, resumption).await?;
        self.idle_since = None;
        let stream = resumed.inspect_err(|_| self.cursor.invalidate())?;
        // An event that was cut off is sent again from its beginning.
        self.framer = stream.framer;
        self.rest = Bytes::new();
        self.charge = None;
        self.source = stream.source;
        Ok(())
    }

    /// Returns the id of the last event that had one, from which a legacy stream can be resumed.
    pub fn last_id(&self) -> Option<&str> {
        self.cursor.id()
    }

    /// Returns the server's `retry` delay before a stream is resumed.
    pub fn retry(&self) -> Option<Duration> {
        self.cursor.retry()
    }

    /// Returns the number of chunks received; comments count too.
    pub(crate) fn chunks(&self) -> u64 {
        self.chunks
    }
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body(_) => "Body",
            Self::Routed(_) => "Routed",
            Self::Resuming(_) => "Resuming",
        })
    }
}

#[cfg(test)]
mod tests;
