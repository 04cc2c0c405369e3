//! Messages on an event stream and the time of their arrival: of a session, a subscription or a call.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::body::Body;
use futures_util::StreamExt as _;
use http::Response;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock;

/// More messages than any scenario awaits.
const QUEUE_LEN: usize = 4096;

/// Event stream that is read in the background; it ends when dropped.
#[derive(Debug)]
pub struct NotificationStream {
    heard: mpsc::Receiver<(Instant, Value)>,
    _reading: JoinSet<()>,
}

impl NotificationStream {
    /// Starts reading `stream`.
    #[must_use]
    pub fn new(stream: Response<Incoming>) -> Self {
        let (sender, heard) = mpsc::channel(QUEUE_LEN);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            if let Err(error) = read(stream, &sender).await {
                tracing::debug!(%error, "a stream ended");
            }
        });
        Self {
            heard,
            _reading: reading,
        }
    }

    /// Waits for the next message of this method, skipping others. Returns the time of its arrival.
    pub async fn next(&mut self, method: &str, most: Duration) -> Result<Instant> {
        let next = async {
            while let Some((at, heard)) = self.heard.recv().await {
                if has_method(&heard, method) {
                    return Ok(at);
                }
            }
            bail!("the stream ended before {method}");
        };
        let waited = tokio::time::timeout(most, next).await;
        waited.with_context(|| format!("no {method} within {most:?}"))?
    }

    /// Number of pending messages of this method; removes all pending messages.
    pub fn count(&mut self, method: &str) -> usize {
        let mut count = 0;
        while let Ok((_, heard)) = self.heard.try_recv() {
            count += usize::from(has_method(&heard, method));
        }
        count
    }

    /// Reads all messages until the stream ends, which must happen within `most`.
    pub async fn read_to_end(&mut self, most: Duration) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let end = async {
            while let Some((_, heard)) = self.heard.recv().await {
                all.push(heard);
            }
        };
        let ended = tokio::time::timeout(most, end).await;
        ended.with_context(|| format!("no end within {most:?}"))?;
        Ok(all)
    }
}

/// Returns `true` if the message has this method.
fn has_method(message: &Value, method: &str) -> bool {
    message.get("method").and_then(Value::as_str) == Some(method)
}

async fn read(stream: Response<Incoming>, heard: &mpsc::Sender<(Instant, Value)>) -> Result<()> {
    let mut body = Body::new(stream).into_data_stream();
    let mut text = String::new();
    while let Some(piece) = body.next().await {
        text.push_str(std::str::from_utf8(&piece?)?);
        while let Some((line, rest)) = text.split_once('\n') {
            let data = line.strip_prefix("data:").map(str::trim);
            let message = data.map(serde_json::from_str::<Value>).transpose()?;
            text = rest.to_owned();
            if let Some(message) = message {
                heard.send((clock::now(), message)).await?;
            }
        }
    }
    Ok(())
}
