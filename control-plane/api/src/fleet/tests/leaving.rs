//! Tests of the open streams of an expelled proxy.

use super::*;

#[tokio::test]
async fn the_revocations_of_a_deleted_proxy_end_at_once_and_those_of_others_go_on() {
    let rig = rig(None);
    add_server(&rig.desk, "git");
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
    rig.desk.command(Command::ForgetProxy(p1)).unwrap();
    let ended = streams[0].message().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied);
    rig.desk
        .token("acme", "dying", toolgate_model::AdminRole::None, false);
    rig.desk
        .command(Command::RevokeToken(name("dying")))
        .unwrap();
    assert!(streams[1].message().await.unwrap().is_some());
}
