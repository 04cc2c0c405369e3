//! What a gateway says by itself, and when: on the stream of a session, or to a client that listens for changes.

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
    heard: mpsc::Receiver<(Instant, String)>,
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
                if heard == method {
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
            count += usize::from(heard == method);
        }
        count
    }
}

async fn read(stream: Response<Incoming>, heard: &mpsc::Sender<(Instant, String)>) -> Result<()> {
    let mut body = Body::new(stream).into_data_stream();
    let mut text = String::new();
    while let Some(piece) = body.next().await {
        text.push_str(std::str::from_utf8(&piece?)?);
        while let Some((line, rest)) = text.split_once('\n') {
            let data = line.strip_prefix("data:").map(str::trim);
            let message = data.map(serde_json::from_str::<Value>).transpose()?;
            text = rest.to_owned();
            let method = message.as_ref().and_then(|message| message.get("method"));
            if let Some(method) = method.and_then(Value::as_str) {
                heard.send((clock::now(), method.to_owned())).await?;
            }
        }
    }
    Ok(())
}
