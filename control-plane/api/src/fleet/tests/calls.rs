//! Tests of readers at the admin listener and of proxies at the fleet listener, over one registry.

use std::collections::BTreeSet;

use http_body_util::BodyExt as _;
use prost::Message as _;
use toolgate_model::AdminRole;
use toolgate_proto::{
    admin::v1::{TailCallsRequest, TailCallsResponse},
    push::v1::{CallQueries, CallQuery, CallRecord, CallReport},
};
use toolgate_runtime::drain;
use tower::ServiceExt as _;

use super::*;
use crate::{
    admin::{self, AdminOptions},
    memory,
};

/// Reader at the admin listener.
struct OpenTail {
    body: axum::body::Body,
    bytes: Vec<u8>,
    code: Option<i32>,
}

impl OpenTail {
    async fn open(rig: &FleetFixture, request: &TailCallsRequest) -> Self {
        let options = AdminOptions {
            call_readers: rig.fleet.call_readers().clone(),
            ..AdminOptions::default()
        };
        let (drain, trigger) = drain::new();
        let router = admin::router(rig.control_api.clone(), options, drain);
        let path = "/toolgate.admin.v1.Calls/TailCalls";
        let request = memory::request(path, Some("editor"), &request.encode_to_vec());
        let response = router.oneshot(request).await.unwrap();
        std::mem::forget(trigger);
        let code = response.headers().get("grpc-status");
        Self {
            code: code.map(|code| code.to_str().unwrap().parse().unwrap()),
            body: response.into_body(),
            bytes: Vec::new(),
        }
    }

    /// Returns the next message; `None` when the stream has ended.
    async fn next(&mut self) -> Option<TailCallsResponse> {
        loop {
            if let Some((head, rest)) = self.bytes.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if rest.len() >= length {
                    let message = TailCallsResponse::decode(&rest[..length]).unwrap();
                    self.bytes.drain(..5 + length);
                    return Some(message);
                }
            }
            let frame = timeout(HANG_GUARD, self.body.frame()).await.unwrap()?;
            match frame.unwrap().into_data() {
                Ok(data) => self.bytes.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap();
                    let code = trailers["grpc-status"].to_str().unwrap();
                    self.code = Some(code.parse().unwrap());
                }
            }
        }
    }

    /// Returns the tools of the next messages with calls, until there are `count`.
    async fn tools(&mut self, count: usize) -> Vec<String> {
        let mut tools = Vec::new();
        while tools.len() < count {
            let message = self.next().await.unwrap();
            tools.extend(message.calls.into_iter().map(|call| call.tool));
        }
        tools
    }

    /// Reads to the end and returns the status.
    async fn end(&mut self) -> i32 {
        while self.next().await.is_some() {}
        self.code.unwrap()
    }
}

/// Proxy with an open stream of records.
struct RecordingProxy {
    reports: mpsc::Sender<CallReport>,
    queries: Streaming<CallQueries>,
}

impl RecordingProxy {
    async fn open(rig: &FleetFixture, id: &str) -> Self {
        let mut client = PushClient::new(channel(&rig.fleet).await);
        let (reports, outgoing) = mpsc::channel(4);
        let hello = CallReport {
            proxy_id: id.into(),
            ..CallReport::default()
        };
        reports.send(hello).await.unwrap();
        let opened = client.calls(ReceiverStream::new(outgoing)).await;
        Self {
            reports,
            queries: opened.unwrap().into_inner(),
        }
    }

    /// Returns the queries once there are `count`.
    async fn queries(&mut self, count: usize) -> Vec<CallQuery> {
        loop {
            let message = timeout(HANG_GUARD, self.queries.message()).await.unwrap();
            let queries = message.unwrap().unwrap().queries;
            if queries.len() == count {
                return queries;
            }
        }
    }

    async fn send(&self, query: u64, records: &[(&str, u64)], caught_up: bool) {
        let record = |(tool, time): &(&str, u64)| CallRecord {
            tool: (*tool).to_owned(),
            time_ms: *time,
            method: "tools/call".into(),
            ..CallRecord::default()
        };
        let report = CallReport {
            query,
            records: records.iter().map(record).collect(),
            caught_up,
            ..CallReport::default()
        };
        self.reports.send(report).await.unwrap();
    }
}

fn request(tail: i32) -> TailCallsRequest {
    TailCallsRequest {
        gateway: "organizations/acme/gateways/tools".into(),
        tail,
        ..TailCallsRequest::default()
    }
}

