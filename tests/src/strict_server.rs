//! A modern server over an HTTP/1.1 parser that accepts exactly one reading of a request. It records the texts of calls, and
//! each deviation of what it receives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::loopback_server::LoopbackServer;

/// Largest head and body.
const MAX_BYTES: usize = 1 << 20;

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct StrictServer {
    server: LoopbackServer,
    record: Arc<Mutex<StrictRecord>>,
}

/// Calls and deviations.
#[derive(Debug, Clone, Default)]
pub struct StrictRecord {
    /// Argument `text` of each call, in order of arrival.
    pub calls: Vec<String>,
    /// Descriptions of requests that a strict parser refuses.
    pub deviations: Vec<String>,
}

/// Head of a request.
#[derive(Debug, PartialEq, Eq)]
struct StrictHead {
    /// Length of the body; `None` for one in chunks.
    length: Option<usize>,
}

impl StrictServer {
    /// Starts a server on a free port.
    pub async fn start() -> Result<Self> {
        let record = Arc::<Mutex<StrictRecord>>::default();
        let shared = Arc::clone(&record);
        let server = LoopbackServer::accept(move |stream| {
            let record = Arc::clone(&shared);
            async move {
                if let Err(error) = serve(stream, &record).await {
                    lock(&record).deviations.push(format!("{error:#}"));
                }
            }
        });
        Ok(Self {
            server: server.await?,
            record,
        })
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Calls and deviations so far.
    #[must_use]
    pub fn record(&self) -> StrictRecord {
        lock(&self.record).clone()
    }
}

fn lock(record: &Mutex<StrictRecord>) -> MutexGuard<'_, StrictRecord> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the requests of a connection. Fails at the first deviation.
async fn serve(stream: TcpStream, record: &Mutex<StrictRecord>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some(head) = read_head(&mut stream).await? else {
            return Ok(());
        };
        let head = parse_head(&head).with_context(|| format!("{head:?}"))?;
        let body = match head.length {
            Some(length) => read_exactly(&mut stream, length).await?,
            None => read_chunks(&mut stream).await?,
        };
        let message = match body.is_empty() {
            true => Value::Null,
            false => {
                serde_json::from_slice(&body).context("a body that is not one JSON document")?
            }
        };
        let (status, text) = answer(&message, record);
        let reply = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        if stream.get_mut().write_all(reply.as_bytes()).await.is_err() {
            return Ok(());
        }
    }
}

/// Reads to the empty line that ends a head. `None` if the connection is closed or reset.
async fn read_head(stream: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_ended) if head.is_empty() => return Ok(None),
            Err(_ended) => bail!("half a head: {:?}", String::from_utf8_lossy(&head)),
        }
        ensure!(head.len() <= MAX_BYTES, "a head without an end");
    }
    Ok(Some(
        String::from_utf8(head).context("a head that is not text")?,
    ))
}

/// Reads a head by the grammar of RFC 9112, without what it lets a lenient recipient accept.
fn parse_head(head: &str) -> Result<StrictHead> {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let line = lines.next().unwrap_or_default();
    let parts: Vec<&str> = line.split(' ').collect();
    let method = parts.first().copied().unwrap_or_default();
    ensure!(
        parts.len() == 3 && parts.ends_with(&["HTTP/1.1"]),
        "the request line {line:?}"
    );
    ensure!(
        ["GET", "POST", "DELETE"].contains(&method),
        "the method {method:?}"
    );
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .with_context(|| format!("the line {line:?}"))?;
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        ensure!(
            !name.is_empty() && name.chars().all(is_token),
            "the name {name:?}"
        );
        ensure!(
            !value.contains(|c: char| c.is_control() && c != '\t'),
            "the value {value:?}"
        );
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim_matches(' ')),
            "transfer-encoding" => codings.push(value.trim_matches(' ')),
            "host" => hosts += 1,
            _ => {}
        }
    }
    ensure!(hosts == 1, "{hosts} hosts");
    let length = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Some(0),
        ([length], []) if length.chars().all(|c| c.is_ascii_digit()) => Some(length.parse()?),
        ([], ["chunked"]) => None,
        other => bail!("the body is delimited by {other:?}"),
    };
    ensure!(
        length.unwrap_or_default() <= MAX_BYTES,
        "a body of {length:?} bytes"
    );
    Ok(StrictHead { length })
}

async fn read_exactly(stream: &mut BufReader<TcpStream>, length: usize) -> Result<Vec<u8>> {
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.context("half a body")?;
    Ok(body)
}

/// Reads chunks without extensions and trailers.
async fn read_chunks(stream: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.context("half a chunk")?);
            ensure!(line.len() <= 18, "the size of a chunk: {line:?}");
        }
        let digits = std::str::from_utf8(&line)?.trim_end_matches("\r\n");
        ensure!(
            digits.chars().all(|c| c.is_ascii_hexdigit()),
            "the size of a chunk: {digits:?}"
        );
        let size = usize::from_str_radix(digits, 16)?;
        ensure!(body.len() + size <= MAX_BYTES, "a body without an end");
        body.extend(read_exactly(stream, size).await?);
        ensure!(
            read_exactly(stream, 2).await? == b"\r\n",
            "a chunk without its end"
        );
        if size == 0 {
            return Ok(body);
        }
    }
}

fn answer(message: &Value, record: &Mutex<StrictRecord>) -> (&'static str, String) {
    let text = message
        .pointer("/params/arguments/text")
        .and_then(Value::as_str);
    let mut result = match message.get("method").and_then(Value::as_str) {
        Some("server/discover") => {
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
        }
        Some("tools/list") => {
            json!({"tools": [{"name": "say", "inputSchema": {"type": "object"}}]})
        }
        Some("tools/call") => {
            lock(record).calls.push(text.unwrap_or_default().to_owned());
            json!({"content": [{"type": "text", "text": text}]})
        }
        _ => return ("404 Not Found", String::new()),
    };
    result["resultType"] = json!("complete");
    result["ttlMs"] = json!(1000);
    result["cacheScope"] = json!("private");
    let id = message.get("id").cloned().unwrap_or_default();
    (
        "200 OK",
        json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(),
    )
}

#[cfg(test)]
mod tests;
