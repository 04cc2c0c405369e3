//! Tests that callers share one handshake, that a lost session is replaced once, and that no session is left behind.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use toolgate_data_core::session::upstream_session::IDLE_TIMEOUT;
use toolgate_runtime::{clock::ManualClock, drain};

use super::*;
use crate::fixture::{NOW, link_key, snapshot, until, view};

/// Quota per principal.
const SHARE: usize = 2;

const URL: &str = "https://old.example/mcp";

/// Server that counts handshakes.
#[derive(Default)]
struct CountingServer {
    opened: AtomicUsize,
    broken: AtomicBool,
    ended: Mutex<Vec<String>>,
}

/// Session with this id.
#[derive(Debug)]
struct FakeSession {
    id: String,
    last_used: AtomicU64,
}

impl UpstreamSession for FakeSession {
    fn last_used(&self) -> Timestamp {
        Timestamp(self.last_used.load(Ordering::SeqCst))
    }

    fn touch(&self, now: Timestamp) {
        self.last_used.fetch_max(now.0, Ordering::SeqCst);
    }
}

struct FakeTransport {
    server: Arc<CountingServer>,
    clock: SharedClock,
}

impl UpstreamSessionTransport for FakeTransport {
    type Session = FakeSession;

    fn initialize(
        &self,
        _key: &UpstreamSessionKey,
    ) -> BoxedFuture<'static, Result<Arc<FakeSession>, UpstreamFailure>> {
        let number = self.server.opened.fetch_add(1, Ordering::SeqCst);
        let broken = self.server.broken.load(Ordering::SeqCst);
        let clock = Arc::clone(&self.clock);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if broken {
                return Err(UpstreamFailure::Unreachable);
            }
            Ok(Arc::new(FakeSession {
                id: format!("s{number}"),
                last_used: AtomicU64::new(clock.now().0),
            }))
        })
    }

    fn terminate(
        &self,
        _key: &UpstreamSessionKey,
        session: &FakeSession,
    ) -> BoxedFuture<'static, ()> {
        self.server.ended.lock().unwrap().push(session.id.clone());
        Box::pin(async {})
    }
}

struct UpstreamSessionFixture {
    sessions: UpstreamSessionRegistry<FakeSession>,
    server: Arc<CountingServer>,
    clock: Arc<ManualClock>,
    view: View,
    _trigger: drain::DrainTrigger,
}

impl UpstreamSessionFixture {
    fn new() -> Self {
        let (server, clock) = (Arc::<CountingServer>::default(), ManualClock::new(NOW));
        let (drain, trigger) = drain::new();
        let transport = FakeTransport {
            server: Arc::clone(&server),
            clock: Arc::<ManualClock>::clone(&clock),
        };
        let sessions = UpstreamSessionRegistry::with_idle_check(
            Arc::new(transport),
            ActorSystem::start(1).unwrap(),
            Arc::<ManualClock>::clone(&clock),
            drain,
            (SHARE, Duration::from_millis(20)),
        );
        Self {
            sessions,
            server,
            clock,
            view: view(&snapshot(URL, "Main", &["ada", "bob"])),
            _trigger: trigger,
        }
    }

    fn key(&self, token: &str) -> UpstreamSessionKey {
        link_key(&self.view, token)
    }

    fn opened(&self) -> usize {
        self.server.opened.load(Ordering::SeqCst)
    }

    fn ended(&self) -> Vec<String> {
        self.server.ended.lock().unwrap().clone()
    }
}

fn id(session: &Arc<FakeSession>) -> &str {
    &session.id
}

#[tokio::test]
async fn concurrent_callers_share_one_handshake() {
    let bench = UpstreamSessionFixture::new();
    let key = bench.key("ada");
    assert!(bench.sessions.established(&key).is_none());
    let all = join_all((0..100).map(|_| bench.sessions.open(&key))).await;
    assert!(
        all.iter()
            .all(|session| id(session.as_ref().unwrap()) == "s0")
    );
    assert_eq!(bench.opened(), 1);
    assert_eq!(id(&bench.sessions.established(&key).unwrap()), "s0");
}

#[tokio::test]
async fn principals_do_not_share_an_upstream_session() {
    let bench = UpstreamSessionFixture::new();
    let ada = bench.sessions.open(&bench.key("ada")).await.unwrap();
    let bob = bench.sessions.open(&bench.key("bob")).await.unwrap();
    assert_ne!(id(&ada), id(&bob));
    assert_eq!(bench.sessions.count(), 2);
}

