//! Tests of the open streams of an expelled proxy.

use super::*;

#[tokio::test]
async fn the_revocation_stream_of_a_deleted_proxy_ends_and_other_streams_continue() {
    let rig = fixture(None);
    add_token(&rig.control_api, "git");
    let mut streams = Vec::new();
    for id in ["p1", "p2"] {
        record(&rig, id);
        let mut client = PushClient::new(channel(&rig.fleet).await);
        let request = RevocationsRequest {
            proxy_id: id.into(),
        };
        let mut stream = client.revocations(request).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().unwrap().complete);
        streams.push(stream);
    }
    let p1: Slug = "p1".parse().unwrap();
    rig.control_api.command(Command::ForgetProxy(p1)).unwrap();
    // The first stream may tell of the second proxy before it ends.
    let ended = loop {
        match streams[0].message().await {
            Ok(share) => assert!(share.unwrap().token_hashes.is_empty()),
            Err(ended) => break ended,
        }
    };
    assert_eq!(ended.code(), Code::PermissionDenied);
    rig.control_api
        .token("acme", "dying", toolgate_model::AdminRole::None, false);
    rig.control_api
        .command(Command::RevokeToken(name("dying")))
        .unwrap();
    let revoked = loop {
        let message = streams[1].message().await.unwrap().unwrap();
        if !message.token_hashes.is_empty() {
            break message;
        }
    };
    assert_eq!(revoked.token_hashes.len(), 1);
}
