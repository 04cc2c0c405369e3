//! Tests of stream resumption: position, delay, limits, and server behaviour.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::Method;
use toolgate_mcp::sse::{Framer, SseLimits};
use toolgate_runtime::drain;

use super::*;
use crate::{
    ask,
    detect::tests::endpoint,
    detect::tests::http,
    stand_in::{self, Scripted, Seen},
};

fn event(id: Option<&str>, retry: Option<u64>, data: &str) -> Event {
    Event {
        event: None,
        data: Bytes::from(data.to_owned()),
        id: id.map(str::to_owned),
        retry,
    }
}

/// Returns the cursor after a stream of these bytes.
fn after(text: &str) -> Place {
    let mut framer = Framer::new(SseLimits::default());
    framer.push(text.as_bytes()).unwrap();
    let mut place = Place::default();
    while let Some(mut event) = framer.next_event() {
        place.passes(&mut event);
    }
    place
}

fn pause(text: &str) -> Duration {
    after(text).leave().unwrap().1
}

#[test]
fn a_stream_is_taken_up_after_its_last_id_and_without_one_not_at_all() {
    let left = |text: &str| after(text).leave().map(|(id, _)| id);
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
fn the_time_that_a_server_asks_for_is_kept_within_bounds() {
    assert_eq!(pause("id: a\n\n"), SHORTEST);
    assert_eq!(pause("id: a\nretry: 0\n\n"), SHORTEST);
    assert_eq!(pause("id: a\nretry: 500\n\n"), SHORTEST);
    assert_eq!(
        pause("id: a\nretry: 2500\n\n"),
        Duration::from_millis(2_500)
    );
    assert_eq!(pause("retry: 3000\n\nid: a\n\n"), Duration::from_secs(3));
    assert_eq!(pause("id: a\nretry: 1000000000000\n\n"), LONGEST);
    for garbage in [
        "soon",
        "-1",
        "1e3",
        "99999999999999999999999999",
        "",
        " 5 s",
    ] {
        assert_eq!(pause(&format!("id: a\nretry: {garbage}\n\n")), SHORTEST);
    }
}

#[test]
fn streams_that_ended_at_once_are_not_taken_up_at_once() {
    for asked in [SHORTEST, Duration::from_secs(10), Duration::from_secs(59)] {
        let waits: Vec<Duration> = (0..5_000).map(|n| spread(asked, n * 7)).collect();
        let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*first >= asked && *last <= (asked + asked / 2).min(LONGEST));
        assert!(
            *last - *first >= Duration::from_millis(400),
            "{first:?} to {last:?}"
        );
    }
    assert_eq!(spread(LONGEST, 1), LONGEST);
}

#[test]
fn long_messages_are_told_apart_by_their_beginning_and_their_end() {
    let long = |first: &str, last: &str| format!("{first}{}{last}", "x".repeat(3 * LOOKED_AT));
    let mut place = Place::default();
    assert!(!place.passes(&mut event(Some("1"), None, &long("a", "a"))));
    place.leave().unwrap();
    let mut passes = |data: &str| place.passes(&mut event(Some("1"), None, data));
    assert!(passes(&long("a", "a")));
    assert!(!passes(&long("a", "b")));
    assert!(!passes(&long("b", "a")));
}

#[test]
fn a_stream_is_not_taken_up_for_ever() {
    let mut place = after("id: a\n\n");
    for _ in 0..RESUMPTIONS {
        place.leave().unwrap();
        place.passes(&mut event(Some("a"), None, ""));
    }
    assert_eq!(place.leave(), None);
    // A resumed stream without events has nothing more to deliver.
    let mut place = after("id: a\n\n");
    for _ in 0..FRUITLESS {
        place.leave().unwrap();
    }
    assert_eq!(place.leave(), None);
}

#[test]
fn only_what_came_before_a_cut_is_known_again() {
    let mut place = Place::default();
    let mut passes = |id, data| place.passes(&mut event(Some(id), None, data));
    assert!(!passes("1", "{\"a\":1}"));
    assert!(!passes("2", "{\"b\":1}"));
    // A repeated id on one stream is a server fault, not a duplicate.
    assert!(!passes("2", "{\"b\":1}"));
    place.leave().unwrap();
    let mut passes = |id, data| place.passes(&mut event(Some(id), None, data));
    assert!(passes("1", "{\"a\":1}"));
    assert!(passes("2", "{\"b\":1}"));
    assert!(!passes("2", "{\"longer\":1}"));
    assert!(!passes("2", "{\"b\":2}"), "another one of the same length");
    assert!(!passes("3", "{\"c\":1}"));
    assert!(!passes("3", "{\"c\":1}"));
}

