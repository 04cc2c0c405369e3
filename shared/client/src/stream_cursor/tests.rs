//! Tests of stream resumption: position, delay, limits, and server behaviour.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::Method;
use toolgate_mcp::sse::{SseDecoder, SseLimits};
use toolgate_runtime::drain;

use super::*;
use crate::{
    ask,
    detect::tests::endpoint,
    detect::tests::http,
    fake_server::{self, RecordedRequest, ScriptedResponse},
};

fn event(id: Option<&str>, retry: Option<u64>, data: &str) -> SseEvent {
    SseEvent {
        event: None,
        data: Bytes::from(data.to_owned()),
        id: id.map(str::to_owned),
        retry,
    }
}

/// Returns the cursor after a stream of these bytes.
fn after(text: &str) -> StreamCursor {
    let mut framer = SseDecoder::new(SseLimits::default());
    framer.push(text.as_bytes()).unwrap();
    let mut place = StreamCursor::default();
    while let Some(mut event) = framer.next_event() {
        place.record(&mut event);
    }
    place
}

fn pause(text: &str) -> Duration {
    after(text).next_resume().unwrap().1
}

#[test]
fn a_stream_is_resumed_after_its_last_event_id_only() {
    let left = |text: &str| after(text).next_resume().map(|(id, _)| id);
    assert_eq!(left("data: {}\n\n"), None);
    assert_eq!(left("id: a\ndata:\n\n").as_deref(), Some("a"));
    assert_eq!(left("id: a\ndata:\n\ndata: {}\n\n").as_deref(), Some("a"));
    assert_eq!(left("id: a\n\nid: ü b\n\n").as_deref(), Some("ü b"));
    // An incomplete event does not count, and an empty id resets the position.
    assert_eq!(left("id: a\n\nid: b\ndata: {").as_deref(), Some("a"));
    assert_eq!(left("id: a\n\nid:\ndata: {}\n\n"), None);
    assert_eq!(left("id: a\n\nid: b\0\ndata: {}\n\n").as_deref(), Some("a"));
    let long = "x".repeat(1025);
    assert_eq!(left(&format!("id: a\n\nid: {long}\n\n")), None);
}

#[test]
fn the_retry_delay_of_a_server_is_clamped() {
    assert_eq!(pause("id: a\n\n"), MIN_RESUME_DELAY);
    assert_eq!(pause("id: a\nretry: 0\n\n"), MIN_RESUME_DELAY);
    assert_eq!(pause("id: a\nretry: 500\n\n"), MIN_RESUME_DELAY);
    assert_eq!(
        pause("id: a\nretry: 2500\n\n"),
        Duration::from_millis(2_500)
    );
    assert_eq!(pause("retry: 3000\n\nid: a\n\n"), Duration::from_secs(3));
    assert_eq!(pause("id: a\nretry: 1000000000000\n\n"), MAX_RESUME_DELAY);
    for garbage in [
        "soon",
        "-1",
        "1e3",
        "99999999999999999999999999",
        "",
        " 5 s",
    ] {
        assert_eq!(
            pause(&format!("id: a\nretry: {garbage}\n\n")),
            MIN_RESUME_DELAY
        );
    }
}

#[test]
fn streams_that_end_immediately_are_resumed_with_a_delay() {
    for asked in [
        MIN_RESUME_DELAY,
        Duration::from_secs(10),
        Duration::from_secs(59),
    ] {
        let waits: Vec<Duration> = (0..5_000).map(|n| add_jitter(asked, n * 7)).collect();
        let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*first >= asked && *last <= (asked + asked / 2).min(MAX_RESUME_DELAY));
        assert!(
            *last - *first >= Duration::from_millis(400),
            "{first:?} to {last:?}"
        );
    }
    assert_eq!(add_jitter(MAX_RESUME_DELAY, 1), MAX_RESUME_DELAY);
}

#[test]
fn long_messages_are_compared_by_their_start_and_end() {
    let long =
        |first: &str, last: &str| format!("{first}{}{last}", "x".repeat(3 * FINGERPRINT_BYTES));
    let mut place = StreamCursor::default();
    assert!(!place.record(&mut event(Some("1"), None, &long("a", "a"))));
    place.next_resume().unwrap();
    let mut passes = |data: &str| place.record(&mut event(Some("1"), None, data));
    assert!(passes(&long("a", "a")));
    assert!(!passes(&long("a", "b")));
    assert!(!passes(&long("b", "a")));
}

#[test]
fn stream_resumptions_are_limited() {
    let mut place = after("id: a\n\n");
    for _ in 0..MAX_RESUMPTIONS {
        place.next_resume().unwrap();
        place.record(&mut event(Some("a"), None, ""));
    }
    assert_eq!(place.next_resume(), None);
    // A resumed stream without events has nothing more to deliver.
    let mut place = after("id: a\n\n");
    for _ in 0..MAX_EMPTY_RESUMPTIONS {
        place.next_resume().unwrap();
    }
    assert_eq!(place.next_resume(), None);
}