fn rig() -> FleetFixture {
    let rig = fixture(None);
    add_server(&rig.control_api, "tools", None);
    rig.control_api
        .token("acme", "editor", AdminRole::Editor, false);
    rig
}

async fn connected(rig: &FleetFixture, count: usize) {
    let all = async {
        while rig.fleet.call_readers().connected().len() < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANG_GUARD, all).await.unwrap();
}

#[tokio::test]
async fn past_calls_of_all_proxies_come_in_the_order_of_their_times_and_then_further_ones() {
    let rig = rig();
    let mut first = RecordingProxy::open(&rig, "p1").await;
    let mut second = RecordingProxy::open(&rig, "p2").await;
    connected(&rig, 2).await;
    let mut reader = OpenTail::open(&rig, &request(3)).await;
    let query = first.queries(1).await.remove(0);
    assert_eq!(
        (query.org.as_str(), query.gateway.as_str()),
        ("acme", "tools")
    );
    assert_eq!(second.queries(1).await.len(), 1);
    first.send(query.id, &[("a", 10), ("c", 30)], false).await;
    first.send(query.id, &[("e", 50)], true).await;
    second.send(query.id, &[("b", 20), ("d", 40)], true).await;
    assert_eq!(reader.tools(3).await, ["c", "d", "e"], "the latest three");
    second.send(query.id, &[("f", 60)], false).await;
    assert_eq!(reader.tools(1).await, ["f"]);
    // A record for a query that is not there is not sent to another reader.
    second.send(query.id + 1, &[("x", 70)], false).await;
    second.send(query.id, &[("g", 80)], false).await;
    assert_eq!(reader.tools(1).await, ["g"]);
    drop(reader);
    assert!(
        first.queries(0).await.is_empty(),
        "nothing is read any more"
    );
}

#[tokio::test]
async fn a_reader_is_told_which_connected_proxies_send_no_records() {
    let rig = rig();
    record(&rig, "p1");
    record(&rig, "p2");
    let mut sending = RecordingProxy::open(&rig, "p1").await;
    connected(&rig, 1).await;
    let mut reader = OpenTail::open(&rig, &request(0)).await;
    let query = sending.queries(1).await.remove(0);
    sending.send(query.id, &[], true).await;
    let mut synced = false;
    let sources = loop {
        let message = reader.next().await.unwrap();
        synced |= message.synced;
        if let Some(sources) = message.sources {
            break sources;
        }
    };
    assert!(synced);
    assert_eq!(sources.proxies, ["p1"]);
    assert_eq!(sources.missing, ["p2"]);
}

#[tokio::test]
async fn a_reader_that_wants_past_calls_only_gets_them_and_the_end() {
    let rig = rig();
    let mut proxy = RecordingProxy::open(&rig, "p1").await;
    connected(&rig, 1).await;
    let past_only = true;
    let wanted = TailCallsRequest {
        past_only,
        ..request(10)
    };
    let mut reader = OpenTail::open(&rig, &wanted).await;
    let query = proxy.queries(1).await.remove(0);
    proxy.send(query.id, &[("a", 1), ("b", 2)], true).await;
    assert_eq!(reader.tools(2).await, ["a", "b"]);
    assert_eq!(reader.end().await, Code::Ok as i32);
}

