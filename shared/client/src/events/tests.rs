//! Tests of the limits of a stream: message size, number of events, and total bytes.

use toolgate_model::MaxAnswer;
use toolgate_runtime::drain;

use super::*;
use crate::{
    ReplyBody,
    detect::tests::{endpoint, http},
    fake_server,
    send::send,
};

const MIB: usize = 1024 * 1024;

/// Opens a stream of this text.
async fn stream(text: Vec<u8>, budget: &Arc<MemoryBudget>) -> EventStream {
    let (drain, _trigger) = drain::new();
    let text = Bytes::from(text);
    let url = fake_server::start(&drain, move |_| {
        fake_server::reply(200, "text/event-stream", text.clone())
    });
    let mut endpoint = endpoint(&url.await.unwrap()).with_response_budget(Arc::clone(budget));
    endpoint.timeouts.total = Duration::from_secs(60);
    let sent = send(
        &http(),
        &endpoint,
        RequestHeaders::none(),
        Bytes::from("{}"),
    )
    .await;
    let ReplyBody::Sse(events) = sent.unwrap().body else {
        panic!("no stream")
    };
    *events
}

fn event(size: usize) -> Vec<u8> {
    let mut text = b"data: ".to_vec();
    text.resize(text.len() + size, b'x');
    text.extend_from_slice(b"\n\n");
    text
}

#[tokio::test]
async fn an_event_is_limited_to_the_message_size() {
    let budget = MemoryBudget::new(64 * MIB);
    let most = MaxAnswer::default().bytes();
    let mut events = stream(event(most), &budget).await;
    assert_eq!(events.message().await.unwrap().unwrap().len(), most);
    assert_eq!(events.message().await.unwrap(), None);
    // Events before the fault are returned before it.
    let text = [b"id: 1\n".to_vec(), event(3), event(most + 1), event(3)].concat();
    let mut events = stream(text, &budget).await;
    assert_eq!(events.message().await.unwrap().unwrap(), "xxx");
    assert_eq!(events.last_id(), Some("1"));
    let error = events.message().await.unwrap_err();
    assert!(
        matches!(error, ClientError::TooLarge(limit) if limit == most),
        "{error}"
    );
    assert_eq!(events.last_id(), None, "not to be asked for again");
}

#[tokio::test]
async fn a_multi_line_event_has_the_same_size_limit() {
    let budget = MemoryBudget::new(64 * MIB);
    let text = b"data: 0123456789abcdef\n".repeat(MIB / 2);
    let mut events = stream(text, &budget).await;
    let error = events.message().await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge(_)), "{error}");
}

/// A response after ten seconds of notifications at the limited rate is still delivered.
#[tokio::test]
async fn a_response_arrives_after_two_hundred_thousand_events() {
    let budget = MemoryBudget::new(64 * MIB);
    let mut events = stream(b"data:1\n\n".repeat(200_000), &budget).await;
    events.read_limiter = ReadLimiter::unlimited();
    let mut told = 0;
    while events.message().await.unwrap().is_some() {
        told += 1;
    }
    assert_eq!(told, 200_000);
}

#[tokio::test]
async fn a_quarter_million_events_exceed_the_limit_of_a_call() {
    let budget = MemoryBudget::new(64 * MIB);
    let mut events = stream(b"data:1\n\n".repeat(250_000), &budget).await;
    events.read_limiter = ReadLimiter::unlimited();
    let mut told = 0;
    let error = loop {
        match events.message().await {
            Ok(Some(_)) => told += 1,
            Ok(None) => panic!("it ended"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ClientError::TooManyEvents(MAX_EVENTS)),
        "{error}"
    );
    assert_eq!(told, MAX_EVENTS - 1);
}

#[tokio::test]
async fn events_share_a_budget_and_release_it() {
    let budget = MemoryBudget::new(3 * MIB);
    let large = || stream(event(2 * MIB), &budget);
    let message = large().await.message().await.unwrap().unwrap();
    let error = large().await.message().await.unwrap_err();
    assert!(matches!(error, ClientError::Exhausted), "{error}");
    drop(message);
    large().await.message().await.unwrap().unwrap();
    // Bytes of a stream dropped half-way are released.
    let mut text = event(2 * MIB);
    text.truncate(text.len() - 2);
    let mut cut = stream(text, &budget).await;
    assert_eq!(cut.message().await.unwrap(), None);
    let error = large().await.message().await.unwrap_err();
    assert!(matches!(error, ClientError::Exhausted), "{error}");
    drop(cut);
    large().await.message().await.unwrap().unwrap();
}

/// Floods of events, of comments, and of neither are all limited.
#[tokio::test]
async fn mc_10_any_kind_of_flood_is_read_in_quanta() {
    let budget = MemoryBudget::new(64 * MIB);
    for (one, times, least) in [
        ("data: 1\n\n", 6_000, 6_000),
        (": 1\n", 60_000, 0),
        ("event: 1\n", 60_000, 0),
        ("id\n", 60_000, 0),
        ("\n", 60_000, 0),
    ] {
        let text = [one.repeat(times), "data: end\n\n".to_owned()].concat();
        let mut events = stream(text.into_bytes(), &budget).await;
        let (began, mut told) = (Instant::now(), 0);
        while let Some(event) = events.next().await.unwrap() {
            told += 1;
            if event.data.ends_with(b"end") {
                break;
            }
        }
        assert!(told >= least, "{told} of {one:?}");
        // The first thousand are free, and the events of one slice arrive at once.
        let took = began.elapsed();
        assert!(took > Duration::from_millis(30), "{took:?} for {one:?}");
        assert!(events.read_limiter.is_limited(), "{one:?}");
    }
}

/// A large response is not delayed because of its size, in any number of lines.
#[tokio::test]
async fn a_large_response_is_not_slowed_down() {
    let budget = MemoryBudget::new(64 * MIB);
    let text = [b"data: 0123456789abcdef\n".repeat(MIB / 32), b"\n".to_vec()].concat();
    let mut events = stream(text, &budget).await;
    let answer = events.message().await.unwrap().unwrap();
    assert_eq!(answer.len(), MIB / 32 * 17 - 1);
    assert!(!events.read_limiter.is_limited());
}