#[tokio::test]
async fn a_failed_handshake_fails_all_waiters_and_is_not_cached() {
    let bench = UpstreamSessionFixture::new();
    let key = bench.key("ada");
    bench.server.broken.store(true, Ordering::SeqCst);
    let all = join_all((0..10).map(|_| bench.sessions.open(&key))).await;
    assert!(
        all.iter()
            .all(|session| session.as_ref().err() == Some(&UpstreamFailure::Unreachable))
    );
    assert_eq!(bench.opened(), 1);
    bench.server.broken.store(false, Ordering::SeqCst);
    assert!(bench.sessions.open(&key).await.is_ok());
}

#[tokio::test]
async fn a_lost_session_is_replaced_once_for_all_callers() {
    let bench = UpstreamSessionFixture::new();
    let key = bench.key("ada");
    let lost = bench.sessions.open(&key).await.unwrap();
    let all = join_all((0..50).map(|_| bench.sessions.reopen(&key, &lost))).await;
    assert!(
        all.iter()
            .all(|session| id(session.as_ref().unwrap()) == "s1")
    );
    assert_eq!(bench.opened(), 2);
    // A later caller gets the current session.
    let late = bench.sessions.reopen(&key, &lost).await.unwrap();
    assert_eq!((id(&late), bench.opened()), ("s1", 2));
    // The server has lost the session, so there is nothing to terminate.
    assert_eq!(bench.ended(), [""; 0]);
}

#[tokio::test]
async fn an_idle_upstream_session_is_ended_at_the_server() {
    let bench = UpstreamSessionFixture::new();
    let key = bench.key("ada");
    bench.sessions.open(&key).await.unwrap();
    bench.clock.advance(IDLE_TIMEOUT / 2);
    assert!(bench.sessions.established(&key).is_some());
    bench.clock.advance(IDLE_TIMEOUT / 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The session was used in between.
    assert_eq!(bench.sessions.count(), 1);
    bench.clock.advance(IDLE_TIMEOUT);
    until("ended", || bench.sessions.count() == 0).await;
    assert_eq!(bench.ended(), ["s0"]);
    assert_eq!(id(&bench.sessions.open(&key).await.unwrap()), "s1");
}

#[tokio::test]
async fn a_changed_server_gets_new_sessions_and_the_old_ones_end() {
    let bench = UpstreamSessionFixture::new();
    bench.sessions.open(&bench.key("ada")).await.unwrap();
    let renamed = view(&snapshot(URL, "Other title", &["ada"]));
    bench.sessions.view_changed(&renamed);
    let moved = view(&snapshot("https://new.example/mcp", "Main", &["ada"]));
    let key = link_key(&moved, "ada");
    assert_eq!(id(&bench.sessions.open(&key).await.unwrap()), "s1");
    assert_eq!(bench.ended(), [""; 0]);
    bench.sessions.view_changed(&moved);
    until("the old one ended", || bench.sessions.count() == 1).await;
    assert_eq!(bench.ended(), ["s0"]);
    assert!(bench.sessions.established(&key).is_some());
}

#[tokio::test]
async fn shutdown_ends_every_upstream_session() {
    let bench = UpstreamSessionFixture::new();
    bench.sessions.open(&bench.key("ada")).await.unwrap();
    bench.sessions.open(&bench.key("bob")).await.unwrap();
    bench.sessions.end_all();
    until("all ended", || bench.ended().len() == 2).await;
    until("all forgotten", || bench.sessions.count() == 0).await;
}

#[tokio::test]
async fn upstream_sessions_are_limited_per_principal() {
    let bench = UpstreamSessionFixture::new();
    let of = |token: &str, conversation: u8| UpstreamSessionKey {
        client_session: Some([conversation; RANDOM_LEN]),
        ..bench.key(token)
    };
    for conversation in 0..2 {
        assert!(bench.sessions.open(&of("ada", conversation)).await.is_ok());
    }
    let refused = bench.sessions.open(&of("ada", 2)).await.unwrap_err();
    assert_eq!(
        refused,
        UpstreamFailure::TooManyOpen("sessions with servers")
    );
    assert_eq!(bench.opened(), 2, "nothing was sent");
    assert!(bench.sessions.open(&of("bob", 2)).await.is_ok());
    // Existing sessions continue, and a session that ends frees its quota.
    assert!(bench.sessions.open(&of("ada", 0)).await.is_ok());
    bench.sessions.end_for_session(&[0; RANDOM_LEN]);
    until("one ended", || bench.sessions.count() == 2).await;
    assert!(bench.sessions.open(&of("ada", 2)).await.is_ok());
    bench.sessions.end_all();
    let principals = &bench.sessions.context.quota;
    until("nobody has any", || principals.owners() == 0).await;
}
