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
async fn found<S>(era: EraPolicy, script: S) -> (Result<ServerClient, ClientError>, Vec<String>)
where
    S: Fn(&RecordedRequest) -> ScriptedResponse + Send + Sync + 'static,
{
    let configured = ConfiguredProtocol { era, version: None };
    found_with(configured, script).await
}

/// Like [`found`], with a configured version.
async fn found_with<S>(
    configured: ConfiguredProtocol,
    script: S,
) -> (Result<ServerClient, ClientError>, Vec<String>)
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
    let peer = detect(&http(), &endpoint(&url), configured, &us(), &drain).await;
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
async fn a_denied_probe_tries_the_other_era_before_it_gives_up() {
    let ways: [fn(&RecordedRequest) -> ScriptedResponse; 3] = [
        |_| fake_server::reply(401, "text/plain", ""),
        |_| fake_server::reply(403, "text/html", "<h1>no</h1>"),
        |seen| fake_server::error(403, seen, -32000, &json!(null)),
    ];
    for way in ways {
        let (peer, asked) = found(EraPolicy::Probe, legacy_server(way)).await;
        assert_eq!(peer.unwrap().era(), Era::Legacy);
        assert_eq!(
            asked,
            ["server/discover", "initialize", "notifications/initialized"]
        );
        let (peer, asked) = found(EraPolicy::Probe, way).await;
        let status = peer.unwrap_err().status().unwrap();
        assert!(matches!(status.as_u16(), 401 | 403), "{status}");
        assert_eq!(asked, ["server/discover", "initialize"]);
    }
}

/// Returns the script of a server that accepts one version only, with this response to any other.
fn server_of_one_version(
    version: &'static str,
    refused: fn(&RecordedRequest) -> ScriptedResponse,
) -> impl Fn(&RecordedRequest) -> ScriptedResponse {
    move |seen| match seen.rpc_method() {
        "initialize" if seen.message["params"]["protocolVersion"] == version => {
            fake_server::initialized(seen)
        }
        "initialize" => refused(seen),
        "notifications/initialized" => fake_server::accepted(),
        _ => fake_server::error(200, seen, -32601, &json!(null)),
    }
}

#[tokio::test]
async fn a_server_that_refuses_a_version_is_offered_those_that_it_names_and_then_older_ones() {
    let named: fn(&RecordedRequest) -> ScriptedResponse = |seen| {
        let data = json!({ "supported": ["2024-11-05", "1999-01-01"], "requested": "2025-11-25" });
        fake_server::error(200, seen, -32602, &data)
    };
    let (peer, asked) = found(EraPolicy::Probe, server_of_one_version("2024-11-05", named)).await;
    assert_eq!(peer.unwrap().facts().version, "2024-11-05");
    assert_eq!(asked.len(), 4, "{asked:?}");
    let ways: [fn(&RecordedRequest) -> ScriptedResponse; 4] = [
        |seen| fake_server::error(200, seen, -32602, &json!(null)),
        |seen| fake_server::error(400, seen, -32602, &json!({ "supported": [] })),
        |seen| {
            let error = json!({ "code": -32000, "message": "Unsupported protocol version" });
            let id = &seen.message["id"];
            fake_server::json_reply(400, &json!({ "jsonrpc": "2.0", "id": id, "error": error }))
        },
        |_| fake_server::reply(400, "text/plain", "Bad Request"),
    ];
    for way in ways {
        for version in ["2025-06-18", "2025-03-26"] {
            let (peer, _) = found(EraPolicy::Legacy, server_of_one_version(version, way)).await;
            assert_eq!(peer.unwrap().facts().version, version);
        }
    }
}

#[tokio::test]
async fn an_error_that_does_not_refuse_a_version_is_not_repeated_with_another() {
    let failing = |seen: &RecordedRequest| fake_server::error(200, seen, -32603, &json!(null));
    let (peer, asked) = found(EraPolicy::Legacy, failing).await;
    assert_eq!(peer.unwrap_err().rpc().map(|rpc| rpc.code), Some(-32603));
    assert_eq!(asked, ["initialize"]);
}

#[tokio::test]
async fn a_pinned_version_is_the_only_one_that_is_used() {
    let pin = |version: &str| ConfiguredProtocol {
        era: EraPolicy::Probe,
        version: version.parse().ok(),
    };
    let refused: fn(&RecordedRequest) -> ScriptedResponse =
        |seen| fake_server::error(200, seen, -32602, &json!(null));
    for version in ["2025-06-18", "2024-11-05"] {
        let server = server_of_one_version(version, refused);
        let (peer, asked) = found_with(pin(version), server).await;
        assert_eq!(peer.unwrap().facts().version, version);
        assert_eq!(asked, ["initialize", "notifications/initialized"]);
    }
    let server = server_of_one_version("2025-03-26", refused);
    let (peer, asked) = found_with(pin("2025-06-18"), server).await;
    assert_eq!(peer.unwrap_err().rpc().map(|rpc| rpc.code), Some(-32602));
    assert_eq!(asked, ["initialize"]);
    let older = |seen: &RecordedRequest| {
        let result = json!({ "protocolVersion": "2025-03-26", "capabilities": {} });
        fake_server::result(seen, &result)
    };
    let (peer, _) = found_with(pin("2025-06-18"), older).await;
    assert_eq!(
        peer.unwrap_err().public_message(),
        "the server answers in 2025-03-26, and 2025-06-18 is pinned"
    );
    let (peer, asked) = found_with(pin("2026-07-28"), fake_server::discovered).await;
    assert_eq!(peer.unwrap().era(), Era::Modern);
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
        ConfiguredProtocol::default(),
        &us(),
        &drain::new().0,
    )
    .await;
    assert!(matches!(peer.unwrap_err(), ClientError::Egress(error) if error.connect_failed()));
}
