//! The slow tool: a stream of progress notifications, followed by the response. The work ends when the client
//! disconnects.

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use toolgate_mcp::{message, method, sse};

use super::tool::{self, SlowToolOptions};

/// Running call.
pub struct SlowCall {
    /// Steps to perform.
    pub steps: SlowToolOptions,
    /// Id of the request, a JSON literal.
    pub id: String,
    /// Progress token of the request, a JSON literal.
    pub progress_token: Option<String>,
    /// Ends the call early, without a response.
    pub cancelled: CancellationToken,
    /// Converts the result to the era of the caller.
    pub finish: fn(Value) -> Value,
}

impl SlowCall {
    /// Returns the events of the response stream. The work advances only while the stream is polled.
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
        let SlowToolOptions { count, delay } = self.steps;
        let took = delay.as_millis() * u128::from(count);
        (self.finish)(tool::text_result(&format!(
            "{count} steps in about {took} ms"
        )))
    }

    /// Returns the notification of one step, or a keep-alive comment if the caller requested no progress.
    fn progress(&self, done: u64) -> Bytes {
        let Some(token) = &self.progress_token else {
            return Bytes::from_static(sse::KEEP_ALIVE);
        };
        let total = self.steps.count;
        let text = json!(format!("step {done} of {total}"));
        let params = format!(
            "{{\"progressToken\":{token},\"progress\":{done},\"total\":{total},\"message\":{text}}}"
        );
        sse::event(&message::notification(method::PROGRESS, Some(&params)))
    }
}