#[tokio::test]
async fn a_reader_ends_with_its_token_and_with_its_gateway() {
    let rig = rig();
    let mut reader = OpenTail::open(&rig, &request(0)).await;
    rig.control_api
        .command(Command::RevokeToken(name("editor")))
        .unwrap();
    assert_eq!(reader.end().await, Code::Unauthenticated as i32);

    let rig = self::rig();
    let mut reader = OpenTail::open(&rig, &request(0)).await;
    let key = <Gateway as toolgate_control_core::StateKind>::key(name("tools"));
    let delete = Command::Delete {
        key,
        expected: None,
    };
    rig.control_api.command(delete).unwrap();
    assert_eq!(reader.end().await, Code::NotFound as i32);
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_gateway_made_again_under_its_name_are_not_shown_to_readers_of_the_earlier_one()
{
    let rig = rig();
    let readers = rig.fleet.call_readers();
    let key = <Gateway as toolgate_control_core::StateKind>::key(name("tools"));
    let wanted = || readers.queries().borrow()[0].filter.gateway_uid;
    let mut reader = OpenTail::open(&rig, &request(0)).await;
    let earlier = wanted();
    assert!(earlier.is_some(), "proxies are told which gateway it is");
    let delete = Command::Delete {
        key,
        expected: None,
    };
    rig.control_api.command(delete).unwrap();
    add_gateway(&rig.control_api, "tools");
    assert_eq!(reader.end().await, Code::NotFound as i32);
    let _reader = OpenTail::open(&rig, &request(0)).await;
    let later = wanted();
    assert!(later.is_some() && later != earlier);
}

#[tokio::test]
async fn invalid_requests_for_calls_name_the_field() {
    let rig = rig();
    for wanted in [
        TailCallsRequest {
            gateway: "tools".into(),
            ..request(0)
        },
        TailCallsRequest {
            server: "Not an id".into(),
            ..request(0)
        },
        request(-1),
        request(1_001),
        TailCallsRequest {
            since_seconds: -1,
            ..request(0)
        },
    ] {
        let mut reader = OpenTail::open(&rig, &wanted).await;
        assert_eq!(
            reader.end().await,
            Code::InvalidArgument as i32,
            "{wanted:?}"
        );
    }
    let other = TailCallsRequest {
        gateway: "organizations/other/gateways/tools".into(),
        ..request(0)
    };
    assert_eq!(
        OpenTail::open(&rig, &other).await.end().await,
        Code::NotFound as i32
    );
}

#[tokio::test]
async fn the_stream_of_records_of_an_expelled_proxy_ends() {
    let rig = rig();
    record(&rig, "p1");
    let mut proxy = RecordingProxy::open(&rig, "p1").await;
    connected(&rig, 1).await;
    let p1: Slug = "p1".parse().unwrap();
    rig.control_api.command(Command::ForgetProxy(p1)).unwrap();
    let ended = loop {
        match timeout(HANG_GUARD, proxy.queries.message()).await.unwrap() {
            Ok(Some(_queries)) => {}
            Ok(None) => panic!("the stream ended without a reason"),
            Err(ended) => break ended,
        }
    };
    assert_eq!(ended.code(), Code::PermissionDenied);
    let none = async {
        while !rig.fleet.call_readers().connected().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANG_GUARD, none).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_records_costs_a_slow_reader_records_and_nothing_else() {
    let rig = rig();
    let mut proxy = RecordingProxy::open(&rig, "p1").await;
    connected(&rig, 1).await;
    let mut reader = OpenTail::open(&rig, &request(0)).await;
    let query = proxy.queries(1).await.remove(0);
    proxy.send(query.id, &[], true).await;
    let sent = 10_000_u64;
    // The reader does not read meanwhile.
    for time in 0..sent {
        proxy.send(query.id, &[("a", time)], false).await;
    }
    proxy.send(query.id, &[("end", sent)], false).await;
    let (mut got, mut lost, mut times) = (0, 0, BTreeSet::new());
    while got + lost < sent + 1 {
        let message = reader.next().await.unwrap();
        lost += message.lost;
        got += message.calls.len() as u64;
        for call in message.calls {
            let time = call.time.unwrap();
            times.insert((time.seconds, time.nanos));
        }
    }
    assert_eq!(times.len() as u64, got, "no record twice");
    assert!(lost > 0, "nothing waits without limit");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_for_a_minute_leaves_its_place_to_others() {
    let rig = rig();
    let readers = rig.fleet.call_readers();
    let _stalled = OpenTail::open(&rig, &request(0)).await;
    let mut reading = OpenTail::open(&rig, &request(0)).await;
    let ids = || -> Vec<u64> {
        let queries = readers.queries();
        queries.borrow().iter().map(|query| query.id).collect()
    };
    let both = ids();
    assert_eq!(both.len(), 2);
    let proxy: Slug = "p1".parse().unwrap();
    let report = |query| CallReport {
        query,
        lost: 1,
        ..CallReport::default()
    };
    let one_second = || async {
        for id in &both {
            readers.deliver(&proxy, &report(*id));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    for _ in 0..50 {
        one_second().await;
        while reading.next().await.unwrap().lost == 0 {}
    }
    assert_eq!(ids(), both, "a pause ends no stream");
    for _ in 0..30 {
        one_second().await;
        while reading.next().await.unwrap().lost == 0 {}
    }
    assert_eq!(ids(), both[1..]);
}
