//! Tests of session state and of the messages on session streams.

use futures_util::StreamExt as _;
use tokio::time::timeout;
use toolgate_actor::ActorSnapshot;
use toolgate_data_core::{
    View,
    session::{MAX_STREAMS, session_id::LIFETIME},
};
use toolgate_model::AllowList;
use toolgate_runtime::clock::ManualClock;

use super::*;
use crate::{
    SESSION_IDLE_TIMEOUT,
    fixture::{
        HANG_GUARD, NOW, caller, claims, gateway, reaching, snapshot, until, view, with_tools,
    },
    stream::STREAM_QUEUE,
};

const SOON: Duration = Duration::from_millis(300);
const NOTICE: &str =
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";

struct SessionFixture {
    sessions: SessionRegistry,
    system: ActorSystem,
    clock: Arc<ManualClock>,
    view: View,
}

impl SessionFixture {
    fn new() -> Self {
        let clock = ManualClock::new(NOW);
        let timing = StreamTiming {
            keep_alive: Duration::from_millis(100),
            debounce: Duration::from_millis(50),
            notice_interval: Duration::from_millis(50),
        };
        let system = ActorSystem::start(1).unwrap();
        let shared = Arc::<ManualClock>::clone(&clock);
        Self {
            sessions: SessionRegistry::with_timing(
                system.clone(),
                shared,
                SESSIONS_PER_PRINCIPAL,
                timing,
            ),
            system,
            clock,
            view: with_tools(&["one"]),
        }
    }

    async fn open(
        &self,
        claims: &SessionClaims,
        token: &str,
    ) -> Result<SessionEventStream, Refusal> {
        let caller = caller(&self.view, token);
        let gateway = gateway(&self.view);
        let subject = SessionContext {
            claims,
            gateway,
            caller: &caller,
        };
        self.sessions.open_stream(subject).await
    }

    fn changed(&self, before: &View, after: &View) {
        let mut views = ViewComparison::new(before, after);
        self.sessions.view_changed(&mut views);
    }

    fn end(&self, claims: &SessionClaims, token: &str) {
        let caller = caller(&self.view, token);
        let gateway = gateway(&self.view);
        self.sessions.terminate(SessionContext {
            claims,
            gateway,
            caller: &caller,
        });
    }

