//! Compressed answers that expand to gigabytes: each call ends at the limit of an answer, and the process reads and holds
//! little of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use toolgate_tests::agent::Agent;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::scripted_server::{ScriptedAnswer, ScriptedServer, discovered, method};
use toolgate_tests::toolgate::ToolgateUp;

/// Bytes of one compressed part, and the number of parts: 10 GiB together.
const PART: usize = 64 << 20;
const PARTS: usize = 160;
/// Calls of each coding.
const CALLS: usize = 10;
/// Growth of resident memory, in bytes.
const MAX_GROWTH: u64 = 32 << 20;
/// Bytes of an answer that the server writes before its connection ends: what the buffers of both sockets hold.
const MAX_WRITTEN: u64 = 16 << 20;

/// Parts by coding, and the number of bytes that were written.
struct BombState {
    parts: [(&'static str, Bytes); 3],
    written: AtomicU64,
}

impl BombState {
    async fn new() -> Result<Self> {
        let zeros = vec![b'0'; PART];
        let (mut gzip, mut brotli, mut zstd) = (Vec::new(), Vec::new(), Vec::new());
        GzipEncoder::new(zeros.as_slice())
            .read_to_end(&mut gzip)
            .await?;
        BrotliEncoder::new(zeros.as_slice())
            .read_to_end(&mut brotli)
            .await?;
        ZstdEncoder::new(zeros.as_slice())
            .read_to_end(&mut zstd)
            .await?;
        let parts = [
            ("gzip", gzip.into()),
            ("br", brotli.into()),
            ("zstd", zstd.into()),
        ];
        Ok(Self {
            parts,
            written: AtomicU64::new(0),
        })
    }
}

/// Answers a call of a tool that is named after a coding.
fn bomb(state: &Arc<BombState>, coding: &str) -> Option<Response> {
    let (coding, part) = state.parts.iter().find(|(name, _)| *name == coding)?;
    let (state, part) = (Arc::clone(state), part.clone());
    let parts = stream::iter(0..PARTS).map(move |_| {
        let size = u64::try_from(part.len()).unwrap_or(u64::MAX);
        state.written.fetch_add(size, Ordering::Relaxed);
        Ok::<_, Infallible>(part.clone())
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_ENCODING, *coding),
    ];
    Some((headers, Body::from_stream(parts)).into_response())
}

fn answer(state: &Arc<BombState>, message: &Value) -> ScriptedAnswer {
    match method(message) {
        "server/discover" => discovered(&json!({"tools": {}})),
        "tools/list" => {
            let tool = |(name, _): &(&str, Bytes)| json!({"name": name, "inputSchema": {"type": "object"}});
            let tools: Vec<Value> = state.parts.iter().map(tool).collect();
            ScriptedAnswer::Result(json!({ "tools": tools }))
        }
        "tools/call" => {
            let name = message["params"]["name"].as_str().unwrap_or_default();
            let unknown = || StatusCode::BAD_REQUEST.into_response();
            ScriptedAnswer::Response(bomb(state, name).unwrap_or_else(unknown))
        }
        _ => ScriptedAnswer::Accepted,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_expand_to_gigabytes_end_at_the_limit_of_an_answer() {
    let sandbox = Sandbox::new("bombs").unwrap();
    let state = Arc::new(BombState::new().await.unwrap());
    let shared = Arc::clone(&state);
    let answer = move |message| std::future::ready(answer(&shared, &message));
    let server = ScriptedServer::start(answer).await.unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &server.url(), "single").await.unwrap();
    let agent = Agent::modern(&up.url("main"), &token);
    for (coding, part) in &state.parts {
        let before = up.process().resident().unwrap();
        up.process().reset_peak().unwrap();
        state.written.store(0, Ordering::Relaxed);
        for _ in 0..CALLS {
            let answer = agent.call(coding, json!({})).await.unwrap();
            assert_eq!(answer["isError"], true, "{coding}: {answer}");
            assert_eq!(
                answer["_meta"]["toolgate/failure"], "upstream_too_large",
                "{coding}"
            );
        }
        let grown = up.process().peak().unwrap().saturating_sub(before);
        let written = state.written.load(Ordering::Relaxed) / u64::try_from(CALLS).unwrap();
        println!(
            "{coding}: parts of {} bytes, {written} bytes written of an answer, {grown} bytes more",
            part.len()
        );
        assert!(grown <= MAX_GROWTH, "{coding}: {grown} bytes more");
        assert!(written <= MAX_WRITTEN, "{coding}: {written} bytes");
    }
}
