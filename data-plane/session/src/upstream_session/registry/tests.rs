//! Tests that callers share one handshake, that a lost session is replaced once, and that no session is left behind.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use toolgate_data_core::{
    port::{HandshakeResult, UpstreamSessionProvider as _},
    session::upstream_session::IDLE_TIMEOUT,
};
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

struct FakeNetwork(Arc<CountingServer>);

impl UpstreamSessionTransport for FakeNetwork {
    fn initialize(
        &self,
        _key: &UpstreamSessionKey,
    ) -> BoxedFuture<'static, Result<HandshakeResult, UpstreamFailure>> {
        let number = self.0.opened.fetch_add(1, Ordering::SeqCst);
        let broken = self.0.broken.load(Ordering::SeqCst);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if broken {
                return Err(UpstreamFailure::Unreachable);
            }
            Ok(HandshakeResult {
                session: Some(format!("s{number}").into()),
                version: "2025-11-25".into(),
                capabilities: "{}".into(),
                transport: None,
            })
        })
    }

    fn terminate(&self, _key: &UpstreamSessionKey, session: &str) -> BoxedFuture<'static, ()> {
        self.0.ended.lock().unwrap().push(session.to_owned());
        Box::pin(async {})
    }
}

struct UpstreamSessionFixture {
    links: UpstreamSessionRegistry,
    server: Arc<CountingServer>,
    clock: Arc<ManualClock>,
    view: View,
    _trigger: drain::DrainTrigger,
}

impl UpstreamSessionFixture {
    fn new() -> Self {
        let (server, clock) = (Arc::<CountingServer>::default(), ManualClock::new(NOW));
        let (drain, trigger) = drain::new();
        let links = UpstreamSessionRegistry::with_idle_check(
            Arc::new(FakeNetwork(Arc::clone(&server))),
            ActorSystem::start(1).unwrap(),
            Arc::<ManualClock>::clone(&clock),
            drain,
            (SHARE, Duration::from_millis(20)),
        );
        Self {
            links,
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

fn session(facts: &Arc<UpstreamSessionHandle>) -> &str {
    facts.handshake.session.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn concurrent_callers_share_one_handshake() {
    let bench = UpstreamSessionFixture::new();
    let key = bench.key("ada");
    assert!(bench.links.established(&key).is_none());
    let all = join_all((0..100).map(|_| bench.links.open(&key))).await;
    assert!(
        all.iter()
            .all(|facts| session(facts.as_ref().unwrap()) == "s0")
    );
    assert_eq!(bench.opened(), 1);
    assert_eq!(session(&bench.links.established(&key).unwrap()), "s0");
}

#[tokio::test]
async fn principals_do_not_share_an_upstream_session() {
    let bench = UpstreamSessionFixture::new();
    let ada = bench.links.open(&bench.key("ada")).await.unwrap();
    let bob = bench.links.open(&bench.key("bob")).await.unwrap();
    assert_ne!(session(&ada), session(&bob));
    assert_eq!(bench.links.count(), 2);
}

#[tokio::test]
async fn a_failed_handshake_fails_all_waiters_and_is_not_cached() {
    let bench = UpstreamSessionFixture::new();
    let key = bench.key("ada");
    bench.server.broken.store(true, Ordering::SeqCst);
    let all = join_all((0..10).map(|_| bench.links.open(&key))).await;
    assert!(
        all.iter()
            .all(|facts| facts.as_ref().err() == Some(&UpstreamFailure::Unreachable))
    );
    assert_eq!(bench.opened(), 1);
    bench.server.broken.store(false, Ordering::SeqCst);
    assert!(bench.links.open(&key).await.is_ok());
}

#[tokio::test]
async fn a_lost_session_is_replaced_once_for_all_callers() {
    let bench = UpstreamSessionFixture::new();
    let key = bench.key("ada");
    let lost = bench.links.open(&key).await.unwrap();
    let all = join_all((0..50).map(|_| bench.links.reopen(&key, &lost))).await;
    assert!(
        all.iter()
            .all(|facts| session(facts.as_ref().unwrap()) == "s1")
    );
    assert_eq!(bench.opened(), 2);
    // A later caller gets the current session.
    let late = bench.links.reopen(&key, &lost).await.unwrap();
    assert_eq!((session(&late), bench.opened()), ("s1", 2));
    // The server has lost the session, so there is nothing to terminate.
    assert_eq!(bench.ended(), [""; 0]);
}

#[tokio::test]
async fn an_idle_upstream_session_is_ended_at_the_server() {
    let bench = UpstreamSessionFixture::new();
    let key = bench.key("ada");
    bench.links.open(&key).await.unwrap();
    bench.clock.advance(IDLE_TIMEOUT / 2);
    assert!(bench.links.established(&key).is_some());
    bench.clock.advance(IDLE_TIMEOUT / 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The session was used in between.
    assert_eq!(bench.links.count(), 1);
    bench.clock.advance(IDLE_TIMEOUT);
    until("ended", || bench.links.count() == 0).await;
    assert_eq!(bench.ended(), ["s0"]);
    assert_eq!(session(&bench.links.open(&key).await.unwrap()), "s1");
}

#[tokio::test]
async fn a_changed_server_gets_new_sessions_and_the_old_ones_end() {
    let bench = UpstreamSessionFixture::new();
    bench.links.open(&bench.key("ada")).await.unwrap();
    let renamed = view(&snapshot(URL, "Other title", &["ada"]));
    bench.links.view_changed(&renamed);
    let moved = view(&snapshot("https://new.example/mcp", "Main", &["ada"]));
    let key = link_key(&moved, "ada");
    assert_eq!(session(&bench.links.open(&key).await.unwrap()), "s1");
    assert_eq!(bench.ended(), [""; 0]);
    bench.links.view_changed(&moved);
    until("the old one ended", || bench.links.count() == 1).await;
    assert_eq!(bench.ended(), ["s0"]);
    assert!(bench.links.established(&key).is_some());
}

#[tokio::test]
async fn shutdown_ends_every_upstream_session() {
    let bench = UpstreamSessionFixture::new();
    bench.links.open(&bench.key("ada")).await.unwrap();
    bench.links.open(&bench.key("bob")).await.unwrap();
    bench.links.end_all();
    until("all ended", || bench.ended().len() == 2).await;
    until("all forgotten", || bench.links.count() == 0).await;
}

#[tokio::test]
async fn upstream_sessions_are_limited_per_principal() {
    let bench = UpstreamSessionFixture::new();
    let of = |token: &str, conversation: u8| UpstreamSessionKey {
        client_session: Some([conversation; RANDOM_LEN]),
        ..bench.key(token)
    };
    for conversation in 0..2 {
        assert!(bench.links.open(&of("ada", conversation)).await.is_ok());
    }
    let refused = bench.links.open(&of("ada", 2)).await.unwrap_err();
    assert_eq!(
        refused,
        UpstreamFailure::TooManyOpen("sessions with servers")
    );
    assert_eq!(bench.opened(), 2, "nothing was sent");
    assert!(bench.links.open(&of("bob", 2)).await.is_ok());
    // Existing sessions continue, and a session that ends frees its quota.
    assert!(bench.links.open(&of("ada", 0)).await.is_ok());
    bench.links.end_for_session(&[0; RANDOM_LEN]);
    until("one ended", || bench.links.count() == 2).await;
    assert!(bench.links.open(&of("ada", 2)).await.is_ok());
    bench.links.end_all();
    let principals = &bench.links.context.quota;
    until("nobody has any", || principals.owners() == 0).await;
}
