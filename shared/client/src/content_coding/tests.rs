//! Tests of content codings: every common one is decoded, within the limits, and any other is named.

use std::time::Duration;

use async_compression::{
    Level,
    tokio::write::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder},
};
use http::HeaderValue;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, time::timeout};
use toolgate_runtime::drain;

use super::*;
use crate::{
    HANG_GUARD, ReadLimits, ReplyBody,
    detect::tests::{endpoint, http},
    fake_server,
    reply::ServerReply,
    send::{RequestHeaders, open_stream, send},
};

const MIB: usize = 1024 * 1024;
const CODINGS: [&str; 6] = ["gzip", "x-gzip", "deflate", "raw deflate", "br", "zstd"];

/// Encodes with a coding of [`CODINGS`], and flushes after each part.
async fn encoded(coding: &str, parts: &[&[u8]]) -> Vec<Vec<u8>> {
    macro_rules! encoded {
        ($encoder:ident) => {{
            let mut encoder = $encoder::with_quality(Vec::new(), Level::Fastest);
            let mut chunks = Vec::new();
            for part in parts {
                encoder.write_all(part).await.unwrap();
                encoder.flush().await.unwrap();
                chunks.push(std::mem::take(encoder.get_mut()));
            }
            encoder.shutdown().await.unwrap();
            chunks.push(encoder.into_inner());
            chunks
        }};
    }
    match coding {
        "gzip" | "x-gzip" => encoded!(GzipEncoder),
        "deflate" => encoded!(ZlibEncoder),
        "raw deflate" => encoded!(DeflateEncoder),
        "br" => encoded!(BrotliEncoder),
        "zstd" => encoded!(ZstdEncoder),
        other => panic!("{other}"),
    }
}

fn coded(
    mut response: fake_server::ScriptedResponse,
    coding: &str,
) -> fake_server::ScriptedResponse {
    let name = coding.strip_prefix("raw ").unwrap_or(coding);
    let name = HeaderValue::from_str(name).unwrap();
    response
        .headers_mut()
        .insert(header::CONTENT_ENCODING, name);
    response
}

async fn reply(coding: &str, body: Vec<u8>, budget: Option<&Arc<MemoryBudget>>) -> ServerReply {
    reply_within(MIB, coding, body, budget).await
}

async fn reply_within(
    message: usize,
    coding: &str,
    body: Vec<u8>,
    budget: Option<&Arc<MemoryBudget>>,
) -> ServerReply {
    let (drain, _trigger) = drain::new();
    let coding = coding.to_owned();
    let url = fake_server::start(&drain, move |seen| {
        assert_eq!(seen.header("accept-encoding"), "identity");
        coded(
            fake_server::reply(200, "application/json", body.clone()),
            &coding,
        )
    });
    let mut endpoint = endpoint(&url.await.unwrap()).with_limits(ReadLimits { message });
    endpoint.response_budget = budget.cloned();
    let client = http();
    let sent = send(
        &client,
        &endpoint,
        RequestHeaders::none(),
        Bytes::from("{}"),
    );
    sent.await.unwrap()
}

async fn bytes(reply: ServerReply) -> Result<Bytes, ClientError> {
    let ReplyBody::Json(body) = reply.body else {
        panic!("not JSON")
    };
    timeout(HANG_GUARD, body.bytes()).await.unwrap()
}

#[tokio::test]
async fn a_compressed_answer_is_decoded() {
    let text = json!({"text": "grüße ".repeat(20_000)}).to_string();
    for coding in CODINGS {
        let body = encoded(coding, &[text.as_bytes()]).await.concat();
        let read = bytes(reply(coding, body, None).await).await;
        assert!(read.unwrap() == text, "{coding}");
        let empty = bytes(reply(coding, Vec::new(), None).await).await;
        assert_eq!(empty.unwrap(), "", "{coding}");
    }
    let plain = bytes(reply("identity", b"{}".to_vec(), None).await).await;
    assert_eq!(plain.unwrap(), "{}");
}

#[tokio::test]
async fn a_compressed_event_arrives_when_it_is_sent() {
    for coding in CODINGS {
        let event = |number: u32| fake_server::event(&json!({"jsonrpc": "2.0", "id": number}));
        let chunks = encoded(coding, &[&event(1), &event(2)]).await;
        let (drain, _trigger) = drain::new();
        let (streams, mut opened) = tokio::sync::mpsc::channel(1);
        let url = fake_server::start(&drain, move |_| {
            let (events, response) = fake_server::stream();
            streams.try_send(events).unwrap();
            coded(response, coding)
        });
        let endpoint = endpoint(&url.await.unwrap());
        let client = http();
        let stream = open_stream(&client, &endpoint, RequestHeaders::none(), None);
        let mut stream = stream.await.unwrap().unwrap();
        let sender = opened.recv().await.unwrap();
        // The second event is sent only after the first was read.
        for (chunk, number) in chunks.into_iter().zip(1..3) {
            sender.send(chunk.into()).await.unwrap();
            let message = timeout(HANG_GUARD, stream.message()).await.unwrap();
            let message = message.unwrap().unwrap();
            assert_eq!(
                message,
                json!({"jsonrpc": "2.0", "id": number}).to_string(),
                "{coding}"
            );
        }
    }
}

