//! Sessions are opened with a handshake, and ended with a message that is bounded.

use toolgate_client::fake_server::{accepted, initialized, reply, with_session};
use toolgate_data_core::session::session_id::ClientCapabilities;
use toolgate_model::{Era, Principal, PrincipalSubject, Timestamp};

use super::*;
use crate::{circuit_breaker::FAILURES, fixture::FakeServer};

fn key(server: &FakeServer) -> UpstreamSessionKey {
    let context = server.context(Era::Legacy);
    let principal = Principal {
        org: "acme".parse().unwrap(),
        subject: PrincipalSubject::AllCallers,
    };
    let capabilities = ClientCapabilities::ELICITATION;
    UpstreamSessionKey::new(
        context.plan.server(),
        &Arc::new(principal),
        None,
        capabilities,
    )
}

fn session(id: &str) -> UpstreamSessionHandle {
    let opened = HandshakeResult {
        session_id: Some(id).filter(|id| !id.is_empty()).map(Box::from),
        version: "2025-06-18".into(),
        capabilities: "{}".into(),
        http_sse: None,
    };
    UpstreamSessionHandle::new(opened, Timestamp(0))
}

#[tokio::test]
async fn a_handshake_opens_a_session() {
    let server = FakeServer::start(|seen| match seen.rpc_method() {
        "initialize" => with_session(initialized(seen), "s-1"),
        _ => accepted(),
    });
    let server = server.await;
    let network = SessionNetwork::new(Arc::clone(&server.registry));
    let session = network.initialize(&key(&server)).await.unwrap();
    let opened = &session.handshake;
    assert_eq!(opened.session_id.as_deref(), Some("s-1"));
    assert_eq!(&*opened.version, versions::LATEST_LEGACY);
    assert!(
        opened.capabilities.contains("tools"),
        "{}",
        opened.capabilities
    );
    assert!(opened.http_sse.is_none());
    server.until("notifications/initialized", 1).await;
    let seen = server.seen.lock().unwrap();
    let declared = &seen[0].message["params"]["capabilities"];
    assert!(declared["elicitation"].is_object(), "{declared}");
}

#[tokio::test]
async fn handshakes_that_fail_open_the_circuit() {
    let server = FakeServer::start(|_seen| reply(500, "text/plain", "secret")).await;
    let network = SessionNetwork::new(Arc::clone(&server.registry));
    for _ in 0..FAILURES {
        let failed = network.initialize(&key(&server)).await.unwrap_err();
        assert_eq!(failed, UpstreamFailure::ServerError);
    }
    let refused = network.initialize(&key(&server)).await.unwrap_err();
    assert_eq!(refused, UpstreamFailure::CircuitOpen);
    assert_eq!(server.registry.open_circuits(), 1);
}

#[tokio::test]
async fn a_session_is_ended_under_its_id_unless_too_many_messages_wait() {
    let server = FakeServer::start(|_seen| accepted()).await;
    let network = SessionNetwork::new(Arc::clone(&server.registry));
    network.terminate(&key(&server), &session("s-1")).await;
    let ended = |server: &FakeServer| {
        let seen = server.seen.lock().unwrap();
        let deletes = seen
            .iter()
            .filter(|seen| seen.method == http::Method::DELETE);
        let ids: Vec<String> = deletes
            .map(|seen| seen.header("mcp-session-id").to_owned())
            .collect();
        ids
    };
    assert_eq!(ended(&server), ["s-1"]);
    let upstream = server.registry.upstream(&key(&server).server).unwrap();
    let waiting: Vec<_> = std::iter::from_fn(|| upstream.message_permit()).collect();
    network.terminate(&key(&server), &session("s-2")).await;
    assert_eq!(ended(&server), ["s-1"], "it expires by itself");
    drop(waiting);
    network.terminate(&key(&server), &session("s-3")).await;
    assert_eq!(ended(&server), ["s-1", "s-3"]);
    network.terminate(&key(&server), &session("")).await;
    assert_eq!(ended(&server), ["s-1", "s-3"], "it has no id");
}
