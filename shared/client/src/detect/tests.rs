//! Tests of era detection against different kinds of servers, including the requests each of them received.

use std::sync::{Arc, Mutex};

use serde_json::json;
use toolgate_egress::{Egress, EgressPolicy, PoolOptions};
use toolgate_model::{CallTimeouts, Era};
use toolgate_runtime::drain;

use super::*;
use crate::fake_server::{self, RecordedRequest, ScriptedResponse};

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

pub(crate) fn endpoint(url: &str) -> ServerEndpoint {
    let timeouts = CallTimeouts {
        // Servers that answer do so in less, also while the machine is busy.
        first_byte: Duration::from_secs(3),
        idle: Duration::from_secs(3),
        total: Duration::from_secs(10),
        ..CallTimeouts::default()
    };
    ServerEndpoint::at(url, None, timeouts).unwrap()
}

/// Runs the detection; returns the result and the methods received by the server.
async fn found<S>(policy: EraPolicy, script: S) -> (Result<ServerClient, ClientError>, Vec<String>)
where
    S: Fn(&RecordedRequest) -> ScriptedResponse + Send + Sync + 'static,
{
    let (drain, _trigger) = drain::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let url = fake_server::start(&drain, move |seen| {
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
fn legacy_server(
    unknown: fn(&RecordedRequest) -> ScriptedResponse,
) -> impl Fn(&RecordedRequest) -> ScriptedResponse {
    move |seen| match seen.rpc_method() {
        "initialize" => fake_server::with_session(fake_server::initialized(seen), "s-1"),
        "notifications/initialized" if seen.header("mcp-session-id") == "s-1" => {
            fake_server::accepted()
        }
        _ => unknown(seen),
    }
}

#[tokio::test]
async fn a_modern_server_is_detected_with_one_request() {
    let (peer, asked) = found(EraPolicy::Probe, |seen| {
        assert_eq!(seen.header("mcp-protocol-version"), "2026-07-28");
        assert_eq!(seen.header("mcp-method"), "server/discover");
        let meta = &seen.message["params"]["_meta"];
        assert_eq!(
            meta["io.modelcontextprotocol/protocolVersion"],
            "2026-07-28"
        );
        assert!(meta["io.modelcontextprotocol/clientCapabilities"].is_object());
        fake_server::discovered(seen)
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
async fn every_form_of_an_unknown_method_error_means_legacy() {
    let ways: [fn(&RecordedRequest) -> ScriptedResponse; 7] = [
        |_| {
            fake_server::reply(
                400,
                "text/plain",
                "Bad Request: no valid session ID provided",
            )
        },
        |_| fake_server::reply(404, "text/html", "<h1>no</h1>"),
        |_| fake_server::reply(405, "text/plain", ""),
        |_| fake_server::reply(500, "text/plain", "oops"),
        |seen| fake_server::error(200, seen, -32601, &json!(null)),
        |seen| fake_server::error(400, seen, -32000, &json!(null)),
        |_| fake_server::accepted(),
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
async fn a_server_that_hangs_on_an_unknown_method_is_legacy() {
    let silent = |_: &RecordedRequest| {
        let (events, response) = fake_server::stream();
        std::mem::forget(events);
        response
    };
    let (peer, _) = found(EraPolicy::Probe, legacy_server(silent)).await;
    assert_eq!(peer.unwrap().era(), Era::Legacy);
}

#[tokio::test]
async fn an_unsupported_version_falls_back_to_a_common_one_or_fails() {
    let older = |seen: &RecordedRequest| {
        fake_server::error(
            400,
            seen,
            -32022,
            &json!({ "supported": ["2025-06-18"], "requested": "2026-07-28" }),
        )
    };
    let (peer, asked) = found(EraPolicy::Probe, legacy_server(older)).await;
    assert_eq!(peer.unwrap().facts().version, "2025-06-18");
    assert_eq!(asked[1], "initialize");
    let newer = |seen: &RecordedRequest| {
        fake_server::error(400, seen, -32022, &json!({ "supported": ["2027-01-01"] }))
    };
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
            fake_server::error(400, seen, code, &json!(null))
        })
        .await;
        assert_eq!(peer.unwrap_err().rpc().map(|rpc| rpc.code), Some(code));
        assert_eq!(asked, ["server/discover"]);
    }
}

#[tokio::test]
async fn an_authorization_failure_tries_no_other_era() {
    let (peer, asked) = found(EraPolicy::Probe, |_| {
        fake_server::reply(401, "text/plain", "")
    })
    .await;
    assert_eq!(peer.unwrap_err().status(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(asked, ["server/discover"]);
}

#[tokio::test]
async fn a_fixed_era_is_not_probed() {
    let (peer, asked) = found(
        EraPolicy::Legacy,
        legacy_server(|_| fake_server::accepted()),
    )
    .await;
    assert_eq!(peer.unwrap().era(), Era::Legacy);
    assert_eq!(asked, ["initialize", "notifications/initialized"]);
    let missing: fn(&RecordedRequest) -> ScriptedResponse =
        |_| fake_server::reply(404, "text/plain", "");
    let (peer, asked) = found(EraPolicy::Modern, legacy_server(missing)).await;
    assert_eq!(peer.unwrap_err().status(), Some(StatusCode::NOT_FOUND));
    assert_eq!(asked, ["server/discover"]);
}

#[tokio::test]
async fn an_unsupported_version_ends_the_handshake() {
    let (peer, asked) = found(EraPolicy::Legacy, |seen| {
        fake_server::result(
            seen,
            &json!({ "protocolVersion": "2024-10-07", "capabilities": {} }),
        )
    })
    .await;
    assert!(
        matches!(peer.unwrap_err(), ClientError::NoCommonVersion { offered } if offered == "2024-10-07")
    );
    assert_eq!(asked, ["initialize"]);
}

#[tokio::test]
async fn an_unreachable_server_fails_immediately() {
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
