//! Session ids of the legacy era that are guessed, stolen, chosen by clients or ended.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{TestClient, TestResponse},
    rig::{NARROW_TOKEN, TOKEN, TestRig, sized},
};

fn call(tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": "s", "method": "tools/call",
        "params": {"name": tool, "arguments": {"text": "x"}}})
}

/// Posts a message with this session id instead of the client's own.
async fn post_with_session(client: &TestClient, session: &str, message: &Value) -> TestResponse {
    let mut client = client.clone();
    client.session = Some(session.to_owned());
    client.legacy(message.clone()).await.whole().await
}

async fn bodiless(client: &TestClient, session: &str, method: Method) -> u16 {
    let headers = [
        ("accept", "text/event-stream"),
        ("mcp-session-id", session),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    client.raw(method, &headers, "").await.status.as_u16()
}

fn calls_at_servers(rig: &TestRig) -> usize {
    [&rig.legacy, &rig.modern]
        .map(|server| server.calls("echo"))
        .iter()
        .sum()
}

/// Random id with the length of `like`.
fn guessed_id(like: &str, n: usize) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(letters[state % letters.len()])
    };
    like.chars().map(|_| next()).collect()
}

/// Changes every byte of a valid id and tries a thousand guesses through the listener, or a million (a hundred thousand
/// against the cipher are tried in the core crate). Unknown, foreign and ended ids get the same response, byte for byte, in the same
/// time.
#[tokio::test]
async fn ti_03_unknown_foreign_and_ended_session_ids_get_the_same_answer() {
    let rig = TestRig::start().await;
    let mut alice = rig.client();
    alice.initialize().await;
    let mine = alice.session.clone().unwrap();
    let mut bob = rig.client_with("everything", NARROW_TOKEN);
    bob.initialize().await;
    let foreign = bob.session.clone().unwrap();
    let mut ended = rig.client();
    ended.initialize().await;
    let over = ended.session.clone().unwrap();
    assert_eq!(bodiless(&ended, &over, Method::DELETE).await, 200);

    let message = call("old__echo");
    let told = post_with_session(&alice, &foreign, &message).await;
    assert_eq!(told.status, 404, "{told:?}");
    let mut took: [Vec<Duration>; 3] = Default::default();
    for n in 0..sized(1_000, 1_000_000) {
        let unknown = guessed_id(&mine, n);
        for (id, took) in [&unknown, &foreign, &over].into_iter().zip(&mut took) {
            if n >= 150 && *id != unknown {
                continue;
            }
            let began = Instant::now();
            let answer = post_with_session(&alice, id, &message).await;
            // The compared requests alternate, so that other load on the machine affects all of them equally.
            if n < 150 {
                took.push(began.elapsed());
            }
            assert_eq!((answer.status, &answer.text), (told.status, &told.text));
        }
    }
    // The fastest quarter is not interrupted unless other processes use half of the machine. An id that is looked up, or
    // requested from another proxy, takes several times as long.
    let typical = took.map(|mut all| {
        all.sort();
        all[all.len() / 4]
    });
    let (least, most) = (typical.iter().min().unwrap(), typical.iter().max().unwrap());
    assert!(*most < *least * 3, "{typical:?}");
    for at in 0..mine.len() {
        let mut bytes = mine.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let answer = post_with_session(&alice, &changed, &message).await;
        assert_eq!(
            (answer.status, &answer.text),
            (told.status, &told.text),
            "{at}"
        );
    }
    assert_eq!(calls_at_servers(&rig), 0);
    let answer = post_with_session(&alice, &mine, &message).await.json();
    assert_eq!(answer["result"]["content"][0]["text"], "x");
}

/// Asserts that no request of the client has access to the session and that the session survives.
async fn assert_inaccessible(client: &TestClient, session: &str) {
    for message in [
        call("old__echo"),
        json!({"jsonrpc": "2.0", "id": "s", "method": "ping"}),
        json!({"jsonrpc": "2.0", "id": "s", "method": "tools/list"}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
        json!({"jsonrpc": "2.0", "id": "proxy-one:0", "result": {}}),
    ] {
        let answer = post_with_session(client, session, &message).await;
        let status = answer.status.as_u16();
        assert!([400, 401, 404].contains(&status), "{message}: {answer:?}");
    }
    for method in [Method::GET, Method::DELETE] {
        let status = bodiless(client, session, method.clone()).await;
        assert!([400, 401, 404].contains(&status), "{method}: {status}");
    }
}

/// A valid id with another principal, another gateway or a revoked token; ids chosen by the client; ended ids.
#[tokio::test]
async fn ti_04_a_session_is_bound_to_its_principal_gateway_and_token() {
    let rig = TestRig::start().await;
    let mut alice = rig.client();
    alice.initialize().await;
    let mine = alice.session.clone().unwrap();
    assert_inaccessible(&rig.client_with("everything", NARROW_TOKEN), &mine).await;
    assert_inaccessible(&rig.client_with("other", TOKEN), &mine).await;
    assert_inaccessible(&rig.client_with("everything", "archestra_nobody"), &mine).await;
    assert_inaccessible(&rig.client_with("everything", ""), &mine).await;
    for own in [
        "mine",
        "0",
        "00000000-0000-4000-8000-000000000000",
        "proxy-one",
        &mine.to_uppercase(),
        &format!("{mine}A"),
        &mine[1..],
        &format!("{mine}.{mine}"),
    ] {
        assert_inaccessible(&alice, own).await;
    }
    // A client that sends an id with `initialize` gets a new one, and the sent id stays invalid.
    let opening = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
    for fixed in ["fixed-by-client", &*mine] {
        let answer = post_with_session(&alice, fixed, &opening).await;
        let given = answer.headers.get("mcp-session-id");
        assert!(given.is_none_or(|id| id != fixed), "{answer:?}");
    }
    assert_inaccessible(&alice, "fixed-by-client").await;
    assert_eq!(calls_at_servers(&rig), 0);
    let answer = post_with_session(&alice, &mine, &call("old__echo"))
        .await
        .json();
    assert_eq!(
        answer["result"]["content"][0]["text"], "x",
        "none of it hurt"
    );

    let text = rig.metrics.render();
    for reason in ["unknown_session", "unauthenticated"] {
        assert!(
            text.contains(&format!("reason=\"{reason}\"")),
            "{reason} is counted"
        );
    }
    assert_eq!(bodiless(&alice, &mine, Method::DELETE).await, 200);
    assert_inaccessible(&alice, &mine).await;
    let mut again = rig.client();
    again.initialize().await;
    let last = again.session.clone().unwrap();
    rig.source.revoke(TOKEN);
    assert_inaccessible(&again, &last).await;
    assert_eq!(calls_at_servers(&rig), 1);
}