    /// Waits until the actors of all sessions have handled what they were sent, and have so many streams together.
    async fn has_streams(&self, count: usize) {
        let settled = async {
            loop {
                let all = self.system.observe().await;
                let streams = |actor: &ActorSnapshot| actor.state["streams"].as_u64();
                let streams: Option<u64> = all.iter().map(streams).sum();
                if all.iter().all(|actor| actor.queued == 0) && streams == Some(count as u64) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let settled = timeout(HANG_GUARD, settled).await;
        assert!(settled.is_ok(), "not {count} streams");
    }

    fn set_level(&self, claims: &SessionClaims, level: LogLevel) -> Result<(), Refusal> {
        let caller = caller(&self.view, "ada");
        let gateway = gateway(&self.view);
        let subject = SessionContext {
            claims,
            gateway,
            caller: &caller,
        };
        self.sessions.set_level(subject, level)
    }
}

/// Returns the next event that is not a keep-alive, or `None` at the end of the stream.
async fn event(stream: &mut SessionEventStream) -> Option<String> {
    loop {
        let next = timeout(HANG_GUARD, stream.next()).await;
        let text = String::from_utf8(next.unwrap()?.to_vec()).unwrap();
        if !text.starts_with(':') {
            return Some(text);
        }
    }
}

#[tokio::test]
async fn a_stream_sends_an_initial_comment_and_keepalives() {
    let bench = SessionFixture::new();
    let mut stream = bench.open(&claims(1), "ada").await.unwrap();
    for _ in 0..3 {
        let alive = timeout(HANG_GUARD, stream.next()).await;
        assert_eq!(alive.unwrap().unwrap(), ": \n\n");
    }
}

#[tokio::test]
async fn a_tool_change_is_notified_once() {
    let bench = SessionFixture::new();
    let mut ada = bench.open(&claims(1), "ada").await.unwrap();
    let mut bob = bench.open(&claims(2), "bob").await.unwrap();
    let two = with_tools(&["one", "two"]);
    let three = with_tools(&["one", "two", "three"]);
    bench.changed(&bench.view, &two);
    bench.changed(&two, &three);
    assert_eq!(event(&mut ada).await.as_deref(), Some(NOTICE));
    assert_eq!(event(&mut bob).await.as_deref(), Some(NOTICE));
    assert!(timeout(SOON, event(&mut ada)).await.is_err());
    // A view with the same tools causes no notification.
    bench.changed(&three, &with_tools(&["one", "two", "three"]));
    assert!(timeout(SOON, event(&mut ada)).await.is_err());
}

#[tokio::test]
async fn a_changed_grant_is_notified_once_and_not_with_every_later_view() {
    let bench = SessionFixture::new();
    let mut ada = bench.open(&claims(1), "ada").await.unwrap();
    let narrow = || reaching(&["one"], &AllowList::of(vec!["other".to_owned()]));
    bench.changed(&bench.view, &narrow());
    // A caller with access to some tools only sees no prompts and no resources either.
    let notification = event(&mut ada).await.unwrap();
    assert!(notification.starts_with(NOTICE), "{notification}");
    for _ in 0..3 {
        bench.changed(&narrow(), &narrow());
    }
    assert!(timeout(SOON, event(&mut ada)).await.is_err());
}

#[tokio::test]
async fn a_log_level_is_readable_immediately() {
    let bench = SessionFixture::new();
    assert_eq!(bench.sessions.level(&claims(1)), None);
    bench.set_level(&claims(1), LogLevel::Error).unwrap();
    assert_eq!(bench.sessions.level(&claims(1)), Some(LogLevel::Error));
    assert_eq!(bench.sessions.level(&claims(2)), None);
    bench.set_level(&claims(1), LogLevel::Debug).unwrap();
    assert_eq!(bench.sessions.level(&claims(1)), Some(LogLevel::Debug));
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_streams_and_its_id() {
    let bench = SessionFixture::new();
    let mut stream = bench.open(&claims(1), "ada").await.unwrap();
    bench.end(&claims(1), "ada");
    assert_eq!(event(&mut stream).await, None);
    assert!(bench.sessions.has_ended(&claims(1)));
    assert!(!bench.sessions.has_ended(&claims(2)));
    assert!(matches!(
        bench.open(&claims(1), "ada").await,
        Err(Refusal::UnknownSession)
    ));
    assert_eq!(
        bench.set_level(&claims(1), LogLevel::Info),
        Err(Refusal::UnknownSession)
    );
    until("forgotten", || bench.sessions.count() == 0).await;
}

#[tokio::test]
async fn a_removed_token_ends_only_its_streams() {
    let bench = SessionFixture::new();
    let mut ada = bench.open(&claims(1), "ada").await.unwrap();
    let mut bob = bench.open(&claims(2), "bob").await.unwrap();
    let without = view(&snapshot("https://old.example/mcp", "Main", &["ada"]));
    bench.changed(&without, &without);
    assert_eq!(event(&mut bob).await, None);
    assert!(timeout(SOON, event(&mut ada)).await.is_err());
}

#[tokio::test]
async fn a_session_without_state_is_removed() {
    let bench = SessionFixture::new();
    let stream = bench.open(&claims(1), "ada").await.unwrap();
    bench.set_level(&claims(2), LogLevel::Info).unwrap();
    assert_eq!(bench.sessions.count(), 2);
    drop(stream);
    bench.has_streams(0).await;
    bench.clock.advance(Duration::from_secs(21));
    until("the first is forgotten", || bench.sessions.count() == 1).await;
    bench.clock.advance(SESSION_IDLE_TIMEOUT);
    until("the second is forgotten", || bench.sessions.count() == 0).await;
    // The id is still valid.
    assert!(bench.open(&claims(1), "ada").await.is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_only_its_stream() {
    let bench = SessionFixture::new();
    let mut stream = bench.open(&claims(1), "ada").await.unwrap();
    for n in 0..2 * STREAM_QUEUE {
        bench.sessions.send(&claims(1), Bytes::from(format!("{n}")));
    }
    // The stream is taken away before anything of it is read.
    bench.has_streams(0).await;
    let mut read = 0;
    while event(&mut stream).await.is_some() {
        read += 1;
    }
    assert!(read < STREAM_QUEUE);
    // Messages that were not sent wait for the next stream.
    let mut again = bench.open(&claims(1), "ada").await.unwrap();
    assert!(event(&mut again).await.is_some());
}

/// Returns the size of all that waits for the client of a session that was sent so many messages of one size while it read
/// nothing.
async fn held_of_flood(size: usize, count: usize) -> usize {
    let bench = SessionFixture::new();
    let mut stuck = bench.open(&claims(1), "ada").await.unwrap();
    for _ in 0..count {
        let message = Bytes::from(vec![b'x'; size]);
        bench.sessions.send(&claims(1), message);
        // Mailboxes are small: none of the messages is to be lost there.
        while bench
            .system
            .observe()
            .await
            .iter()
            .any(|actor| actor.queued > 0)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    bench.has_streams(0).await;
    let mut held = 0;
    while let Some(piece) = event(&mut stuck).await {
        held += piece.len();
    }
    // What was sent later waits for the next stream.
    let mut next = bench.open(&claims(1), "ada").await.unwrap();
    held + event(&mut next).await.unwrap().len()
}

#[tokio::test]
async fn a_flooded_session_whose_client_reads_nothing_holds_no_more_for_a_larger_flood() {
    const MOST: usize = 256 * 1024;
    for (size, count) in [(16 * 1024, 40), (100 * 1024, 20)] {
        let (held, of_more) = (
            held_of_flood(size, count).await,
            held_of_flood(size, 4 * count).await,
        );
        println!(
            "{count} messages of {size} bytes: {held} bytes held, {of_more} of four times as many"
        );
        assert!(size * count > 2 * MOST);
        // Events are a few bytes larger than their messages.
        assert!(held <= MOST + MOST / 100, "{held} bytes");
        assert!(
            of_more <= held + held / 10,
            "{of_more} instead of {held} bytes"
        );
    }
}

#[tokio::test]
async fn the_oldest_stream_ends_at_the_limit_and_queued_messages_stay_whole() {
    let bench = SessionFixture::new();
    bench.set_level(&claims(1), LogLevel::Info).unwrap();
    for n in 0..2 * STREAM_QUEUE {
        bench.sessions.send(&claims(1), Bytes::from(format!("{n}")));
    }
    let mut first = bench.open(&claims(1), "ada").await.unwrap();
    let notification = event(&mut first).await.unwrap();
    assert_eq!(notification.matches("data: ").count(), 2 * STREAM_QUEUE);
    let mut others = Vec::new();
    for _ in 0..MAX_STREAMS {
        others.push(bench.open(&claims(1), "ada").await.unwrap());
    }
    assert_eq!(event(&mut first).await, None);
    bench.sessions.send(&claims(1), Bytes::from_static(b"new"));
    let newest = others.last_mut().unwrap();
    assert_eq!(event(newest).await.as_deref(), Some("data: new\n\n"));
}

#[tokio::test]
async fn an_expired_id_is_rejected() {
    let bench = SessionFixture::new();
    bench.set_level(&claims(1), LogLevel::Info).unwrap();
    bench.clock.advance(LIFETIME);
    assert!(!bench.sessions.has_ended(&claims(1)));
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.sessions.has_ended(&claims(1)));
    assert!(matches!(
        bench.open(&claims(1), "ada").await,
        Err(Refusal::UnknownSession)
    ));
}

#[tokio::test]
async fn sessions_are_limited_per_principal() {
    let bench = SessionFixture::new();
    for n in 0..SESSIONS_PER_PRINCIPAL {
        let session = claims(u32::try_from(n).unwrap());
        bench.set_level(&session, LogLevel::Info).unwrap();
    }
    let more = claims(1_000_000);
    assert_eq!(
        bench.set_level(&more, LogLevel::Info),
        Err(Refusal::TooManyOpen("sessions"))
    );
    // Existing sessions continue.
    assert_eq!(bench.set_level(&claims(0), LogLevel::Error), Ok(()));
    assert!(bench.open(&more, "bob").await.is_ok());
}
