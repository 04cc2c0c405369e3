//! Tests of session state and of the messages on session streams.

use futures_util::StreamExt as _;
use tokio::time::timeout;
use toolgate_data_core::{View, session::STREAMS, session_id::LIFE};
use toolgate_model::Reach;
use toolgate_runtime::clock::ManualClock;

use super::*;
use crate::{
    fixture::{NOW, caller, facts, gateway, reaching, snapshot, until, view, with_tools},
    session::IDLE,
    stream::STREAM_QUEUE,
};

const SOON: Duration = Duration::from_millis(300);
const NOTICE: &str =
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";

struct Bench {
    sessions: Sessions,
    clock: Arc<ManualClock>,
    view: View,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new(NOW);
        let pace = Pace {
            keep_alive: Duration::from_millis(100),
            gather: Duration::from_millis(50),
            rest: Duration::from_millis(50),
        };
        let system = ActorSystem::start(1).unwrap();
        let shared = Arc::<ManualClock>::clone(&clock);
        Self {
            sessions: Sessions::paced(system, shared, SESSIONS_PER_PRINCIPAL, pace),
            clock,
            view: with_tools(&["one"]),
        }
    }

    async fn open(&self, facts: &SessionFacts, token: &str) -> Result<EventStream, Refusal> {
        let caller = caller(&self.view, token);
        let gateway = gateway(&self.view);
        let subject = Subject {
            facts,
            gateway,
            caller: &caller,
        };
        self.sessions.open_stream(subject).await
    }

    fn changed(&self, before: &View, after: &View) {
        let mut views = Comparison::new(before, after);
        self.sessions.view_changed(&mut views);
    }

    fn end(&self, facts: &SessionFacts, token: &str) {
        let caller = caller(&self.view, token);
        let gateway = gateway(&self.view);
        self.sessions.terminate(Subject {
            facts,
            gateway,
            caller: &caller,
        });
    }

    fn set_level(&self, facts: &SessionFacts, level: LogLevel) -> Result<(), Refusal> {
        let caller = caller(&self.view, "ada");
        let gateway = gateway(&self.view);
        let subject = Subject {
            facts,
            gateway,
            caller: &caller,
        };
        self.sessions.set_level(subject, level)
    }
}

/// Returns the next event that is not a keep-alive, or `None` at the end of the stream.
async fn event(stream: &mut EventStream) -> Option<String> {
    loop {
        let next = timeout(Duration::from_secs(5), stream.next()).await;
        let text = String::from_utf8(next.unwrap()?.to_vec()).unwrap();
        if !text.starts_with(':') {
            return Some(text);
        }
    }
}

#[tokio::test]
async fn a_stream_says_that_it_stands_and_goes_on_saying_so() {
    let bench = Bench::new();
    let mut stream = bench.open(&facts(1), "ada").await.unwrap();
    for _ in 0..3 {
        let alive = timeout(Duration::from_secs(2), stream.next()).await;
        assert_eq!(alive.unwrap().unwrap(), ": \n\n");
    }
}

