//! Every method of the protocol with every identity: a request is decided by the right of its caller to its object.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};
use toolgate_mcp::{headers::encode, method};
use toolgate_model::{
    AllowList, Era, ObjectName, SnapshotResource, UriMode, snapshot::SnapshotEntry,
};

use crate::{
    client::{TestClient, TestResponse},
    rig::{NARROW_TOKEN, TOKEN, TestRig, is_drill, name, sized, slug},
};

/// Source of the names of all methods.
const METHODS: &str = include_str!("../../../../shared/mcp/src/method.rs");

const BOTH: &[Era] = &[Era::Legacy, Era::Modern];
const LEGACY: &[Era] = &[Era::Legacy];
const MODERN: &[Era] = &[Era::Modern];

/// Outcome of a request of a token that is limited to the tool `old__echo`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LimitedOutcome {
    /// Served: the method has no object.
    Served,
    /// Served, with this number of objects in the member of the result.
    Listed(&'static str, usize),
    /// Refused with a JSON-RPC error, as if the object did not exist.
    Refused,
    /// Accepted, without any effect on a server.
    Accepted,
}

use LimitedOutcome::{Accepted, Listed, Refused, Served};

/// Row of the matrix: a method, the eras that have it, its parameters, and what the limited token gets.
type MethodRow = (&'static str, &'static [Era], Value, LimitedOutcome);

/// The matrix, written by hand, apart from the code that decides.
fn rows() -> Vec<MethodRow> {
    let prompt = json!({"type": "ref/prompt", "name": "old__greet"});
    let argument = json!({"name": "who", "value": ""});
    let uri = json!({"uri": "old+memo:today"});
    let opening = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"}});
    let feed = json!({"notifications": {"resourceSubscriptions": ["old+memo:today"]}});
    let task = json!({"taskId": "a-task-of-another"});
    let tool = json!({"name": "old__canary", "arguments": {"text": "x"}});
    vec![
        (method::INITIALIZE, LEGACY, opening, Served),
        (method::PING, LEGACY, json!({}), Served),
        (method::SET_LEVEL, LEGACY, json!({"level": "error"}), Served),
        (method::DISCOVER, MODERN, json!({}), Served),
        (method::TOOLS_LIST, BOTH, json!({}), Listed("tools", 1)),
        (method::PROMPTS_LIST, BOTH, json!({}), Listed("prompts", 0)),
        (
            method::RESOURCES_LIST,
            BOTH,
            json!({}),
            Listed("resources", 0),
        ),
        (
            method::RESOURCES_TEMPLATES_LIST,
            BOTH,
            json!({}),
            Listed("resourceTemplates", 0),
        ),
        (method::TOOLS_CALL, BOTH, tool, Refused),
        (
            method::PROMPTS_GET,
            BOTH,
            json!({"name": "old__greet", "arguments": {"who": "x"}}),
            Refused,
        ),
        (method::RESOURCES_READ, BOTH, uri.clone(), Refused),
        (method::RESOURCES_SUBSCRIBE, LEGACY, uri.clone(), Refused),
        // Ends a subscription of the session itself, if there is one.
        (method::RESOURCES_UNSUBSCRIBE, LEGACY, uri, Accepted),
        (
            method::COMPLETE,
            BOTH,
            json!({"ref": prompt, "argument": argument}),
            Refused,
        ),
        (method::LISTEN, MODERN, feed, Accepted),
        (method::TASKS_GET, MODERN, task.clone(), Refused),
        (method::TASKS_UPDATE, MODERN, task.clone(), Refused),
        (method::TASKS_CANCEL, MODERN, task, Refused),
    ]
}

/// Methods of requests of clients, as the protocol crate has them.
fn known_methods() -> BTreeSet<&'static str> {
    let of_servers = [method::ELICITATION, method::SAMPLING, method::ROOTS];
    let values = METHODS.split("pub const ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(": &str = \"")?;
        let (value, _) = rest.split_once('"')?;
        let is_request = !name.starts_with("META_") && !value.starts_with("notifications/");
        (is_request && !of_servers.contains(&value)).then_some(value)
    });
    values.collect()
}

/// Tokens that are not valid at the gateway, each with the status that they get.
const WRONG_IDENTITIES: [(&str, &str, u16); 9] = [
    ("no token", "", 401),
    ("another form", "sk-0123456789", 401),
    ("spaces", "archestra_a b", 401),
    ("unknown", "archestra_nobody-has-this", 401),
    ("a prefix of a token", "archestra_a-good-toke", 401),
    ("expired", "archestra_expired", 401),
    ("revoked", "archestra_revoked", 401),
    ("another gateway", "archestra_for-another-gateway", 404),
    ("another organization", "archestra_of-a-rival", 404),
];