#[tokio::test]
async fn a_decompression_bomb_ends_at_the_size_limit() {
    let zeros = vec![b'0'; 2 * MIB];
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let bomb = encoded(coding, &[&zeros]).await.concat();
        assert!(bomb.len() < MIB / 100, "{coding}: {}", bomb.len());
        let budget = MemoryBudget::new(256 * MIB);
        let refused = bytes(reply(coding, bomb, Some(&budget)).await).await;
        assert!(
            matches!(refused, Err(ClientError::TooLarge(most)) if most == MIB),
            "{coding}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_expands_too_far_ends_at_the_limit_of_the_ratio() {
    let zeros = vec![b'0'; 32 * MIB];
    for coding in CODINGS {
        let bomb = encoded(coding, &[&zeros]).await.concat();
        let ReplyBody::Json(mut body) = reply_within(64 * MIB, coding, bomb, None).await.body
        else {
            panic!("not JSON")
        };
        let mut decoded = 0;
        let refused = loop {
            match timeout(HANG_GUARD, body.chunk()).await.unwrap() {
                Ok(Some(chunk)) => decoded += chunk.len(),
                Ok(None) => panic!("{coding}: whole"),
                Err(refused) => break refused,
            }
        };
        assert!(
            matches!(refused, ClientError::Expansion(100)),
            "{refused:?}"
        );
        assert!(refused.public_message().contains("100 times"), "{refused}");
        assert!(
            (4 * MIB..24 * MIB).contains(&decoded),
            "{coding}: {decoded}"
        );
        // A body that ended with an error does not go on.
        assert!(matches!(body.chunk().await, Ok(None)), "{coding}");
    }
}

/// Records as tools answer with: many alike, and each of them different.
fn records(count: usize) -> String {
    let record = |number| {
        json!({"id": number, "name": format!("user {number}"), "status": "active", "roles": ["reader"],
            "email": format!("user{number}@example.com"), "createdAt": "2026-11-30T15:50:34Z"})
    };
    serde_json::to_string_pretty(&(0..count).map(record).collect::<Vec<_>>()).unwrap()
}

#[tokio::test]
async fn records_that_are_much_alike_are_within_the_limit_of_the_ratio() {
    let text = records(60_000);
    assert!(text.len() > 8 * MIB, "{}", text.len());
    for coding in CODINGS {
        let body = encoded(coding, &[text.as_bytes()]).await.concat();
        let ratio = text.len() / body.len();
        assert!(ratio > 5, "{coding}: {ratio}");
        let read = bytes(reply_within(64 * MIB, coding, body, None).await).await;
        assert!(read.unwrap() == text, "{coding}: a ratio of {ratio}");
    }
    // Short answers may expand to any ratio.
    let zeros = vec![b'0'; 3 * MIB];
    let body = encoded("gzip", &[&zeros]).await.concat();
    assert!(zeros.len() / body.len() > 200, "{}", body.len());
    let read = bytes(reply_within(64 * MIB, "gzip", body, None).await).await;
    assert!(read.unwrap() == zeros);
}

#[tokio::test]
async fn the_window_of_a_decoder_is_charged() {
    let budget = MemoryBudget::new(4 * MIB);
    for coding in ["br", "zstd"] {
        let body = encoded(coding, &[b"{}"]).await.concat();
        let refused = bytes(reply(coding, body, Some(&budget)).await).await;
        assert!(
            matches!(refused, Err(ClientError::Exhausted)),
            "{refused:?}"
        );
    }
    let body = encoded("gzip", &[b"{}"]).await.concat();
    let read = bytes(reply("gzip", body, Some(&budget)).await).await;
    assert_eq!(read.unwrap(), "{}");
}

#[tokio::test]
async fn an_unknown_coding_is_named() {
    for (coding, message) in [
        ("dcb", "content coding `dcb`, which is not supported"),
        ("gzip, br", "content coding of several codings"),
        ("<script>", "content coding `script`"),
    ] {
        let refused = bytes(reply(coding, b"{}".to_vec(), None).await).await;
        let refused = refused.unwrap_err();
        assert!(refused.public_message().contains(message), "{refused}");
    }
}

#[tokio::test]
async fn a_damaged_coding_is_an_error_of_the_answer() {
    let text = "0123456789".repeat(1000);
    for coding in CODINGS {
        let mut body = encoded(coding, &[text.as_bytes()]).await.concat();
        body.truncate(body.len() / 2);
        let refused = bytes(reply(coding, body, None).await).await.unwrap_err();
        assert!(
            matches!(refused, ClientError::Broken(_) | ClientError::Protocol(_)),
            "{coding}: {refused}"
        );
    }
    for coding in ["gzip", "br", "zstd"] {
        let refused = bytes(reply(coding, vec![0xff; 100], None).await).await;
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, ClientError::Protocol(_)),
            "{coding}: {refused}"
        );
    }
}

#[tokio::test]
async fn an_error_in_a_compressed_answer_is_read() {
    let (drain, _trigger) = drain::new();
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no"}});
    let body = encoded("gzip", &[error.to_string().as_bytes()])
        .await
        .concat();
    let url = fake_server::start(&drain, move |_| {
        coded(
            fake_server::reply(500, "application/json", body.clone()),
            "gzip",
        )
    });
    let endpoint = endpoint(&url.await.unwrap()).with_max_timeout(Duration::from_secs(30));
    let client = http();
    let sent = send(
        &client,
        &endpoint,
        RequestHeaders::none(),
        Bytes::from("{}"),
    );
    let problem = sent.await.unwrap().into_problem().await;
    assert_eq!(problem.rpc().map(|rpc| rpc.code), Some(-32000));
}
