//! The tool that takes its time: a stream of progress and, at its end, the answer. Who hangs up ends the work.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use toolgate_mcp::{message, method, sse};

use super::tool;

/// How long to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    count: u64,
    delay: Duration,
}

/// A call in work.
pub struct Work {
    /// How long.
    pub steps: Steps,
    /// The request's id, a JSON literal.
    pub id: String,
    /// What progress is reported under, a JSON literal.
    pub progress_token: Option<String>,
    /// Ends it early, without an answer.
    pub cancelled: CancellationToken,
    /// Turns the result into what the caller's era wants.
    pub finish: fn(Value) -> Value,
}

impl Steps {
    /// Most steps of one call.
    pub const MOST: u64 = 1000;
    /// Longest step.
    pub const LONGEST_MILLIS: u64 = 10_000;

    /// From the arguments of a call.
    pub fn read(arguments: &Value) -> Result<Self, String> {
        let number = |name: &str, default, least, most| {
            let value = arguments.get(name).map_or(Some(default), Value::as_u64);
            let fits = value.filter(|value| (least..=most).contains(value));
            fits.ok_or_else(|| format!("`{name}` must be a whole number from {least} to {most}"))
        };
        let count = number("steps", 5, 1, Self::MOST)?;
        let delay = Duration::from_millis(number("delayMs", 200, 0, Self::LONGEST_MILLIS)?);
        Ok(Self { count, delay })
    }
}

impl Work {
    /// The events of the answer. The work is done while they are read, and no longer.
    pub fn events(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold((self, 0), |(work, done)| async move {
            if done > work.steps.count {
                return None;
            }
            if done == work.steps.count {
                let answer = message::response(&work.id, &work.result().to_string());
                return Some((sse::event(&answer), (work, done + 1)));
            }
            tokio::select! {
                () = tokio::time::sleep(work.steps.delay) => {}
                () = work.cancelled.cancelled() => return None,
            }
            Some((work.progress(done + 1), (work, done + 1)))
        })
    }

    fn result(&self) -> Value {
        let Steps { count, delay } = self.steps;
        let took = delay.as_millis() * u128::from(count);
        (self.finish)(tool::text(&format!("{count} steps in about {took} ms")))
    }

    /// One step's notification; a comment, which keeps the stream alive, for callers that asked for none.
    fn progress(&self, done: u64) -> Bytes {
        let Some(token) = &self.progress_token else {
            return Bytes::from_static(sse::KEEP_ALIVE);
        };
        let total = self.steps.count;
        let said = json!(format!("step {done} of {total}"));
        let params = format!(
            "{{\"progressToken\":{token},\"progress\":{done},\"total\":{total},\"message\":{said}}}"
        );
        sse::event(&message::notification(method::PROGRESS, Some(&params)))
    }
}