#[test]
fn only_messages_from_before_a_cut_are_duplicates() {
    let mut place = StreamCursor::default();
    let mut passes = |id, data| place.record(&mut event(Some(id), None, data));
    assert!(!passes("1", "{\"a\":1}"));
    assert!(!passes("2", "{\"b\":1}"));
    // A repeated id on one stream is a server fault, not a duplicate.
    assert!(!passes("2", "{\"b\":1}"));
    place.next_resume().unwrap();
    let mut passes = |id, data| place.record(&mut event(Some(id), None, data));
    assert!(passes("1", "{\"a\":1}"));
    assert!(passes("2", "{\"b\":1}"));
    assert!(!passes("2", "{\"longer\":1}"));
    assert!(!passes("2", "{\"b\":2}"), "another one of the same length");
    assert!(!passes("3", "{\"c\":1}"));
    assert!(!passes("3", "{\"c\":1}"));
}

#[test]
fn the_duplicate_history_is_bounded() {
    let mut place = StreamCursor::default();
    for number in 0..3 * MAX_FINGERPRINTS {
        let _new = place.record(&mut event(Some(&number.to_string()), None, "{}"));
        if number % 100 == 0 {
            place.next_resume().unwrap();
        }
    }
    assert_eq!(place.fingerprints.len(), MAX_FINGERPRINTS);
    assert!(place.replayable <= MAX_FINGERPRINTS);
}

/// Sends a request to a server that sends an event id, ends the stream, and answers a GET as `script` says; returns the
/// result and the numbers of POST and GET requests.
async fn asked<S>(script: S) -> (Result<(), ClientError>, usize, usize)
where
    S: Fn(usize, &RecordedRequest) -> ScriptedResponse + Send + Sync + 'static,
{
    let (drain, _trigger) = drain::new();
    let (posts, gets) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counts = (Arc::clone(&posts), Arc::clone(&gets));
    let url = fake_server::start(&drain, move |seen| {
        if seen.method == Method::POST {
            posts.fetch_add(1, Ordering::Relaxed);
            let prime = "id: e1\nretry: 500\ndata:\n\n";
            return fake_server::reply(200, "text/event-stream", prime);
        }
        assert_eq!(seen.header("last-event-id"), "e1");
        assert_eq!(seen.header("mcp-session-id"), "s");
        script(gets.fetch_add(1, Ordering::Relaxed), &seen)
    });
    let mut endpoint = endpoint(&url.await.unwrap());
    endpoint.timeouts.total = Duration::from_secs(8);
    let session = HeaderValue::from_static("s");
    let headers = RequestHeaders::legacy("2025-11-25", Some(&session));
    let request = toolgate_mcp::message::request("7", "resources/subscribe", None);
    let asked = ask(&http(), &endpoint, headers, "7", request).await;
    let count = |it: Arc<AtomicUsize>| it.load(Ordering::Relaxed);
    (asked, count(counts.0), count(counts.1))
}

fn answer() -> ScriptedResponse {
    let answer = "id: e2\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n";
    fake_server::reply(200, "text/event-stream", answer)
}

#[tokio::test]
async fn a_response_is_fetched_by_resumption_without_repeating_the_request() {
    let (asked, posts, gets) = asked(|_, _| answer()).await;
    asked.unwrap();
    assert_eq!((posts, gets), (1, 1));
}

#[tokio::test]
async fn a_server_without_resumption_is_tried_once_and_the_cut_is_reported() {
    let refusals: [fn() -> ScriptedResponse; 4] = [
        || fake_server::reply(405, "text/plain", "no"),
        || fake_server::reply(404, "text/plain", "no"),
        || fake_server::reply(400, "application/json", "{}"),
        || fake_server::reply(200, "text/html", "<h1>hello</h1>"),
    ];
    for refusal in refusals {
        let (asked, posts, gets) = asked(move |_, _| refusal()).await;
        let error = asked.unwrap_err();
        assert!(matches!(error, ClientError::Broken(_)), "{error}");
        assert_eq!((posts, gets), (1, 1));
    }
}

#[tokio::test]
async fn a_temporary_resumption_failure_is_retried() {
    let (asked, posts, gets) = asked(|tries, _| match tries {
        // The server has not yet noticed the end of the previous stream.
        0 => fake_server::reply(409, "application/json", "{}"),
        1 => fake_server::reply(503, "text/plain", "later"),
        _ => answer(),
    })
    .await;
    asked.unwrap();
    assert_eq!((posts, gets), (1, 3));
}

#[tokio::test]
async fn repeated_stream_ends_do_not_extend_the_call_timeout() {
    let begun = tokio::time::Instant::now();
    let prime = || fake_server::reply(200, "text/event-stream", "id: e1\ndata:\n\n");
    let (asked, posts, gets) = asked(move |_, _| prime()).await;
    let error = asked.unwrap_err();
    assert!(matches!(error, ClientError::Timeout(_)), "{error}");
    // It was the time of the call that ended it, as the error says: the script goes on for ever. The figure: `make drill`.
    if std::env::var_os("TOOLGATE_TEST_DRILL").is_some() {
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(12), "{took:?}");
    }
    assert_eq!(posts, 1);
    assert!((2..=8).contains(&gets), "{gets}");
}

#[tokio::test]
async fn resumptions_without_progress_are_limited() {
    let (asked, posts, gets) = asked(|_, _| fake_server::reply(200, "text/event-stream", "")).await;
    let error = asked.unwrap_err().to_string();
    assert!(error.contains("ended before the answer"), "{error}");
    assert_eq!((posts, gets), (1, 2));
}