#[tokio::test]
async fn changes_of_the_tools_are_told_once() {
    let bench = Bench::new();
    let mut ada = bench.open(&facts(1), "ada").await.unwrap();
    let mut bob = bench.open(&facts(2), "bob").await.unwrap();
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
async fn a_changed_reach_is_told_once_and_not_with_every_later_view() {
    let bench = Bench::new();
    let mut ada = bench.open(&facts(1), "ada").await.unwrap();
    let narrow = || reaching(&["one"], &Reach::of(vec!["other".to_owned()]));
    bench.changed(&bench.view, &narrow());
    // A caller with access to some tools only sees no prompts and no resources either.
    let told = event(&mut ada).await.unwrap();
    assert!(told.starts_with(NOTICE), "{told}");
    for _ in 0..3 {
        bench.changed(&narrow(), &narrow());
    }
    assert!(timeout(SOON, event(&mut ada)).await.is_err());
}

#[tokio::test]
async fn a_level_can_be_read_at_once() {
    let bench = Bench::new();
    assert_eq!(bench.sessions.level(&facts(1)), None);
    bench.set_level(&facts(1), LogLevel::Error).unwrap();
    assert_eq!(bench.sessions.level(&facts(1)), Some(LogLevel::Error));
    assert_eq!(bench.sessions.level(&facts(2)), None);
    bench.set_level(&facts(1), LogLevel::Debug).unwrap();
    assert_eq!(bench.sessions.level(&facts(1)), Some(LogLevel::Debug));
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_streams_and_its_id() {
    let bench = Bench::new();
    let mut stream = bench.open(&facts(1), "ada").await.unwrap();
    bench.end(&facts(1), "ada");
    assert_eq!(event(&mut stream).await, None);
    assert!(bench.sessions.is_over(&facts(1)));
    assert!(!bench.sessions.is_over(&facts(2)));
    assert!(matches!(
        bench.open(&facts(1), "ada").await,
        Err(Refusal::UnknownSession)
    ));
    assert_eq!(
        bench.set_level(&facts(1), LogLevel::Info),
        Err(Refusal::UnknownSession)
    );
    until("forgotten", || bench.sessions.count() == 0).await;
}

#[tokio::test]
async fn a_token_that_is_gone_ends_its_streams_alone() {
    let bench = Bench::new();
    let mut ada = bench.open(&facts(1), "ada").await.unwrap();
    let mut bob = bench.open(&facts(2), "bob").await.unwrap();
    let without = view(&snapshot("https://old.example/mcp", "Main", &["ada"]));
    bench.changed(&without, &without);
    assert_eq!(event(&mut bob).await, None);
    assert!(timeout(SOON, event(&mut ada)).await.is_err());
}

#[tokio::test]
async fn who_is_remembered_for_nothing_is_forgotten() {
    let bench = Bench::new();
    let stream = bench.open(&facts(1), "ada").await.unwrap();
    bench.set_level(&facts(2), LogLevel::Info).unwrap();
    assert_eq!(bench.sessions.count(), 2);
    drop(stream);
    tokio::time::sleep(SOON).await;
    bench.clock.advance(Duration::from_secs(21));
    until("the first is forgotten", || bench.sessions.count() == 1).await;
    bench.clock.advance(IDLE);
    until("the second is forgotten", || bench.sessions.count() == 0).await;
    // The id is still valid.
    assert!(bench.open(&facts(1), "ada").await.is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_stream_and_nothing_else() {
    let bench = Bench::new();
    let mut stream = bench.open(&facts(1), "ada").await.unwrap();
    for n in 0..2 * STREAM_QUEUE {
        bench.sessions.say(&facts(1), Bytes::from(format!("{n}")));
    }
    tokio::time::sleep(SOON).await;
    let mut read = 0;
    while event(&mut stream).await.is_some() {
        read += 1;
    }
    assert!(read < STREAM_QUEUE);
    // Messages that were not sent wait for the next stream.
    let mut again = bench.open(&facts(1), "ada").await.unwrap();
    assert!(event(&mut again).await.is_some());
}

#[tokio::test]
async fn one_stream_too_many_ends_the_oldest_and_what_waited_comes_in_one_piece() {
    let bench = Bench::new();
    bench.set_level(&facts(1), LogLevel::Info).unwrap();
    for n in 0..2 * STREAM_QUEUE {
        bench.sessions.say(&facts(1), Bytes::from(format!("{n}")));
    }
    let mut first = bench.open(&facts(1), "ada").await.unwrap();
    let told = event(&mut first).await.unwrap();
    assert_eq!(told.matches("data: ").count(), 2 * STREAM_QUEUE);
    let mut others = Vec::new();
    for _ in 0..STREAMS {
        others.push(bench.open(&facts(1), "ada").await.unwrap());
    }
    assert_eq!(event(&mut first).await, None);
    bench.sessions.say(&facts(1), Bytes::from_static(b"new"));
    let newest = others.last_mut().unwrap();
    assert_eq!(event(newest).await.as_deref(), Some("data: new\n\n"));
}

#[tokio::test]
async fn an_id_that_is_too_old_names_no_session() {
    let bench = Bench::new();
    bench.set_level(&facts(1), LogLevel::Info).unwrap();
    bench.clock.advance(LIFE);
    assert!(!bench.sessions.is_over(&facts(1)));
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.sessions.is_over(&facts(1)));
    assert!(matches!(
        bench.open(&facts(1), "ada").await,
        Err(Refusal::UnknownSession)
    ));
}

#[tokio::test]
async fn one_principal_cannot_take_all_room() {
    let bench = Bench::new();
    for n in 0..SESSIONS_PER_PRINCIPAL {
        let session = facts(u32::try_from(n).unwrap());
        bench.set_level(&session, LogLevel::Info).unwrap();
    }
    let more = facts(1_000_000);
    assert_eq!(
        bench.set_level(&more, LogLevel::Info),
        Err(Refusal::TooManyOpen("sessions"))
    );
    // Existing sessions continue.
    assert_eq!(bench.set_level(&facts(0), LogLevel::Error), Ok(()));
    assert!(bench.open(&more, "bob").await.is_ok());
}