/// Rig whose servers have every capability, with the tokens of [`WRONG_IDENTITIES`].
async fn rig() -> TestRig {
    let rig = TestRig::start().await;
    rig.source.configure(|snapshot| {
        snapshot
            .entries
            .update_each(|_key, entry| match &*entry.resource {
                SnapshotResource::Catalogue(catalogue) => {
                    let mut catalogue = catalogue.clone();
                    catalogue.capabilities = json!({
                        "tools": {}, "prompts": {}, "completions": {}, "logging": {},
                        "resources": {"subscribe": true},
                        "extensions": {"io.modelcontextprotocol/tasks": {}},
                    })
                    .to_string();
                    *entry = SnapshotEntry::new(SnapshotResource::Catalogue(catalogue));
                }
                SnapshotResource::Gateway(gateway) => {
                    let mut gateway = gateway.clone();
                    gateway.resources = vec![slug("old"), slug("new")];
                    gateway.uris = UriMode::Prefixed;
                    *entry = SnapshotEntry::new(SnapshotResource::Gateway(gateway));
                }
                SnapshotResource::Server(_) | SnapshotResource::Token(_) => {}
            });
    });
    rig.add_token(name("expired"), "archestra_expired", |_| {});
    rig.source.expire_token("expired", Duration::ZERO);
    rig.add_token(name("revoked"), "archestra_revoked", |_| {});
    rig.source.revoke("archestra_revoked");
    rig.add_token(name("elsewhere"), "archestra_for-another-gateway", |it| {
        it.gateways = AllowList::of(vec![slug("other")]);
    });
    let rival = ObjectName::new(slug("rival"), slug("rival"));
    rig.add_token(rival, "archestra_of-a-rival", |_| {});
    rig
}

/// Sends a request in the form of `era`. The stream of a subscription is not read.
async fn ask(client: &TestClient, era: Era, method: &str, params: &Value) -> TestResponse {
    let mut message = json!({"jsonrpc": "2.0", "id": "m", "method": method, "params": params});
    if era == Era::Legacy {
        return client.legacy(message).await.whole().await;
    }
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {
            "extensions": {"io.modelcontextprotocol/tasks": {}}},
    });
    let named = ["name", "uri", "taskId"].map(|member| params[member].as_str());
    let name = named.into_iter().flatten().next().map(encode);
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    headers.extend(name.as_deref().map(|name| ("mcp-name", name)));
    let stream = client
        .raw(Method::POST, &headers, &message.to_string())
        .await;
    if method == method::LISTEN && stream.status == 200 {
        let mut stream = stream;
        let (status, headers) = (stream.status, stream.headers.clone());
        let text = stream.message().await.unwrap().to_string();
        return TestResponse {
            status,
            headers,
            text,
        };
    }
    stream.whole().await
}

/// Number of requests about objects at both servers.
fn requests_at_servers(rig: &TestRig) -> usize {
    let opening = ["initialize", "notifications/initialized", "ping"];
    let about_objects = |method: &str| !opening.contains(&method);
    [&rig.legacy, &rig.modern]
        .map(|server| {
            let seen = server.seen.lock().unwrap();
            let methods = seen.requests.iter().map(|(_, m)| m["method"].as_str());
            methods.flatten().filter(|m| about_objects(m)).count()
        })
        .iter()
        .sum()
}

fn assert_limited(outcome: LimitedOutcome, answer: &TestResponse, what: &str) {
    match outcome {
        Served => assert!(answer.json()["result"].is_object(), "{what}: {answer:?}"),
        Listed(member, count) => {
            let listed = answer.json()["result"][member].clone();
            let found = listed.as_array().map(Vec::len);
            assert_eq!(found, Some(count), "{what}: {answer:?}");
        }
        Refused => assert!(
            answer.json()["error"]["code"].is_i64(),
            "{what}: {answer:?}"
        ),
        Accepted => {
            let shown = answer.text.contains("memo:today");
            assert!(answer.status == 200 && !shown, "{what}: {answer:?}");
        }
    }
}

#[test]
fn ti_01_every_method_of_the_protocol_has_a_row_in_the_matrix() {
    let listed: Vec<&str> = rows().iter().map(|(method, ..)| *method).collect();
    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(unique.len(), listed.len(), "a method has two rows");
    assert_eq!(unique, known_methods());
}

