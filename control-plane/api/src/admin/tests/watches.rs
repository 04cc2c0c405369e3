//! Tests of watches: existing objects, then changes, without a queue.

use http_body_util::BodyExt as _;
use prost::Message as _;
use tokio::time::timeout;
use tower::ServiceExt as _;
use watch_event::{Object, Type};

use super::*;
use crate::{memory::HANG_GUARD, watch::BUFFER};

struct OpenWatch {
    body: axum::body::Body,
    bytes: Vec<u8>,
    trailers: Option<http::HeaderMap>,
}

impl OpenWatch {
    async fn open(router: &Router, token: &str, kinds: &[&str]) -> Self {
        let request = WatchRequest {
            parent: "organizations/acme".into(),
            kinds: kinds.iter().map(ToString::to_string).collect(),
        };
        let path = "/toolgate.admin.v1.Watch/Watch";
        let request = memory::request(path, Some(token), &request.encode_to_vec());
        let response = router.clone().oneshot(request).await.unwrap();
        Self {
            body: response.into_body(),
            bytes: Vec::new(),
            trailers: None,
        }
    }

    /// Returns the next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some((head, rest)) = self.bytes.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if rest.len() >= length {
                    let event = WatchEvent::decode(&rest[..length]).unwrap();
                    self.bytes.drain(..5 + length);
                    return Some(event);
                }
            }
            let frame = timeout(HANG_GUARD, self.body.frame())
                .await
                .unwrap()?
                .unwrap();
            match frame.into_data() {
                Ok(data) => self.bytes.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
    }

    async fn until_synced(&mut self) -> Vec<WatchEvent> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap();
            if event.r#type() == Type::Synced {
                return events;
            }
            events.push(event);
        }
    }
}

fn server_name(event: &WatchEvent) -> String {
    match &event.object {
        Some(Object::Server(server)) => server.metadata.clone().unwrap_or_default().name,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_watch_sends_existing_objects_and_then_changes() {
    let (router, _desk, _trigger) = start();
    made(&router, "git").await;
    let mut watch = OpenWatch::open(&router, "viewer", &["Server"]).await;
    let there = watch.until_synced().await;
    assert_eq!(there.len(), 1);
    assert_eq!(server_name(&there[0]), "organizations/acme/servers/git");
    made(&router, "mail").await;
    let event = watch.next().await.unwrap();
    assert_eq!(
        (event.r#type(), server_name(&event).as_str()),
        (Type::Put, "organizations/acme/servers/mail")
    );
    let delete = DeleteServerRequest {
        name: "organizations/acme/servers/git".into(),
        ..Default::default()
    };
    let deleted = call(&router, "Servers/DeleteServer", Some("editor"), &delete).await;
    assert_eq!(deleted.code, Code::Ok);
    let event = watch.next().await.unwrap();
    assert_eq!(
        (event.r#type(), server_name(&event).as_str()),
        (Type::Deleted, "organizations/acme/servers/git")
    );
}

#[tokio::test]
async fn a_slow_watch_reader_gets_only_the_latest_revision() {
    let (router, _desk, _trigger) = start();
    let mut server = made(&router, "git").await;
    let mut watch = OpenWatch::open(&router, "viewer", &["Server"]).await;
    watch.until_synced().await;
    for step in 0..300 {
        if let Some(spec) = &mut server.spec {
            spec.description = step.to_string();
        }
        let request = update(server.clone(), &["spec"]);
        let answer = call(&router, "Servers/UpdateServer", Some("editor"), &request);
        server = answer.await.read();
    }
    let mut events = 0;
    loop {
        let event = watch.next().await.unwrap();
        events += 1;
        match event.object {
            Some(Object::Server(shown)) if shown.spec.as_ref().unwrap().description == "299" => {
                break;
            }
            _ => {}
        }
    }
    assert!(events <= 300, "{events}");
}

#[tokio::test]
async fn a_watch_ends_when_its_token_is_revoked() {
    let (router, _desk, _trigger) = start();
    let mut watch = OpenWatch::open(&router, "viewer", &["Server"]).await;
    watch.until_synced().await;
    let revoke = RevokeTokenRequest {
        name: "organizations/acme/tokens/viewer".into(),
        ..Default::default()
    };
    let revoked = call(&router, "Tokens/RevokeToken", Some("admin"), &revoke).await;
    assert_eq!(revoked.code, Code::Ok);
    while watch.next().await.is_some() {}
    let status = tonic::Status::from_header_map(&watch.trailers.unwrap()).unwrap();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_reader_does_not_read_ends_when_its_token_is_revoked() {
    let (drain, _trigger) = drain::new();
    let (router, _desk) = start_with(drain.clone());
    for number in 1..BUFFER {
        made(&router, &format!("server-{number}")).await;
    }
    // There is room for all events of one stream and for nothing further, and not for all of the other one.
    let full = OpenWatch::open(&router, "viewer", &["Server"]).await;
    let stalled = OpenWatch::open(&router, "viewer", &["Server", "Token"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(drain.running()[0].count, 2, "{:?}", drain.running());
    let revoke = RevokeTokenRequest {
        name: "organizations/acme/tokens/viewer".into(),
        ..Default::default()
    };
    let revoked = call(&router, "Tokens/RevokeToken", Some("admin"), &revoke).await;
    assert_eq!(revoked.code, Code::Ok);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(drain.running(), []);
    drop((full, stalled));
}

#[tokio::test]
async fn watching_unknown_or_unreadable_kinds_is_rejected() {
    let (router, _desk, _trigger) = start();
    let asked = |kind: &str| WatchRequest {
        parent: String::new(),
        kinds: vec![kind.into()],
    };
    let answer = call(&router, "Watch/Watch", Some("viewer"), &asked("Nope")).await;
    assert_eq!(answer.code, Code::InvalidArgument);
    let answer = call(&router, "Watch/Watch", Some("viewer"), &asked("Proxy")).await;
    assert_eq!(answer.code, Code::PermissionDenied);
    let answer = call(&router, "Watch/Watch", Some("system"), &asked("Proxy")).await;
    assert_eq!(answer.read::<WatchEvent>().r#type(), Type::Synced);
}

#[tokio::test]
async fn watch_streams_are_limited_per_caller() {
    let (router, _desk, _trigger) = start();
    let mut open = Vec::new();
    for _stream in 0..32 {
        let mut watch = OpenWatch::open(&router, "viewer", &["Server"]).await;
        watch.until_synced().await;
        open.push(watch);
    }
    let request = WatchRequest::default();
    let answer = call(&router, "Watch/Watch", Some("viewer"), &request).await;
    assert_eq!(answer.code, Code::ResourceExhausted);
    assert!(answer.status.get_error_details().retry_info().is_some());
    let answer = call(&router, "Watch/Watch", Some("editor"), &request).await;
    assert_eq!(answer.code, Code::Ok);
}

#[tokio::test]
async fn a_drain_ends_every_watch() {
    let (router, _desk, trigger) = start();
    let mut watch = OpenWatch::open(&router, "viewer", &["Server"]).await;
    watch.until_synced().await;
    let outcome = trigger.drain(HANG_GUARD).await;
    assert_eq!(outcome, drain::DrainOutcome::Drained);
    while watch.next().await.is_some() {}
}
