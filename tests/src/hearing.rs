//! What a gateway says on a stream, and when: of a session, to a client that listens for changes, or ahead of an answer.

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

/// More than any scenario waits for.
const KEPT: usize = 4096;

/// A stream that is read; it ends when dropped.
#[derive(Debug)]
pub struct Hearing {
    heard: mpsc::Receiver<(Instant, Value)>,
    _reading: JoinSet<()>,
}

impl Hearing {
    /// Reads `stream` from now on.
    #[must_use]
    pub fn of(stream: Response<Incoming>) -> Self {
        let (sender, heard) = mpsc::channel(KEPT);
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

    /// Waits for the next message of this method, after those of others. When it came.
    pub async fn next(&mut self, method: &str, most: Duration) -> Result<Instant> {
        let next = async {
            while let Some((at, heard)) = self.heard.recv().await {
                if is(&heard, method) {
                    return Ok(at);
                }
            }
            bail!("the stream ended before {method}");
        };
        let waited = tokio::time::timeout(most, next).await;
        waited.with_context(|| format!("no {method} within {most:?}"))?
    }

    /// How many messages of this method have come that nobody waited for.
    pub fn count(&mut self, method: &str) -> usize {
        let mut count = 0;
        while let Ok((_, heard)) = self.heard.try_recv() {
            count += usize::from(is(&heard, method));
        }
        count
    }

    /// All that is said until the stream ends, which has to be within `most`.
    pub async fn to_end(&mut self, most: Duration) -> Result<Vec<Value>> {
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

/// Whether this is a message of that method.
fn is(message: &Value, method: &str) -> bool {
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
