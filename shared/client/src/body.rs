//! Reading answers: never more than agreed, never longer than agreed, and no faster than they are taken.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http_body::{Body as _, Frame};
use tokio::time::{Instant, timeout_at};
use toolgate_egress::{Answer, HttpClient};
use toolgate_mcp::sse::{Event, Framer, SseLimits};

use crate::{
    endpoint::Endpoint,
    error::{ClientError, Phase},
    old::Told,
    place::{Place, take_up},
    send::Headers,
};

/// When reading has to go on, and to end.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Between two pieces.
    pub idle: Option<Duration>,
    /// Altogether.
    pub end: Option<Instant>,
}

/// A body that ends with an error at its limit.
#[derive(Debug)]
pub struct LimitedBody {
    body: Answer,
    deadlines: Deadlines,
    quiet: Quiet,
    limit: usize,
    read: usize,
}

/// Events of a body, or what a server of old says of one request on the stream that it says everything on.
#[derive(Debug)]
pub struct EventStream {
    source: Source,
    deadlines: Deadlines,
    quiet: Quiet,
    framer: Framer,
    place: Place,
    /// Pieces that came.
    pieces: u64,
    held: Option<(Instant, Deadlines)>,
}

enum Source {
    Body(Answer),
    Told(Told),
    /// It has ended, and is being taken up.
    Away(BoxFuture<'static, Result<EventStream, ClientError>>),
}

/// Since when something is waited for. Outlives the waiting itself: who turns to something else for a moment and comes
/// back has not heard anything meanwhile.
type Quiet = Option<Instant>;

impl Deadlines {
    /// No limits: for streams that are meant to stay.
    pub const NONE: Self = Self {
        idle: None,
        end: None,
    };

    async fn piece(
        self,
        quiet: &mut Quiet,
        body: &mut Answer,
    ) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = self.frame(quiet, body).await?;
            let Some(frame) = frame else { return Ok(None) };
            // Trailers mean nothing here.
            if let Ok(piece) = frame.into_data()
                && !piece.is_empty()
            {
                return Ok(Some(piece));
            }
        }
    }

    async fn frame(
        self,
        quiet: &mut Quiet,
        body: &mut Answer,
    ) -> Result<Option<Frame<Bytes>>, ClientError> {
        let next = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        let frame = self.limit(quiet, next).await?;
        frame
            .transpose()
            .map_err(|error| ClientError::Broken(error.to_string()))
    }

    async fn limit<T>(
        self,
        quiet: &mut Quiet,
        next: impl Future<Output = T>,
    ) -> Result<T, ClientError> {
        let mut next = pin!(next);
        // Mostly it is there: then no clock is asked and no timer armed.
        if let Poll::Ready(ready) = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
            *quiet = None;
            return Ok(ready);
        }
        let since = *quiet.get_or_insert_with(Instant::now);
        let limited = async {
            match self.idle {
                Some(idle) => timeout_at(since + idle, next)
                    .await
                    .map_err(|_| ClientError::Timeout(Phase::Idle)),
                None => Ok(next.await),
            }
        };
        let came = match self.end {
            Some(end) => timeout_at(end, limited)
                .await
                .map_err(|_| ClientError::Timeout(Phase::Total))?,
            None => limited.await,
        }?;
        *quiet = None;
        Ok(came)
    }
}

impl LimitedBody {
    /// At most `limit` bytes of `body`.
    pub fn new(body: Answer, limit: usize, deadlines: Deadlines) -> Self {
        Self {
            body,
            deadlines,
            quiet: None,
            limit,
            read: 0,
        }
    }

    /// The next piece; none at the end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        let piece = self
            .deadlines
            .piece(&mut self.quiet, &mut self.body)
            .await?;
        self.read += piece.as_ref().map_or(0, Bytes::len);
        if self.read > self.limit {
            return Err(ClientError::TooLarge(self.limit));
        }
        Ok(piece)
    }

    /// All of it. One piece is handed on without a copy.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let told = self.body.size_hint().lower();
        if told > u64::try_from(self.limit).unwrap_or(u64::MAX) {
            return Err(ClientError::TooLarge(self.limit));
        }
        let Some(first) = self.piece().await? else {
            return Ok(Bytes::new());
        };
        if self.body.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.piece().await? else {
            return Ok(first);
        };
        let told = usize::try_from(told).unwrap_or_default();
        let mut all = BytesMut::with_capacity(told.max(first.len() + second.len()));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(piece) = self.piece().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

impl EventStream {
    /// The events of `body`.
    pub fn new(body: Answer, limits: SseLimits, deadlines: Deadlines) -> Self {
        Self::of(Source::Body(body), limits, deadlines)
    }

    /// What a server of old says.
    pub(crate) fn told(told: Told, limits: SseLimits, deadlines: Deadlines) -> Self {
        Self::of(Source::Told(told), limits, deadlines)
    }

    fn of(source: Source, limits: SseLimits, deadlines: Deadlines) -> Self {
        Self {
            source,
            deadlines,
            quiet: None,
            framer: Framer::new(limits),
            place: Place::default(),
            pieces: 0,
            held: None,
        }
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
            if let Some(mut event) = self.framer.next_event() {
                if self.place.passes(&mut event) {
                    continue;
                }
                return Ok(Some(event));
            }
            let body = match &mut self.source {
                Source::Body(body) => body,
                Source::Told(told) => {
                    let data = self.deadlines.limit(&mut self.quiet, told.next()).await??;
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
            let Some(piece) = self.deadlines.piece(&mut self.quiet, body).await? else {
                return Ok(None);
            };
            self.pieces += 1;
            // Events before the fault are still told.
            if let Err(error) = self.framer.push(&piece) {
                return match self.framer.next_event() {
                    Some(event) => Ok(Some(event)),
                    None => Err(error.into()),
                };
            }
        }
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
        self.source = Source::Away(Box::pin(coming));
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
        let came = deadlines.limit(&mut self.quiet, coming).await?;
        self.quiet = None;
        let stream = came.inspect_err(|_| self.place.lose())?;
        // An event that was cut off is told again, from its beginning.
        self.framer = stream.framer;
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
