//! Log levels: a client gets the messages of the level that it requested, from servers of either era.

use serde_json::{Value, json};
use toolgate_model::{Era, Sharing};

use crate::{
    client::Client,
    rig::{ANYTHING, Rig, exposed},
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

async fn legacy(mut client: Client, level: Option<&str>) -> Client {
    client.initialize().await;
    if let Some(level) = level {
        set(&client, level).await;
    }
    client
}

async fn set(client: &Client, level: &str) {
    let message = json!({"jsonrpc": "2.0", "id": "l", "method": "logging/setLevel",
        "params": {"level": level}});
    let answer = client.legacy(message).await.whole().await.json();
    assert_eq!(answer["result"], json!({}), "{answer}");
}

/// Levels of the log messages that a call returns, in order.
async fn logs(client: &Client, era: Era, server: Era, level: Option<&str>) -> Vec<String> {
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
fn told(rig: &Rig) -> Vec<String> {
    let seen = rig.legacy.seen.lock().unwrap();
    let messages = seen.requests.iter().map(|(_, message)| message);
    let levels = messages.filter(|message| message["method"] == "logging/setLevel");
    levels
        .map(|message| message["params"]["level"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn who_asks_for_a_level_gets_it_in_every_cell() {
    for server in ERAS {
        for (level, from) in [("debug", 0), ("warning", 3), ("emergency", 7)] {
            // Each level is tested with a fresh upstream session.
            let rig = Rig::start().await;
            let client = legacy(rig.client(), Some(level)).await;
            let got = logs(&client, Era::Legacy, server, None).await;
            assert_eq!(got, ALL[from..], "legacy on {server:?}");
            let rig = Rig::start().await;
            let got = logs(&rig.client(), Era::Modern, server, Some(level)).await;
            assert_eq!(got, ALL[from..], "modern on {server:?}");
        }
    }
}

#[tokio::test]
async fn who_asks_for_no_level_has_none_set() {
    let rig = Rig::start().await;
    let client = legacy(rig.client(), None).await;
    assert_eq!(
        logs(&client, Era::Legacy, Era::Legacy, None).await,
        ALL[1..]
    );
    let modern = rig.client();
    let none: [&str; 0] = [];
    assert_eq!(logs(&modern, Era::Modern, Era::Legacy, None).await, none);
    assert_eq!(told(&rig), none);
}

#[tokio::test]
async fn users_of_one_session_get_what_each_asked_for_and_nothing_more() {
    let rig = Rig::start().await;
    rig.share(Sharing::Shared);
    let hers = rig.client_with("everything", ANYTHING);
    let quiet = legacy(rig.client(), Some("error")).await;
    let loud = legacy(hers.clone(), Some("debug")).await;
    let ordinary = legacy(hers.clone(), None).await;
    let of = |client| logs(client, Era::Legacy, Era::Legacy, None);
    for _turn in 0..2 {
        assert_eq!(of(&quiet).await, ALL[4..]);
        assert_eq!(of(&ordinary).await, ALL[1..]);
        assert_eq!(of(&loud).await, ALL);
        // Modern clients send the level with each request.
        for (level, from) in [("alert", 6), ("debug", 0), ("notice", 2)] {
            let got = logs(&hers, Era::Modern, Era::Legacy, Some(level)).await;
            assert_eq!(got, ALL[from..]);
        }
        let got = logs(&hers, Era::Modern, Era::Legacy, None).await;
        assert_eq!(got, [""; 0]);
    }
    assert_eq!(rig.legacy.seen.lock().unwrap().opened, 1, "one session");
    assert_eq!(told(&rig), ["error", "info", "debug"], "once each");
    // Concurrently, on the same session.
    let (one, other) = tokio::join!(of(&quiet), of(&loud));
    assert_eq!((&one[..], &other[..]), (&to(4)[..], &to(0)[..]));
}

fn to(from: usize) -> Vec<String> {
    ALL[from..].iter().map(|&level| level.to_owned()).collect()
}

#[tokio::test]
async fn a_level_that_is_changed_holds_from_the_next_call_on() {
    let rig = Rig::start().await;
    let client = legacy(rig.client(), Some("error")).await;
    let got = async || logs(&client, Era::Legacy, Era::Legacy, None).await;
    assert_eq!(got().await, ALL[4..]);
    set(&client, "debug").await;
    assert_eq!(got().await, ALL);
    set(&client, "critical").await;
    assert_eq!(got().await, ALL[5..]);
    assert_eq!(told(&rig), ["error", "debug"], "never raised");
}

#[tokio::test]
async fn another_session_with_the_server_is_told_again() {
    let rig = Rig::start().await;
    let client = legacy(rig.client(), Some("debug")).await;
    for sessions in 1..=2 {
        assert_eq!(logs(&client, Era::Legacy, Era::Legacy, None).await, ALL);
        assert_eq!(rig.legacy.seen.lock().unwrap().opened, sessions);
        rig.legacy.forget();
    }
    assert!(told(&rig).iter().all(|level| level == "debug"));
}

#[tokio::test]
async fn a_server_without_logging_is_told_no_level() {
    let rig = Rig::start().await;
    rig.legacy.seen.lock().unwrap().levels.undeclared = true;
    let client = legacy(rig.client(), Some("debug")).await;
    assert_eq!(
        logs(&client, Era::Legacy, Era::Legacy, None).await,
        ALL[1..]
    );
    assert_eq!(told(&rig), [""; 0]);
}

#[tokio::test]
async fn a_server_that_does_not_take_its_level_is_called_all_the_same() {
    for (refusing, silent) in [(true, false), (false, true)] {
        let rig = Rig::start().await;
        {
            let levels = &mut rig.legacy.seen.lock().unwrap().levels;
            (levels.refusing, levels.silent) = (refusing, silent);
        }
        let client = legacy(rig.client(), Some("debug")).await;
        for _call in 0..2 {
            let got = logs(&client, Era::Legacy, Era::Legacy, None).await;
            assert_eq!(got, ALL[1..], "refusing: {refusing}");
        }
        assert_eq!(told(&rig), ["debug"], "asked once");
    }
}
