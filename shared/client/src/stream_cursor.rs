//! Position in an event stream (`Last-Event-ID`) and resumption by GET after the last event that had an id. The request
//! of the stream is never sent again. Only legacy servers assign event ids. The gateway assigns none to its
//! clients, so it resumes no stream of theirs.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    time::Duration,
};

use http::HeaderValue;
use tokio::time::sleep;
use toolgate_egress::{EgressErrorClass, HttpClient};
use toolgate_mcp::sse::SseEvent;
use toolgate_runtime::{Backoff, random};

use crate::{
    endpoint::ServerEndpoint,
    error::ClientError,
    events::EventStream,
    send::{RequestHeaders, open_stream},
};

/// Minimum delay before a stream is resumed. A server may request more, up to [`MAX_RESUME_DELAY`], but not less: a
/// stream that ends at once must not cause a tight loop. A longer delay than requested is allowed.
pub const MIN_RESUME_DELAY: Duration = Duration::from_secs(1);

/// Maximum delay requested by a server: a longer one would only keep a call until its timeout.
pub const MAX_RESUME_DELAY: Duration = Duration::from_secs(60);

/// Maximum number of resumptions of one stream.
pub const MAX_RESUMPTIONS: u32 = 500;

/// Maximum number of consecutive resumptions without an event. A server with more messages would have sent one.
const MAX_EMPTY_RESUMPTIONS: u32 = 2;

/// Maximum number of attempts per resumption while the server is unavailable.
const MAX_RESUME_ATTEMPTS: u32 = 3;

/// Maximum delay added after a failed attempt.
const MAX_RETRY_BACKOFF: Duration = Duration::from_secs(30);

/// Maximum number of messages remembered to detect duplicates.
const MAX_FINGERPRINTS: usize = 1024;

/// Number of bytes at either end of a message included in its fingerprint.
const FINGERPRINT_BYTES: usize = 4096;

/// Position in an event stream.
#[derive(Debug, Default)]
pub(crate) struct StreamCursor {
    id: Option<String>,
    retry: Option<Duration>,
    /// Number of resumptions.
    resumptions: u32,
    /// Number of resumptions since the last event.
    empty_resumptions: u32,
    /// Fingerprints of messages that had an id.
    fingerprints: VecDeque<u64>,
    /// Number of fingerprints recorded before the last resumption.
    replayable: usize,
}

impl StreamCursor {
    /// Records an event; returns `true` if it is a duplicate of an event before the last resumption.
    pub(crate) fn record(&mut self, event: &mut SseEvent) -> bool {
        self.empty_resumptions = 0;
        if let Some(retry) = event.retry {
            self.retry = Some(Duration::from_millis(retry));
        }
        let Some(id) = event.id.take() else {
            return false;
        };
        let repeated = !event.data.is_empty() && !id.is_empty() && self.is_known(&id, &event.data);
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
    pub(crate) fn next_resume(&mut self) -> Option<(String, Duration)> {
        let id = self.id.clone()?;
        if self.resumptions >= MAX_RESUMPTIONS || self.empty_resumptions >= MAX_EMPTY_RESUMPTIONS {
            return None;
        }
        self.resumptions += 1;
        self.empty_resumptions += 1;
        self.replayable = self.fingerprints.len();
        let requested = self.retry.unwrap_or(MIN_RESUME_DELAY);
        Some((id, requested.clamp(MIN_RESUME_DELAY, MAX_RESUME_DELAY)))
    }

    /// Discards the position: the stream cannot be resumed.
    pub(crate) fn invalidate(&mut self) {
        self.id = None;
    }

    /// Returns `true` if the message was seen before the last resumption; records it otherwise. The fingerprint covers
    /// id and content: some servers assign the same id to all events, and their response must not be dropped.
    fn is_known(&mut self, id: &str, data: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        let (head, _) = data.split_at(data.len().min(FINGERPRINT_BYTES));
        let (_, tail) = data.split_at(data.len().saturating_sub(FINGERPRINT_BYTES));
        (id, data.len(), head, tail).hash(&mut hasher);
        let print = hasher.finish();
        if self
            .fingerprints
            .iter()
            .take(self.replayable)
            .any(|it| *it == print)
        {
            return true;
        }
        if self.fingerprints.len() == MAX_FINGERPRINTS {
            self.fingerprints.pop_front();
            self.replayable = self.replayable.saturating_sub(1);
        }
        self.fingerprints.push_back(print);
        false
    }
}

/// Extends the delay by up to half, within [`MAX_RESUME_DELAY`], so that a server that ended many streams at once does
/// not receive all resumptions at once.
fn add_jitter(pause: Duration, random: u64) -> Duration {
    let room = (pause / 2).min(MAX_RESUME_DELAY.saturating_sub(pause));
    let millis = u64::try_from(room.as_millis()).unwrap_or(u64::MAX);
    pause + Duration::from_millis(random % millis.saturating_add(1).max(1))
}

/// Resumes a stream after the event `id`, after a delay of at least `pause`.
pub(crate) async fn resume_stream(
    http: HttpClient,
    endpoint: ServerEndpoint,
    headers: RequestHeaders,
    (id, pause): (String, Duration),
) -> Result<EventStream, ClientError> {
    let mut further = Backoff::new(MIN_RESUME_DELAY, MAX_RETRY_BACKOFF);
    let mut wait = add_jitter(pause, random::number());
    let mut tries = 0;
    loop {
        sleep(wait).await;
        let opened = open_stream(&http, &endpoint, headers.clone(), Some(&id)).await;
        tries += 1;
        match opened {
            Ok(Some(stream)) => return Ok(stream),
            Ok(None) => return Err(resume_failed("the server takes no stream up again")),
            Err(error) if tries == MAX_RESUME_ATTEMPTS || !is_transient(&error) => {
                return Err(resume_failed(&error.public_message()));
            }
            Err(_) => wait = pause + further.next(random::number()),
        }
    }
}

/// Returns `true` if the error is transient.
fn is_transient(error: &ClientError) -> bool {
    match error {
        ClientError::Egress(error) => matches!(
            error.class(),
            EgressErrorClass::Unresolved
                | EgressErrorClass::Unreachable
                | EgressErrorClass::Exhausted
                | EgressErrorClass::ForwardProxy
                | EgressErrorClass::Broken
        ),
        ClientError::Timeout(_) => true,
        // 409: the server has not yet noticed the end of the previous stream.
        ClientError::Status(problem) => {
            matches!(problem.status.as_u16(), 409 | 429 | 500 | 502..=504)
        }
        ClientError::Request(_)
        | ClientError::Broken(_)
        | ClientError::TooLarge(_)
        | ClientError::Expansion(_)
        | ClientError::TooManyEvents(_)
        | ClientError::Exhausted
        | ClientError::Frame(_)
        | ClientError::Rpc(_)
        | ClientError::Protocol(_)
        | ClientError::NoCommonVersion { .. } => false,
    }
}

fn resume_failed(reason: &str) -> ClientError {
    ClientError::Broken(format!("the stream ended before its time: {reason}"))
}

/// Converts an event id to a header value. An id may be any text without line breaks.
pub(crate) fn last_event_id_header(id: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_bytes(id.as_bytes())
        .map_err(|_| ClientError::Request("the event id cannot be a header"))
}

#[cfg(test)]
mod tests;
