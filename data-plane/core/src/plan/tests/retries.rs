//! Tests of retries: the `requestState` of a modern server is returned to it with the same request, and with no other.

use toolgate_mcp::text::quote;
use toolgate_model::{Era, SnapshotResource, Timestamp};

use crate::{
    Plan, Refusal,
    call::request_state::EncryptedRequestState,
    call::suspended::{CallTicket, HANDLE},
    call::url_elicitation::UrlElicitation,
    client_state::{NONCE_LEN, StateContext, StatePurpose, task::TaskId},
    fixture::{GatewayFixture, META, NOW, cipher, key, test_servers, test_snapshot},
    plan::UrlElicitationResult,
    rewrite::{UpstreamRequestOptions, request},
};

/// State in an unusual spelling, to verify that it is copied byte for byte.
const SERVER_STATE: &str = r#""after \u006fne\/""#;

const LATER: Timestamp = Timestamp(NOW.0 + 1);

fn call(method: &str, params: &str, extra: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{extra},"_meta":{{{META}}}}}}}"#
    )
}

const FIRST: (&str, &str) = (
    "tools/call",
    r#""name":"weather__now","arguments":{"x":"1","y":[2.0]}"#,
);

/// Encrypted state of the first request that expires at `until`, as JSON.
fn encrypted_state(world: &GatewayFixture, until: Timestamp) -> String {
    let body = call(FIRST.0, FIRST.1, "");
    let Plan::Call(first) = world.modern("all", &body, &[]) else {
        panic!("no call");
    };
    let entrusted = EncryptedRequestState {
        request: first.digest(body.as_bytes()).unwrap(),
        until,
        literal: SERVER_STATE.into(),
    };
    let (gateway, caller) = ("main".parse().unwrap(), world.caller("all"));
    let context = StateContext {
        gateway: &gateway,
        principal: caller.principal(),
    };
    let text = entrusted
        .encrypt(&world.cipher, context, &[3; NONCE_LEN])
        .unwrap();
    format!(r#","requestState":{}"#, quote(&text))
}

fn retry(world: &GatewayFixture, token: &str, method: &str, params: &str, extra: &str) -> Plan {
    world.modern(token, &call(method, params, extra), &[])
}

fn refused(plan: Plan) -> String {
    let Plan::Refuse(Refusal::InvalidParams(words)) = plan else {
        panic!("{plan:?}");
    };
    words.into_owned()
}

#[test]
fn ti_07_a_matching_retry_returns_its_state_to_the_server() {
    let world = GatewayFixture::new();
    let state = encrypted_state(&world, LATER);
    let same = [
        FIRST.1,
        r#""arguments" : { "y" : [ 2.0 ], "\u0078":"\u0031" }, "name":"weather__\u006eow""#,
    ];
    for (params, extra) in same.into_iter().zip(["", r#","inputResponses":{"a":{}}"#]) {
        let body = call(FIRST.0, params, &format!("{state}{extra}"));
        let Plan::Call(call) = world.modern("all", &body, &[]) else {
            panic!("refused");
        };
        assert!(call.continuation.is_none(), "nothing waits with us");
        let to = UpstreamRequestOptions {
            era: Era::Modern,
            version: "2026-07-28",
            id: 9,
            log_level: None,
            traceparent: None,
        };
        let sent = request(&body.into(), &call, &to).unwrap().body;
        let sent = std::str::from_utf8(&sent).unwrap();
        assert!(
            sent.contains(&format!(r#""requestState":{SERVER_STATE}"#)),
            "byte for byte: {sent}"
        );
        assert!(sent.contains(extra), "{sent}");
    }
    // A token with fewer tools has the same principal, but may not call this tool.
    let few = retry(&world, "few", FIRST.0, FIRST.1, &state);
    assert!(matches!(few, Plan::Refuse(Refusal::UnknownTool(_))));
}

#[test]
fn ti_07_a_state_is_rejected_for_another_request() {
    let world = GatewayFixture::new();
    let state = encrypted_state(&world, LATER);
    let others = [
        (FIRST.0, r#""name":"weather__now""#),
        (FIRST.0, r#""name":"weather__now","arguments":{}"#),
        (FIRST.0, r#""name":"weather__now","arguments":{"x":"1"}"#),
        (
            FIRST.0,
            r#""name":"weather__now","arguments":{"x":"2","y":[2.0]}"#,
        ),
        (
            FIRST.0,
            r#""name":"weather__now","arguments":{"x":"1","y":[2]}"#,
        ),
        (
            FIRST.0,
            r#""name":"weather__now","arguments":{"x":"1","y":[2.0],"z":null}"#,
        ),
        (
            FIRST.0,
            r#""name":"weather__forecast","arguments":{"x":"1","y":[2.0]}"#,
        ),
        (
            "prompts/get",
            r#""name":"weather__trip","arguments":{"x":"1","y":[2.0]}"#,
        ),
        ("resources/read", r#""uri":"weather+memo:today""#),
        (
            "completion/complete",
            r#""ref":{"type":"ref/prompt","name":"weather__trip"},"argument":{"name":"to","value":"x"}"#,
        ),
    ];
    for (method, params) in others {
        let fresh = retry(&world, "all", method, params, "");
        assert!(!matches!(fresh, Plan::Refuse(_)), "{method} {params}");
        let plan = retry(&world, "all", method, params, &state);
        assert!(refused(plan).contains("belongs to another request"));
    }
    // For a legacy server the text is not a valid ticket.
    let legacy = r#""name":"files__read","arguments":{"x":"1","y":[2.0]}"#;
    let plan = retry(&world, "all", FIRST.0, legacy, &state);
    assert!(refused(plan).contains("not valid here"));
}

#[test]
fn ti_07_a_state_expires_and_is_bound_to_its_server() {
    let old = GatewayFixture::new();
    for until in [NOW, Timestamp(NOW.0 - 1), Timestamp(0)] {
        let plan = retry(&old, "all", FIRST.0, FIRST.1, &encrypted_state(&old, until));
        assert!(refused(plan).contains("is over"));
    }
    let mut snapshot = test_snapshot(&test_servers());
    let key = key(
        toolgate_model::SnapshotResourceKind::Server,
        "acme",
        "weather",
    );
    let entry = snapshot.entries.get_mut(&key).unwrap();
    let SnapshotResource::Server(mut server) = SnapshotResource::clone(&entry.resource) else {
        panic!("no server");
    };
    server.endpoints = crate::fixture::endpoints("https://elsewhere.example/mcp");
    *entry = toolgate_model::snapshot::SnapshotEntry::new(SnapshotResource::Server(server));
    let moved = GatewayFixture::of(&snapshot);
    let plan = retry(
        &moved,
        "all",
        FIRST.0,
        FIRST.1,
        &encrypted_state(&old, LATER),
    );
    assert!(refused(plan).contains("belongs to another request"));
}

#[test]
fn ti_07_a_state_not_encrypted_for_the_request_reaches_no_server() {
    let world = GatewayFixture::new();
    let (gateway, other) = ("main".parse().unwrap(), "other".parse().unwrap());
    let (ada, eve) = (world.caller("all"), world.caller("evil"));
    let context = StateContext {
        gateway: &gateway,
        principal: ada.principal(),
    };
    let body = call(FIRST.0, FIRST.1, "");
    let Plan::Call(first) = world.modern("all", &body, &[]) else {
        panic!("no call");
    };
    let entrusted = EncryptedRequestState {
        request: first.digest(body.as_bytes()).unwrap(),
        until: LATER,
        literal: SERVER_STATE.into(),
    };
    let server = first.server().identity();
    let ticket = CallTicket {
        handle: [1; HANDLE],
        request: crate::call::suspended::digest(
            &server,
            FIRST.0,
            "weather__now",
            br#"{"x":"1","y":[2.0]}"#,
        )
        .unwrap(),
        owner: crate::OwningProxy::new("proxy-1".parse().unwrap(), None),
    };
    assert_eq!(ticket.request, entrusted.request);
    let task = TaskId {
        server: "weather".parse().unwrap(),
        tool: "weather__now".into(),
        original: SERVER_STATE.into(),
    };
    let nonce = &[4; NONCE_LEN];
    let good = entrusted.encrypt(&world.cipher, context, nonce).unwrap();
    let of = |context| entrusted.encrypt(&world.cipher, context, nonce).unwrap();
    let foreign = cipher(&[7]);
    let mut states = vec![
        String::new(),
        "after one/".to_owned(),
        SERVER_STATE.to_owned(),
        "{}".to_owned(),
        "x".repeat(70_000),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        format!("{good} "),
        good.to_lowercase(),
        format!("B{}", &good[1..]),
        of(StateContext {
            gateway: &other,
            ..context
        }),
        of(StateContext {
            principal: eve.principal(),
            ..context
        }),
        entrusted.encrypt(&foreign, context, nonce).unwrap(),
        ticket.encrypt(&world.cipher, context, nonce),
        task.encrypt(&world.cipher, context).unwrap(),
    ];
    for purpose in [
        StatePurpose::Session,
        StatePurpose::Cursor,
        StatePurpose::ServerState,
    ] {
        states.push(world.cipher.encrypt(purpose, context, nonce, b"x"));
    }
    for state in states {
        let state = format!(r#","requestState":{}"#, quote(&state));
        let plan = retry(&world, "all", FIRST.0, FIRST.1, &state);
        assert!(refused(plan).contains("not valid here"), "{state}");
    }
    let encrypted = format!(r#","requestState":{}"#, quote(&good));
    let plan = retry(&world, "all", FIRST.0, FIRST.1, &encrypted);
    assert!(matches!(plan, Plan::Call(_)));
}

#[test]
fn a_request_state_of_another_type_than_text_reaches_no_server() {
    let world = GatewayFixture::new();
    for mistyped in ["null", "1", "{}", r#"["x"]"#, "true"] {
        let state = format!(r#","requestState":{mistyped}"#);
        let plan = retry(&world, "all", FIRST.0, FIRST.1, &state);
        assert!(refused(plan).contains("wrong type"), "{state}");
    }
}

/// Call of a legacy server that requires a URL elicitation.
const LEGACY_CALL: (&str, &str) = (
    "tools/call",
    r#""name":"files__read","arguments":{"x":"1"}"#,
);

fn url_elicitation_state(world: &GatewayFixture, until: Timestamp) -> String {
    let body = call(LEGACY_CALL.0, LEGACY_CALL.1, "");
    let Plan::Call(first) = world.modern("all", &body, &[]) else {
        panic!("no call");
    };
    let visit = UrlElicitation {
        request: first.digest(body.as_bytes()).unwrap(),
        until,
        times: 4,
        pages: 1,
    };
    let (gateway, caller) = ("main".parse().unwrap(), world.caller("all"));
    let context = StateContext {
        gateway: &gateway,
        principal: caller.principal(),
    };
    let text = visit.encrypt(&world.cipher, context, &[3; NONCE_LEN]);
    format!(r#","requestState":{}"#, quote(&text))
}

#[test]
fn ti_07_a_retry_after_a_url_elicitation_works_through_any_proxy_until_expiry() {
    let world = GatewayFixture::new();
    let state = url_elicitation_state(&world, LATER);
    for (action, declined) in [("accept", false), ("decline", true)] {
        let back = format!(r#"{state},"inputResponses":{{"page-1":{{"action":"{action}"}}}}"#);
        let body = call(
            LEGACY_CALL.0,
            r#""name":"files__read","arguments":{ "x" : "1" }"#,
            &back,
        );
        let Plan::Call(call) = world.modern("all", &body, &[]) else {
            panic!("refused");
        };
        assert!(call.continuation.is_none(), "nothing waits with us");
        assert_eq!(
            call.url_elicitation_result,
            Some(UrlElicitationResult { times: 4, declined })
        );
    }
    let other = LEGACY_CALL.1.replace(r#""1""#, r#""2""#);
    let plan = retry(&world, "all", LEGACY_CALL.0, &other, &state);
    assert!(refused(plan).contains("belongs to another request"));
    let late = url_elicitation_state(&world, NOW);
    let plan = retry(&world, "all", LEGACY_CALL.0, LEGACY_CALL.1, &late);
    assert!(refused(plan).contains("is over"));
    // A modern server never receives this state.
    let plan = retry(&world, "all", FIRST.0, FIRST.1, &state);
    assert!(refused(plan).contains("not valid here"));
}

/// Legacy clients cannot send states: a modern server would take such a request for a retry.
#[test]
fn ti_07_a_legacy_session_carries_no_request_state() {
    let world = GatewayFixture::new();
    let good = encrypted_state(&world, LATER);
    for extra in [&good, r#","requestState":"x""#, r#","inputResponses":{}"#] {
        let within = |params: &str| {
            let body = call(FIRST.0, params, extra);
            world.legacy("all", &body.replace(&format!(r#","_meta":{{{META}}}"#), ""))
        };
        let plan = within(FIRST.1);
        assert!(refused(plan).contains("later protocol versions"), "{extra}");
        let plan = within(r#""name":"files__read""#);
        assert!(matches!(plan, Plan::Call(_)), "{extra}");
    }
    let answers = retry(
        &world,
        "all",
        FIRST.0,
        FIRST.1,
        r#","inputResponses":{"a":{}}"#,
    );
    assert!(
        matches!(answers, Plan::Call(_)),
        "a server may do without a state"
    );
}

#[test]
fn a_server_gets_the_members_of_a_retry_unless_they_are_addressed_to_the_gateway() {
    let world = GatewayFixture::new();
    let answers = r#","inputResponses":{"a":{}}"#;
    let modern = encrypted_state(&world, LATER);
    let elicitation = url_elicitation_state(&world, LATER);
    for (request, extra, is_continuation, is_stripped) in [
        (FIRST, "", false, false),
        (FIRST, answers, false, false),
        (FIRST, &*modern, false, false),
        (LEGACY_CALL, "", false, false),
        (LEGACY_CALL, answers, false, true),
        (LEGACY_CALL, &*elicitation, true, true),
    ] {
        let plan = retry(&world, "all", request.0, request.1, extra);
        let Plan::Call(call) = plan else {
            panic!("{plan:?}");
        };
        assert_eq!(call.is_continuation(), is_continuation, "{extra}");
        assert_eq!(call.strips_continuation(), is_stripped, "{extra}");
    }
}
