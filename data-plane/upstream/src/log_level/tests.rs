//! A level is set before the first call that asks for it, and once.

use serde_json::json;
use toolgate_client::fake_server::{reply, result};
use toolgate_data_core::session::LogLevel;
use toolgate_model::{Era, Timestamp};

use super::*;
use crate::{fixture::FakeServer, session::HandshakeResult};

async fn with_level(status: u16) -> (FakeServer, Arc<UpstreamSessionHandle>) {
    let server = FakeServer::start(move |seen| match status {
        200 => result(seen, &json!({})),
        _ => reply(status, "text/plain", ""),
    });
    let server = server.await;
    let opened = HandshakeResult {
        session_id: Some("s-1".into()),
        version: "2025-11-25".into(),
        capabilities: r#"{"logging":{}}"#.into(),
        http_sse: None,
    };
    let session = Arc::new(UpstreamSessionHandle::new(opened, Timestamp(0)));
    let mut context = server.context(Era::Legacy);
    context.log_level = Some(LogLevel::Debug);
    context.log_requested = true;
    let upstream = server.registry.upstream(context.plan.server()).unwrap();
    let authenticated = server
        .registry
        .authenticated_endpoint(&upstream, &context.principal);
    let authenticated = authenticated.await.unwrap();
    for _ in 0..3 {
        let drain = &server.registry.drain;
        set_level(&session, &context, &upstream, &authenticated, drain).await;
    }
    (server, session)
}

#[tokio::test]
async fn the_level_of_the_first_call_is_set_once() {
    let (server, _session) = with_level(200).await;
    assert_eq!(server.count(method::SET_LEVEL), 1);
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].message["params"]["level"], "debug");
    assert_eq!(seen[0].header("mcp-session-id"), "s-1");
}

#[tokio::test]
async fn a_server_that_refuses_a_level_is_not_asked_again() {
    let (server, _session) = with_level(500).await;
    assert_eq!(server.count(method::SET_LEVEL), 1);
}