#[test]
fn no_more_is_remembered_than_agreed() {
    let mut place = Place::default();
    for number in 0..3 * KNOWN {
        let _new = place.passes(&mut event(Some(&number.to_string()), None, "{}"));
        if number % 100 == 0 {
            place.leave().unwrap();
        }
    }
    assert_eq!(place.known.len(), KNOWN);
    assert!(place.before <= KNOWN);
}

/// Sends a request to a server that sends an event id, ends the stream, and answers a GET as `script` says; returns the
/// result and the numbers of POST and GET requests.
async fn asked<S>(script: S) -> (Result<(), ClientError>, usize, usize)
where
    S: Fn(usize, &Seen) -> Scripted + Send + Sync + 'static,
{
    let (drain, _trigger) = drain::new();
    let (posts, gets) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counts = (Arc::clone(&posts), Arc::clone(&gets));
    let url = stand_in::start(&drain, move |seen| {
        if seen.method == Method::POST {
            posts.fetch_add(1, Ordering::Relaxed);
            let prime = "id: e1\nretry: 500\ndata:\n\n";
            return stand_in::reply(200, "text/event-stream", prime);
        }
        assert_eq!(seen.header("last-event-id"), "e1");
        assert_eq!(seen.header("mcp-session-id"), "s");
        script(gets.fetch_add(1, Ordering::Relaxed), &seen)
    });
    let mut endpoint = endpoint(&url.await.unwrap());
    endpoint.timeouts.total = Duration::from_secs(8);
    let session = HeaderValue::from_static("s");
    let headers = Headers::legacy("2025-11-25", Some(&session));
    let request = toolgate_mcp::message::request("7", "resources/subscribe", None);
    let asked = ask(&http(), &endpoint, headers, "7", request).await;
    let count = |it: Arc<AtomicUsize>| it.load(Ordering::Relaxed);
    (asked, count(counts.0), count(counts.1))
}

fn answer() -> Scripted {
    let answer = "id: e2\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n";
    stand_in::reply(200, "text/event-stream", answer)
}

#[tokio::test]
async fn an_answer_is_fetched_where_the_stream_ended_and_nothing_is_asked_twice() {
    let (asked, posts, gets) = asked(|_, _| answer()).await;
    asked.unwrap();
    assert_eq!((posts, gets), (1, 1));
}

#[tokio::test]
async fn who_takes_nothing_up_is_asked_once_and_the_cut_is_told() {
    let refusals: [fn() -> Scripted; 4] = [
        || stand_in::reply(405, "text/plain", "no"),
        || stand_in::reply(404, "text/plain", "no"),
        || stand_in::reply(400, "application/json", "{}"),
        || stand_in::reply(200, "text/html", "<h1>hello</h1>"),
    ];
    for refusal in refusals {
        let (asked, posts, gets) = asked(move |_, _| refusal()).await;
        let error = asked.unwrap_err();
        assert!(matches!(error, ClientError::Broken(_)), "{error}");
        assert_eq!((posts, gets), (1, 1));
    }
}

#[tokio::test]
async fn a_server_that_cannot_just_now_is_asked_again() {
    let (asked, posts, gets) = asked(|tries, _| match tries {
        // The server has not yet noticed the end of the previous stream.
        0 => stand_in::reply(409, "application/json", "{}"),
        1 => stand_in::reply(503, "text/plain", "later"),
        _ => answer(),
    })
    .await;
    asked.unwrap();
    assert_eq!((posts, gets), (1, 3));
}

#[tokio::test]
async fn a_server_that_primes_its_streams_and_ends_them_gets_no_more_than_the_time_of_the_call() {
    let begun = tokio::time::Instant::now();
    let prime = || stand_in::reply(200, "text/event-stream", "id: e1\ndata:\n\n");
    let (asked, posts, gets) = asked(move |_, _| prime()).await;
    let error = asked.unwrap_err();
    assert!(matches!(error, ClientError::Timeout(_)), "{error}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert_eq!(posts, 1);
    assert!((2..=8).contains(&gets), "{gets}");
}

#[tokio::test]
async fn a_server_that_has_nothing_more_to_say_is_not_asked_for_ever() {
    let (asked, posts, gets) = asked(|_, _| stand_in::reply(200, "text/event-stream", "")).await;
    let error = asked.unwrap_err().to_string();
    assert!(error.contains("ended before the answer"), "{error}");
    assert_eq!((posts, gets), (1, 2));
}
