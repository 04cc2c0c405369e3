//! Tests of the low-level layer: bodies are unchanged, timeouts are distinguished, streams can be resumed.

use std::time::Duration;

use serde_json::json;
use toolgate_runtime::drain;

use super::*;
use crate::{
    detect::tests::{endpoint, http},
    fake_server,
};

fn message() -> Bytes {
    Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#)
}

async fn sent<S>(script: S) -> Result<ServerReply, ClientError>
where
    S: Fn(fake_server::RecordedRequest) -> fake_server::ScriptedResponse + Send + Sync + 'static,
{
    let (drain, _trigger) = drain::new();
    let url = fake_server::start(&drain, script).await.unwrap();
    let headers =
        RequestHeaders::modern("2026-07-28", "tools/call", Some("é")).with("mcp-param-a", "1");
    send(&http(), &endpoint(&url), headers, message()).await
}

#[tokio::test]
async fn a_json_response_is_unchanged_at_any_status() {
    let raw = r#"{ "id" : 1, "jsonrpc":"2.0","error":{"code":-32601,"message":"x","\u0061":1e2}}"#;
    let reply = sent(move |seen| {
        assert_eq!(seen.header("mcp-name"), "=?base64?w6k=?=");
        assert_eq!(seen.header("mcp-param-a"), "1");
        assert_eq!(seen.message["params"]["name"], "x");
        fake_server::reply(404, "application/json; charset=utf-8", raw)
    });
    let reply = reply.await.unwrap();
    assert_eq!(reply.status, 404);
    let ReplyBody::Json(body) = reply.body else {
        panic!("not JSON")
    };
    assert_eq!(body.bytes().await.unwrap(), raw);
}

