//! Log levels: a client gets the messages of the level that it requested, from servers of either era.

use serde_json::{Value, json};
use toolgate_model::{Era, SessionSharing};

use crate::{
    client::TestClient,
    rig::{ANYTHING, TestRig, exposed},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

const ALL: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

async fn legacy_client(mut client: TestClient, level: Option<&str>) -> TestClient {
    client.initialize().await;
    if let Some(level) = level {
        set_level(&client, level).await;
    }
    client
}

async fn set_level(client: &TestClient, level: &str) {
    let message = json!({"jsonrpc": "2.0", "id": "l", "method": "logging/setLevel",
        "params": {"level": level}});
    let answer = client.legacy(message).await.whole().await.json();
    assert_eq!(answer["result"], json!({}), "{answer}");
}

/// Levels of the log messages that a call returns, in order.
async fn logged_levels(
    client: &TestClient,
    era: Era,
    server: Era,
    level: Option<&str>,
) -> Vec<String> {
    let mut params = json!({"name": exposed(server, "logs"), "arguments": {"text": "x"}});
    if let Some(level) = level {
        params["_meta"] = json!({"io.modelcontextprotocol/logLevel": level});
    }
    let message = json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params});
    let answer = client.ask(era, message).await;
    let messages = match answer.headers["content-type"] == "text/event-stream" {
        true => answer.messages().await,
        false => vec![answer.whole().await.json()],
    };
    assert_eq!(messages.last().unwrap()["id"], "c", "{messages:?}");
    let level = |message: &Value| Some(message["params"]["level"].as_str()?.to_owned());
    messages.iter().filter_map(level).collect()
}

/// Levels that were set at the legacy server, in order.
fn levels_at_server(rig: &TestRig) -> Vec<String> {
    let seen = rig.legacy.seen.lock().unwrap();
    let messages = seen.requests.iter().map(|(_, message)| message);
    let levels = messages.filter(|message| message["method"] == "logging/setLevel");
    levels
        .map(|message| message["params"]["level"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_requested_log_level_applies_in_every_era_pair() {
    for server in ERAS {
        for (level, from) in [("debug", 0), ("warning", 3), ("emergency", 7)] {
            // Each level is tested with a fresh upstream session.
            let rig = TestRig::start().await;
            let client = legacy_client(rig.client(), Some(level)).await;
            let got = logged_levels(&client, Era::Legacy, server, None).await;
            assert_eq!(got, ALL[from..], "legacy on {server:?}");
            let rig = TestRig::start().await;
            let got = logged_levels(&rig.client(), Era::Modern, server, Some(level)).await;
            assert_eq!(got, ALL[from..], "modern on {server:?}");
        }
    }
}

#[tokio::test]
async fn no_log_level_is_set_unless_requested() {
    let rig = TestRig::start().await;
    let client = legacy_client(rig.client(), None).await;
    assert_eq!(
        logged_levels(&client, Era::Legacy, Era::Legacy, None).await,
        ALL[1..]
    );
    let modern = rig.client();
    let none: [&str; 0] = [];
    assert_eq!(
        logged_levels(&modern, Era::Modern, Era::Legacy, None).await,
        none
    );
    assert_eq!(levels_at_server(&rig), none);
}

#[tokio::test]
async fn clients_of_a_shared_session_get_only_their_requested_levels() {
    let rig = TestRig::start().await;
    rig.set_sharing(SessionSharing::Shared);
    let hers = rig.client_with("everything", ANYTHING);
    let quiet = legacy_client(rig.client(), Some("error")).await;
    let loud = legacy_client(hers.clone(), Some("debug")).await;
    let ordinary = legacy_client(hers.clone(), None).await;
    let of = |client| logged_levels(client, Era::Legacy, Era::Legacy, None);
    for _turn in 0..2 {
        assert_eq!(of(&quiet).await, ALL[4..]);
        assert_eq!(of(&ordinary).await, ALL[1..]);
        assert_eq!(of(&loud).await, ALL);
        // Modern clients send the level with each request.
        for (level, from) in [("alert", 6), ("debug", 0), ("notice", 2)] {
            let got = logged_levels(&hers, Era::Modern, Era::Legacy, Some(level)).await;
            assert_eq!(got, ALL[from..]);
        }
        let got = logged_levels(&hers, Era::Modern, Era::Legacy, None).await;
        assert_eq!(got, [""; 0]);
    }
    assert_eq!(rig.legacy.seen.lock().unwrap().opened, 1, "one session");
    assert_eq!(
        levels_at_server(&rig),
        ["error", "info", "debug"],
        "once each"
    );
    // Concurrently, on the same session.
    let (one, other) = tokio::join!(of(&quiet), of(&loud));
    assert_eq!(
        (&one[..], &other[..]),
        (&levels_from(4)[..], &levels_from(0)[..])
    );
}

fn levels_from(from: usize) -> Vec<String> {
    ALL[from..].iter().map(|&level| level.to_owned()).collect()
}

#[tokio::test]
async fn a_changed_level_applies_from_the_next_call() {
    let rig = TestRig::start().await;
    let client = legacy_client(rig.client(), Some("error")).await;
    let got = async || logged_levels(&client, Era::Legacy, Era::Legacy, None).await;
    assert_eq!(got().await, ALL[4..]);
    set_level(&client, "debug").await;
    assert_eq!(got().await, ALL);
    set_level(&client, "critical").await;
    assert_eq!(got().await, ALL[5..]);
    assert_eq!(levels_at_server(&rig), ["error", "debug"], "never raised");
}

#[tokio::test]
async fn the_level_is_sent_again_to_a_new_upstream_session() {
    let rig = TestRig::start().await;
    let client = legacy_client(rig.client(), Some("debug")).await;
    for sessions in 1..=2 {
        assert_eq!(
            logged_levels(&client, Era::Legacy, Era::Legacy, None).await,
            ALL
        );
        assert_eq!(rig.legacy.seen.lock().unwrap().opened, sessions);
        rig.legacy.forget_sessions();
    }
    assert!(levels_at_server(&rig).iter().all(|level| level == "debug"));
}

#[tokio::test]
async fn no_level_is_sent_to_a_server_without_logging() {
    let rig = TestRig::start().await;
    rig.legacy.seen.lock().unwrap().levels.undeclared = true;
    let client = legacy_client(rig.client(), Some("debug")).await;
    assert_eq!(
        logged_levels(&client, Era::Legacy, Era::Legacy, None).await,
        ALL[1..]
    );
    assert_eq!(levels_at_server(&rig), [""; 0]);
}

#[tokio::test]
async fn a_server_that_rejects_the_level_is_still_called() {
    for (refusing, silent) in [(true, false), (false, true)] {
        let rig = TestRig::start().await;
        {
            let levels = &mut rig.legacy.seen.lock().unwrap().levels;
            (levels.refusing, levels.silent) = (refusing, silent);
        }
        let client = legacy_client(rig.client(), Some("debug")).await;
        for _call in 0..2 {
            let got = logged_levels(&client, Era::Legacy, Era::Legacy, None).await;
            assert_eq!(got, ALL[1..], "refusing: {refusing}");
        }
        assert_eq!(levels_at_server(&rig), ["debug"], "asked once");
    }
}
