//! How far a stream has been read, and taking it up from there: by GET, from after the last event that had an id. What
//! was asked on it is never asked again. Only legacy servers give their events ids.

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

/// Before a stream is taken up. A server may ask for more, up to [`LONGEST`]; who asks for less, or for nothing, gets
/// this: a stream that ends at once is not to be asked for without a breath. Waiting longer than asked is allowed.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// The longest pause that a server gets: one that asks for more would only keep a call until its time is over.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Times that one stream is taken up, altogether.
pub const RESUMPTIONS: u32 = 500;

/// Streams in a row that are taken up and end without an event: whoever has more to say would have said something.
const FRUITLESS: u32 = 2;

/// Tries to take it up once, where the server cannot be had just then.
const TRIES: u32 = 3;

/// The most that is added to the pause after a try that failed.
const FURTHER: Duration = Duration::from_secs(30);

/// Messages that are known again when a server repeats them.
const KNOWN: usize = 1024;

/// Bytes from either end of a message that it is known by.
const LOOKED_AT: usize = 4096;

/// Where a stream is.
#[derive(Debug, Default)]
pub(crate) struct Place {
    id: Option<String>,
    retry: Option<Duration>,
    /// How often it was taken up.
    times: u32,
    /// How often since the last event.
    fruitless: u32,
    /// Fingerprints of messages that had an id.
    known: VecDeque<u64>,
    /// So many of them came before it was taken up last.
    before: usize,
}

impl Place {
    /// An event has come; whether it is one that has come before.
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

    /// The id of the last event that had one.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How long the server wants to be left alone.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The stream has ended; from where to take it up, and after which pause. None if that cannot be, or has been often
    /// enough.
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

    /// It could not be taken up.
    pub(crate) fn lose(&mut self) {
        self.id = None;
    }

    /// A message is known again by its id together with what it says: servers that give one id to everything exist, and
    /// must not lose their answer by it.
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

/// Up to half as long again, within [`LONGEST`]: a server that ended many streams at once is not asked for all of them at
/// once.
fn spread(pause: Duration, random: u64) -> Duration {
    let room = (pause / 2).min(LONGEST.saturating_sub(pause));
    let millis = u64::try_from(room.as_millis()).unwrap_or(u64::MAX);
    pause + Duration::from_millis(random % millis.saturating_add(1).max(1))
}

/// Takes a stream up after the event `id`, not before `pause` is over.
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

/// Whether it may be otherwise in a moment.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Egress(error) => matches!(error.class(), Class::Unreachable | Class::Broken),
        ClientError::Timeout(_) => true,
        // 409: the server has not noticed yet that the stream before is gone.
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

/// As a header. An id is any text without line breaks.
pub(crate) fn as_header(id: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_bytes(id.as_bytes())
        .map_err(|_| ClientError::Request("the event id cannot be a header"))
}

#[cfg(test)]
mod tests;
