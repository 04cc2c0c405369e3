//! Refusals in flight are bounded per session.

use toolgate_client::fake_server::accepted;
use toolgate_model::Era;

use super::*;
use crate::{
    SessionChoice,
    fixture::{FakeServer, a_moment},
    session::MAX_CONCURRENT_REJECTIONS,
};

#[tokio::test]
async fn a_server_that_sends_request_after_request_is_refused_so_often_at_a_time() {
    let server = FakeServer::start(|_seen| accepted()).await;
    let context = server.context(Era::Legacy);
    let sent = server.client.send(&context, None, SessionChoice::Current);
    let session = sent.await.session.unwrap();
    let upstream = server.registry.upstream(context.plan.server()).unwrap();
    let authenticated = server
        .registry
        .authenticated_endpoint(&upstream, &context.principal);
    let authenticated = authenticated.await.unwrap();
    let drain = &server.registry.drain;
    // Nothing is sent before this task waits.
    for id in 0..2 * MAX_CONCURRENT_REJECTIONS {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no"}}}}"#);
        refuse(&session, &upstream, &authenticated, drain, body.into());
    }
    server.until("", MAX_CONCURRENT_REJECTIONS).await;
    a_moment().await;
    assert_eq!(server.count(""), MAX_CONCURRENT_REJECTIONS);
    refuse(&session, &upstream, &authenticated, drain, "{}".into());
    server.until("", MAX_CONCURRENT_REJECTIONS + 1).await;
}