#[tokio::test]
async fn errors_carry_the_server_message() {
    let reply = sent(|seen| {
        let mut response = fake_server::error(429, &seen, -32000, &json!({ "a": 1 }));
        response
            .headers_mut()
            .insert("retry-after", HeaderValue::from_static("7"));
        response
    });
    let ClientError::Status(problem) = reply.await.unwrap().into_problem().await else {
        panic!("not a status")
    };
    assert_eq!(problem.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(problem.rpc.unwrap().data, Some(json!({ "a": 1 })));
}

#[tokio::test]
async fn an_error_that_quotes_the_url_shows_no_value_of_the_credential() {
    let quoted = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Cannot POST /mcp?api_key=canary%26x"}}"#;
    let (drain, _trigger) = drain::new();
    let script = move |_| fake_server::reply(404, "application/json", quoted);
    let url = fake_server::start(&drain, script).await.unwrap();
    let fields = [(
        toolgate_model::FieldPlace::Query,
        "api_key",
        &b"canary&x"[..],
    )];
    let endpoint = ServerEndpoint {
        credential: PresentedCredential::encode(fields),
        ..endpoint(&url)
    };
    for is_relayed in [true, false] {
        let headers = RequestHeaders::modern("2026-07-28", "tools/call", None);
        let reply = send(&http(), &endpoint, headers, message()).await.unwrap();
        let shown = match reply.body {
            ReplyBody::Json(body) if is_relayed => {
                String::from_utf8(body.bytes().await.unwrap().to_vec()).unwrap()
            }
            body @ (ReplyBody::Json(_)
            | ReplyBody::Sse(_)
            | ReplyBody::Accepted
            | ReplyBody::Other(_)) => ServerReply { body, ..reply }
                .into_problem()
                .await
                .to_string(),
        };
        assert!(
            shown.contains("Cannot POST /mcp?api_key=(credential)"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn stalls_and_endless_responses_are_distinct_errors() {
    let reply = sent(|_| {
        let (events, response) = fake_server::stream();
        std::mem::forget(events);
        response
    });
    let ReplyBody::Sse(mut stream) = reply.await.unwrap().body else {
        panic!("no stream")
    };
    assert!(matches!(
        stream.next().await,
        Err(ClientError::Timeout(TimeoutPhase::Idle))
    ));
    let reply = sent(|_| {
        let (events, response) = fake_server::stream();
        std::thread::spawn(move || {
            while events
                .blocking_send(Bytes::from_static(b": tick\n\n"))
                .is_ok()
            {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        response
    });
    let ReplyBody::Sse(mut stream) = reply.await.unwrap().body else {
        panic!("no stream")
    };
    assert!(matches!(
        stream.next().await,
        Err(ClientError::Timeout(TimeoutPhase::Total))
    ));
}

#[tokio::test(start_paused = true)]
async fn the_time_for_the_first_byte_begins_with_the_connection() {
    // The kernel completes the connection, and nothing reads the request.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(&format!("http://{}/mcp", silent.local_addr().unwrap()));
    let limit = endpoint.timeouts.first_byte;
    assert!(
        endpoint.timeouts.connect >= limit / 2,
        "it would add to that of the first byte"
    );
    let headers = RequestHeaders::modern("2026-07-28", "tools/call", None);
    let start = Instant::now();
    let sent = send(&http(), &endpoint, headers, message()).await;
    let took = start.elapsed();
    assert!(matches!(
        sent.err(),
        Some(ClientError::Timeout(TimeoutPhase::FirstByte))
    ));
    let expected = limit..=limit.mul_f64(1.1);
    assert!(expected.contains(&took), "{took:?} at a limit of {limit:?}");
}

#[tokio::test]
async fn a_stream_records_its_resume_position() {
    let (drain, _trigger) = drain::new();
    let url = fake_server::start(&drain, |seen| {
        let (events, response) = fake_server::stream();
        if seen.header("last-event-id") == "e1" {
            events
                .try_send(Bytes::from_static(b"id: e2\ndata: {}\n\n"))
                .unwrap();
        } else {
            events
                .try_send(Bytes::from_static(b"id: e1\nretry: 30\ndata:\n\n"))
                .unwrap();
        }
        response
    });
    let url = url.await.unwrap();
    let headers = || RequestHeaders::legacy("2025-11-25", None);
    let stream = open_stream(&http(), &endpoint(&url), headers(), None)
        .await
        .unwrap();
    let mut stream = stream.unwrap();
    assert_eq!(stream.message().await.unwrap(), None);
    assert_eq!(
        (stream.last_id(), stream.retry()),
        (Some("e1"), Some(Duration::from_millis(30)))
    );
    let stream = open_stream(&http(), &endpoint(&url), headers(), stream.last_id())
        .await
        .unwrap();
    assert_eq!(stream.unwrap().message().await.unwrap().unwrap(), "{}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let reply = sent(|_| {
        let mut response = fake_server::reply(307, "text/plain", "");
        let elsewhere = HeaderValue::from_static("http://169.254.169.254/");
        response.headers_mut().insert(header::LOCATION, elsewhere);
        response
    });
    assert_eq!(reply.await.unwrap().status, 307);
}

#[tokio::test]
async fn a_silent_stream_times_out_even_with_an_interrupted_reader() {
    let (events, streamed) = fake_server::stream();
    let streamed = std::sync::Mutex::new(Some(streamed));
    let reply = sent(move |_seen| streamed.lock().unwrap().take().unwrap());
    let ReplyBody::Sse(mut stream) = reply.await.unwrap().body else {
        panic!("not a stream")
    };
    let looked_elsewhere = async {
        loop {
            let pause = Duration::from_millis(100);
            if let Ok(ended) = tokio::time::timeout(pause, stream.next()).await {
                return ended;
            }
        }
    };
    // Far below the total timeout of the call.
    let ended = tokio::time::timeout(crate::HANG_GUARD, looked_elsewhere).await;
    let idle = matches!(ended, Ok(Err(ClientError::Timeout(TimeoutPhase::Idle))));
    assert!(idle, "{ended:?}");
    drop(events);
}
