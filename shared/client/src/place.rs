//! Position in an event stream (`Last-Event-ID`) and resumption by GET after the last event that had an id. The request
//! of the stream is never sent again. Only legacy servers assign event ids.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    time::Duration,
};

use http::HeaderValue;
use tokio::time::sleep;
use toolgate_egress::{Class, HttpClient};
use toolgate_mcp::sse::Event;
use toolgate_runtime::{Backoff, random};

use crate::{
    endpoint::Endpoint,
    error::ClientError,
    events::EventStream,
    send::{Headers, open_stream},
};

/// Minimum delay before a stream is resumed. A server may request more, up to [`MAX_RESUME_DELAY`], but not less: a
/// stream that ends at once must not cause a tight loop. A longer delay than requested is allowed.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// Maximum delay requested by a server: a longer one would only keep a call until its timeout.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Maximum number of resumptions of one stream.
pub const RESUMPTIONS: u32 = 500;

/// Maximum number of consecutive resumptions without an event. A server with more messages would have sent one.
const FRUITLESS: u32 = 2;

/// Maximum number of attempts per resumption while the server is unavailable.
const TRIES: u32 = 3;

/// Maximum delay added after a failed attempt.
const FURTHER: Duration = Duration::from_secs(30);

/// Maximum number of messages remembered to detect duplicates.
const KNOWN: usize = 1024;

/// Number of bytes at either end of a message included in its fingerprint.
const LOOKED_AT: usize = 4096;

/// Position in an event stream.
#[derive(Debug, Default)]
pub(crate) struct Place {
    id: Option<String>,
    retry: Option<Duration>,
    /// Number of resumptions.
    times: u32,
    /// Number of resumptions since the last event.
    fruitless: u32,
    /// Fingerprints of messages that had an id.
    known: VecDeque<u64>,
    /// Number of fingerprints recorded before the last resumption.
    before: usize,
}

impl Place {
    /// Records an event; returns `true` if it is a duplicate of an event before the last resumption.
    pub(crate) fn passes(&mut self, event: &mut Event) -> bool {
        self.fruitless = 0;
        if let Some(retry) = event.retry {
            self.retry = Some(Duration::from_millis(retry));
        }
        let Some(id) = event.id.take() else {
            return false;
        };
        let repeated = !event.data.is_empty() && !id.is_empty() && self.repeats(&id, &event.data);
        self.id = Some(id).filter(|id| !id.is_empty());
        repeated
    }

    /// Returns the id of the last event that had one.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the server's `retry` delay.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Returns the event id to resume from and the delay, after the stream has ended. `None` if the stream cannot be
    /// resumed or a limit is reached.
    pub(crate) fn leave(&mut self) -> Option<(String, Duration)> {
        let id = self.id.clone()?;
        if self.times >= RESUMPTIONS || self.fruitless >= FRUITLESS {
            return None;
        }
        self.times += 1;
        self.fruitless += 1;
        self.before = self.known.len();
        let asked = self.retry.unwrap_or(SHORTEST);
        Some((id, asked.clamp(SHORTEST, LONGEST)))
    }

    /// Discards the position: the stream cannot be resumed.
    pub(crate) fn lose(&mut self) {
        self.id = None;
    }

    /// Returns `true` if the message was seen before the last resumption; records it otherwise. The fingerprint covers
    /// id and content: some servers assign the same id to all events, and their response must not be dropped.
    fn repeats(&mut self, id: &str, data: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        let (head, _) = data.split_at(data.len().min(LOOKED_AT));
        let (_, tail) = data.split_at(data.len().saturating_sub(LOOKED_AT));
        (id, data.len(), head, tail).hash(&mut hasher);
        let print = hasher.finish();
        if self.known.iter().take(self.before).any(|it| *it == print) {
            return true;
        }
        if self.known.len() == KNOWN {
            self.known.pop_front();
            self.before = self.before.saturating_sub(1);
        }
        self.known.push_back(print);
        false
    }
}

/// Extends the delay by up to half, within [`MAX_RESUME_DELAY`], so that a server that ended many streams at once does
/// not receive all resumptions at once.
fn spread(pause: Duration, random: u64) -> Duration {
    let room = (pause / 2).min(LONGEST.saturating_sub(pause));
    let millis = u64::try_from(room.as_millis()).unwrap_or(u64::MAX);
    pause + Duration::from_millis(random % millis.saturating_add(1).max(1))
}

/// Resumes a stream after the event `id`, after a delay of at least `pause`.
pub(crate) async fn take_up(
    http: HttpClient,
    endpoint: Endpoint,
    headers: Headers,
    (id, pause): (String, Duration),
) -> Result<EventStream, ClientError> {
    let mut further = Backoff::new(SHORTEST, FURTHER);
    let mut wait = spread(pause, random::number());
    let mut tries = 0;
    loop {
        sleep(wait).await;
        let opened = open_stream(&http, &endpoint, headers.clone(), Some(&id)).await;
        tries += 1;
        match opened {
            Ok(Some(stream)) => return Ok(stream),
            Ok(None) => return Err(cut("the server takes no stream up again")),
            Err(error) if tries == TRIES || !may_pass(&error) => {
                return Err(cut(&error.plain()));
            }
            Err(_) => wait = pause + further.next(random::number()),
        }
    }
}

/// Returns `true` if the error is transient.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Egress(error) => matches!(error.class(), Class::Unreachable | Class::Broken),
        ClientError::Timeout(_) => true,
        // 409: the server has not yet noticed the end of the previous stream.
        ClientError::Status(problem) => {
            matches!(problem.status.as_u16(), 409 | 429 | 500 | 502..=504)
        }
        ClientError::Request(_)
        | ClientError::Broken(_)
        | ClientError::TooLarge(_)
        | ClientError::TooMuch(_)
        | ClientError::Exhausted
        | ClientError::Frame(_)
        | ClientError::Rpc(_)
        | ClientError::Protocol(_)
        | ClientError::NoCommonVersion { .. } => false,
    }
}

fn cut(why: &str) -> ClientError {
    ClientError::Broken(format!("the stream ended before its time: {why}"))
}

/// Converts an event id to a header value. An id may be any text without line breaks.
pub(crate) fn as_header(id: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_bytes(id.as_bytes())
        .map_err(|_| ClientError::Request("the event id cannot be a header"))
}

#[cfg(test)]
mod tests;