/// Identities without a right to the gateway get the same response to every method: they learn nothing of the objects, and
/// no server gets a request. They send the session id of a client that has one.
#[tokio::test]
async fn ti_01_no_method_serves_an_identity_without_a_right_to_the_gateway() {
    let rig = rig().await;
    let mut owner = rig.client();
    owner.initialize().await;
    let before = requests_at_servers(&rig);
    for (identity, token, status) in WRONG_IDENTITIES {
        let mut client = rig.client_with("everything", token);
        client.session.clone_from(&owner.session);
        let mut bodies = BTreeSet::new();
        for (method, eras, params, _) in rows() {
            for era in eras {
                let answer = ask(&client, *era, method, &params).await;
                let what = format!("{identity}: {era:?} {method}: {answer:?}");
                assert_eq!(answer.status, status, "{what}");
                assert!(!answer.text.contains("old__"), "{what}");
                bodies.insert(answer.text);
            }
        }
        assert_eq!(bodies.len(), 1, "{identity}: {bodies:?}");
        let session = owner.session.clone().unwrap();
        let bodiless = [
            ("mcp-session-id", &*session),
            ("accept", "text/event-stream"),
        ];
        for method in [Method::GET, Method::DELETE] {
            let answer = client.raw(method.clone(), &bodiless, "").await;
            assert_eq!(answer.status, status, "{identity}: {method}");
        }
    }
    assert_eq!(requests_at_servers(&rig), before);
    let ping = ask(&owner, Era::Legacy, method::PING, &json!({})).await;
    assert_eq!(ping.status, 200, "the session is open: {ping:?}");
}

/// A token that is limited to one tool gets what the matrix says, and no server gets a request of it. The token without
/// limits is served by the same methods.
#[tokio::test]
async fn ti_01_every_method_checks_the_right_to_its_object() {
    let rig = rig().await;
    let (mut limited, mut granted) = (
        rig.client_with("everything", NARROW_TOKEN),
        rig.client_with("everything", TOKEN),
    );
    limited.initialize().await;
    granted.initialize().await;
    let before = requests_at_servers(&rig);
    for (method, eras, params, outcome) in rows() {
        for era in eras {
            let answer = ask(&limited, *era, method, &params).await;
            assert_limited(outcome, &answer, &format!("{era:?} {method}"));
        }
    }
    assert_eq!(requests_at_servers(&rig), before);
    for (method, eras, params, outcome) in rows() {
        // No task has this id.
        if method.starts_with("tasks/") {
            continue;
        }
        for era in eras {
            let answer = ask(&granted, *era, method, &params).await;
            let what = format!("{era:?} {method}: {answer:?}");
            assert_eq!(answer.status, 200, "{what}");
            assert!(!answer.text.contains("\"error\":"), "{what}");
            if let Listed(member, count) = outcome {
                let listed = answer.json()["result"][member].clone();
                assert!(listed.as_array().unwrap().len() > count, "{what}");
            }
        }
    }
    assert!(requests_at_servers(&rig) > before);
}

/// Token of the length of the valid one; `n` selects its characters.
fn guessed_token(n: usize) -> String {
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(letters[state % letters.len()])
    };
    let start = "archestra_";
    let length = TOKEN.len() - start.len();
    start.chars().chain((0..length).map(|_| next())).collect()
}

/// Guesses that share nothing with a valid token, all but the last character, or everything with a token that has expired or
/// was revoked: the same response, byte for byte, in the same time. Tokens are looked up by a keyed hash, so that no comparison
/// depends on how much of a token is right.
#[tokio::test]
async fn oa_17_guessed_expired_and_revoked_tokens_get_the_same_answer_in_the_same_time() {
    let rig = rig().await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let ask = async |client: &TestClient| client.modern(message.clone()).await.whole().await;
    let mut client = rig.client_with("everything", "archestra_expired");
    let told = ask(&client).await;
    assert_eq!(told.status, 401);
    let mut took: [Vec<Duration>; 4] = Default::default();
    for n in 0..sized(1_000, 1_000_000) {
        let mut close = TOKEN[..TOKEN.len() - 1].to_owned();
        close.push(char::from(b'0' + u8::try_from(n % 10).unwrap()));
        let tokens = [
            guessed_token(n),
            close,
            "archestra_expired".to_owned(),
            "archestra_revoked".to_owned(),
        ];
        for (token, took) in tokens.into_iter().zip(&mut took) {
            client.token = token;
            let began = Instant::now();
            let answer = ask(&client).await;
            // The compared requests alternate, so that other load on the machine affects all of them equally.
            if took.len() < 300 {
                took.push(began.elapsed());
            }
            assert_eq!((answer.status, &answer.text), (told.status, &told.text));
        }
    }
    let typical = took.map(|mut all| {
        all.sort();
        all[all.len() / 4]
    });
    let (least, most) = (typical.iter().min().unwrap(), typical.iter().max().unwrap());
    assert!(!is_drill() || *most < *least * 3, "{typical:?}");
    let right = ask(&rig.client()).await;
    assert_eq!(right.status, 200, "{right:?}");
}
