//! Tests that each proxy is told by how many proxies the rate limits are divided.

use toolgate_model::{ProxyStatus, Timestamp};
use toolgate_proto::push::v1 as pb;

use super::*;

fn connected(id: &str, control_api: &MemoryControlApi) -> ProxyStatus {
    ProxyStatus {
        id: id.parse::<Slug>().unwrap(),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: control_api.now(),
        last_seen: control_api.now(),
        connected: true,
        stream_started: Timestamp(0),
        held: Version::default(),
        acked: Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    }
}

#[tokio::test]
async fn the_number_of_proxies_comes_with_the_first_message_and_when_it_grows() {
    let rig = fixture(None);
    let control_api = &rig.control_api;
    let mut client = PushClient::new(channel(&rig.fleet).await);
    let request = RevocationsRequest::default();
    let mut stream = client.revocations(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.complete);
    let proxies = |message: &pb::Revocations| {
        let share = message.fleet_share.as_ref();
        share.map(|share| share.serving_proxies)
    };
    assert_eq!(proxies(&first), Some(1));
    // Any control plane may record a proxy. The first one is the proxy that was counted.
    for (id, expected) in [
        ("proxy-1", None),
        ("proxy-2", Some(2)),
        ("proxy-3", Some(3)),
    ] {
        let status = connected(id, control_api);
        control_api.command(Command::RecordProxy(status)).unwrap();
        let Some(expected) = expected else {
            continue;
        };
        let grown = timeout(Duration::from_secs(10), stream.message()).await;
        let grown = grown.unwrap().unwrap().unwrap();
        assert_eq!(proxies(&grown), Some(expected));
        assert!(!grown.complete && grown.token_hashes.is_empty());
    }
    // A revocation does not repeat what has not changed.
    control_api.token("acme", "dying", toolgate_model::AdminRole::None, false);
    control_api
        .command(Command::RevokeToken(name("dying")))
        .unwrap();
    let revoked = stream.message().await.unwrap().unwrap();
    assert_eq!((revoked.token_hashes.len(), proxies(&revoked)), (1, None));
}

#[tokio::test]
async fn a_proxy_that_is_no_longer_seen_does_not_count() {
    let rig = fixture(None);
    let control_api = &rig.control_api;
    let mut lost = connected("lost", control_api);
    lost.last_seen = Timestamp(lost.last_seen.0.saturating_sub(120_000));
    let mut left = connected("left", control_api);
    left.connected = false;
    for status in [
        lost,
        left,
        connected("one", control_api),
        connected("two", control_api),
    ] {
        control_api.command(Command::RecordProxy(status)).unwrap();
    }
    let mut client = PushClient::new(channel(&rig.fleet).await);
    let request = RevocationsRequest::default();
    let mut stream = client.revocations(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.fleet_share.unwrap().serving_proxies, 2);
}
