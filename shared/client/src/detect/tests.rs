//! Tests of era detection against different kinds of servers, including the requests each of them received.

use std::sync::{Arc, Mutex};

use serde_json::json;
use toolgate_egress::{Egress, EgressPolicy, PoolOptions};
use toolgate_model::{Era, Timeouts};
use toolgate_runtime::drain;

use super::*;
use crate::stand_in::{self, Scripted, Seen};

pub(crate) fn http() -> HttpClient {
    let policy = EgressPolicy {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    };
    Egress::new(policy).unwrap().http(PoolOptions::default())
}

pub(crate) fn us() -> Implementation {
    Implementation {
        name: "toolgate".to_owned(),
        title: String::new(),
        version: "0".to_owned(),
    }
}

pub(crate) fn endpoint(url: &str) -> Endpoint {
    let timeouts = Timeouts {
        first_byte: Duration::from_millis(500),
        idle: Duration::from_millis(500),
        total: Duration::from_secs(2),
        ..Timeouts::default()
    };
    Endpoint::at(url, None, timeouts).unwrap()
}

/// Runs the detection; returns the result and the methods received by the server.
async fn found<S>(policy: EraPolicy, script: S) -> (Result<Peer, ClientError>, Vec<String>)
where
    S: Fn(&Seen) -> Scripted + Send + Sync + 'static,
{
    let (drain, _trigger) = drain::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let url = stand_in::start(&drain, move |seen| {
        let what = seen.rpc_method().to_owned();
        log.lock().unwrap().push(what);
        script(&seen)
    });
    let url = url.await.unwrap();
    let peer = detect(&http(), &endpoint(&url), policy, &us(), &drain).await;
    let asked = asked.lock().unwrap().clone();
    (peer, asked)
}

/// Returns the script of a legacy server with this response to unknown methods.
fn legacy_server(unknown: fn(&Seen) -> Scripted) -> impl Fn(&Seen) -> Scripted {
    move |seen| match seen.rpc_method() {
        "initialize" => stand_in::with_session(stand_in::initialized(seen), "s-1"),
        "notifications/initialized" if seen.header("mcp-session-id") == "s-1" => {
            stand_in::accepted()
        }
        _ => unknown(seen),
    }
}

#[tokio::test]
async fn a_modern_server_is_asked_once() {
    let (peer, asked) = found(EraPolicy::Probe, |seen| {
        assert_eq!(seen.header("mcp-protocol-version"), "2026-07-28");
        assert_eq!(seen.header("mcp-method"), "server/discover");
        let meta = &seen.message["params"]["_meta"];
        assert_eq!(
            meta["io.modelcontextprotocol/protocolVersion"],
            "2026-07-28"
        );
        assert!(meta["io.modelcontextprotocol/clientCapabilities"].is_object());
        stand_in::discovered(seen)
    })
    .await;
    let peer = peer.unwrap();
    assert_eq!(
        (peer.era(), peer.facts().version.as_str()),
        (Era::Modern, "2026-07-28")
    );
    assert_eq!(peer.facts().server_name, "stand-in");
    assert_eq!(asked, ["server/discover"]);
}

#[tokio::test]
async fn every_way_of_not_understanding_means_legacy() {
    let ways: [fn(&Seen) -> Scripted; 7] = [
        |_| {
            stand_in::reply(
                400,
                "text/plain",
                "Bad Request: no valid session ID provided",
            )
        },
        |_| stand_in::reply(404, "text/html", "<h1>no</h1>"),
        |_| stand_in::reply(405, "text/plain", ""),
        |_| stand_in::reply(500, "text/plain", "oops"),
        |seen| stand_in::error(200, seen, -32601, &json!(null)),
        |seen| stand_in::error(400, seen, -32000, &json!(null)),
        |_| stand_in::accepted(),
    ];
    for way in ways {
        let (peer, asked) = found(EraPolicy::Probe, legacy_server(way)).await;
        let peer = peer.unwrap();
        assert_eq!(
            (peer.era(), peer.facts().version.as_str()),
            (Era::Legacy, "2025-11-25")
        );
        assert_eq!(
            asked,
            ["server/discover", "initialize", "notifications/initialized"]
        );
    }
}

#[tokio::test]
async fn a_server_that_hangs_on_the_unknown_is_legacy() {
    let silent = |_: &Seen| {
        let (events, response) = stand_in::stream();
        std::mem::forget(events);
        response
    };
    let (peer, _) = found(EraPolicy::Probe, legacy_server(silent)).await;
    assert_eq!(peer.unwrap().era(), Era::Legacy);
}

#[tokio::test]
async fn unsupported_version_leads_to_a_common_one_or_an_error() {
    let older = |seen: &Seen| {
        stand_in::error(
            400,
            seen,
            -32022,
            &json!({ "supported": ["2025-06-18"], "requested": "2026-07-28" }),
        )
    };
    let (peer, asked) = found(EraPolicy::Probe, legacy_server(older)).await;
    assert_eq!(peer.unwrap().facts().version, "2025-06-18");
    assert_eq!(asked[1], "initialize");
    let newer =
        |seen: &Seen| stand_in::error(400, seen, -32022, &json!({ "supported": ["2027-01-01"] }));
    let (peer, asked) = found(EraPolicy::Probe, newer).await;
    assert_eq!(
        peer.unwrap_err().to_string(),
        "the server speaks 2027-01-01, which is not supported"
    );
    assert_eq!(asked, ["server/discover"]);
}

#[tokio::test]
async fn a_recognised_modern_error_never_falls_back() {
    for code in [-32020, -32021] {
        let (peer, asked) = found(EraPolicy::Probe, move |seen| {
            stand_in::error(400, seen, code, &json!(null))
        })
        .await;
        assert_eq!(peer.unwrap_err().rpc().map(|rpc| rpc.code), Some(code));
        assert_eq!(asked, ["server/discover"]);
    }
}

#[tokio::test]
async fn who_is_not_let_in_does_not_try_another_era() {
    let (peer, asked) = found(EraPolicy::Probe, |_| stand_in::reply(401, "text/plain", "")).await;
    assert_eq!(peer.unwrap_err().status(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(asked, ["server/discover"]);
}

#[tokio::test]
async fn a_fixed_era_is_not_probed() {
    let (peer, asked) = found(EraPolicy::Legacy, legacy_server(|_| stand_in::accepted())).await;
    assert_eq!(peer.unwrap().era(), Era::Legacy);
    assert_eq!(asked, ["initialize", "notifications/initialized"]);
    let missing: fn(&Seen) -> Scripted = |_| stand_in::reply(404, "text/plain", "");
    let (peer, asked) = found(EraPolicy::Modern, legacy_server(missing)).await;
    assert_eq!(peer.unwrap_err().status(), Some(StatusCode::NOT_FOUND));
    assert_eq!(asked, ["server/discover"]);
}

#[tokio::test]
async fn a_version_that_is_not_spoken_ends_the_handshake() {
    let (peer, asked) = found(EraPolicy::Legacy, |seen| {
        stand_in::result(
            seen,
            &json!({ "protocolVersion": "2024-10-07", "capabilities": {} }),
        )
    })
    .await;
    assert!(
        matches!(peer.unwrap_err(), ClientError::NoCommonVersion { theirs } if theirs == "2024-10-07")
    );
    assert_eq!(asked, ["initialize"]);
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let peer = detect(
        &http(),
        &endpoint("http://127.0.0.1:1/mcp"),
        EraPolicy::Probe,
        &us(),
        &drain::new().0,
    )
    .await;
    assert!(matches!(peer.unwrap_err(), ClientError::Egress(error) if error.connect_failed()));
}
