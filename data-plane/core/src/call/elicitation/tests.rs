//! Every elicitation gets exactly one answer in any order of events, and none is left open.

mod model;

use serde_json::{Value, json};

use super::*;
use crate::{fixture::slug, session::session_id::ClientCapabilities};

const START: Timestamp = Timestamp(1_000);

fn own(number: u8) -> ElicitationId {
    ElicitationId {
        proxy: slug("proxy-1"),
        random: [number; 16],
    }
}

fn form() -> Elicitation {
    let params = br#"{"message":"Which \"one\"?","requestedSchema":{"type":"object","properties":{"n":{"default":1.50}}},"_meta":{"progressToken":7,"x":1}}"#;
    Elicitation::read("elicitation/create", Some(params)).unwrap()
}

fn asking() -> PendingElicitations {
    PendingElicitations::new(slug("files"), None)
}

fn asked(id: &str, number: u8) -> ElicitationEvent {
    ElicitationEvent::Requested {
        id: id.into(),
        elicitation: form(),
        own: Some(own(number)),
    }
}

fn result(number: u8, result: &str) -> ElicitationEvent {
    let name = own(number).name();
    let frame = format!(r#"{{"jsonrpc":"2.0","id":"{name}","result":{result}}}"#);
    ElicitationEvent::Answered(own(number), frame.into())
}

fn error(number: u8) -> ElicitationEvent {
    let name = own(number).name();
    let frame =
        format!(r#"{{"jsonrpc":"2.0","id":"{name}","error":{{"code":-1,"message":"no"}}}}"#);
    ElicitationEvent::Answered(own(number), frame.into())
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_server_request_is_sent_under_a_gateway_id_and_names_its_server() {
    let mut machine = asking();
    let out = machine.on(asked("\"s\\u0031\"", 1), START);
    let [ElicitationOutput::SendClient(said)] = &out[..] else {
        panic!("{out:?}");
    };
    let text = std::str::from_utf8(said).unwrap();
    assert!(text.contains(r#""default":1.50"#), "numbers stay: {text}");
    let said = value(said);
    assert_eq!(said["id"], own(1).name());
    assert_eq!(said["method"], "elicitation/create");
    assert_eq!(said["params"]["message"], "[files] Which \"one\"?");
    assert_eq!(said["params"]["_meta"], json!({"x": 1}));
    let out = machine.on(result(1, r#"{"action":"accept","n":1.0}"#), START);
    let [
        ElicitationOutput::Close(closed),
        ElicitationOutput::Respond(told),
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(*closed, own(1));
    let exact = r#"{"jsonrpc":"2.0","id":"s\u0031","result":{"action":"accept","n":1.0}}"#;
    assert_eq!(told, exact);
    assert_eq!(machine.on(result(1, "{}"), START), []);
}

#[test]
fn server_requests_fail_once_the_client_loses_access() {
    let soon = START.after(Duration::from_secs(2));
    let mut machine = PendingElicitations::new(slug("files"), Some(soon));
    machine.on(asked("1", 1), START);
    assert_eq!(machine.deadline(), Some(soon));
    let out = machine.on(ElicitationEvent::Tick, soon);
    assert!(
        matches!(
            &out[..],
            [
                ElicitationOutput::SendClient(_),
                ElicitationOutput::Close(_),
                ElicitationOutput::Respond(_)
            ]
        ),
        "{out:?}"
    );
    machine.on(asked("2", 2), soon);
    assert_eq!(machine.deadline(), Some(soon), "at once");
    let late = START.after(2 * ANSWER_TIMEOUT);
    let mut patient = PendingElicitations::new(slug("files"), Some(late));
    patient.on(asked("1", 1), START);
    assert_eq!(patient.deadline(), Some(START.after(ANSWER_TIMEOUT)));
}

#[test]
fn client_errors_reach_the_server_and_late_answers_are_dropped() {
    let mut machine = asking();
    machine.on(asked("1", 1), START);
    machine.on(asked("2", 2), START);
    let out = machine.on(error(1), START);
    let [_, ElicitationOutput::Respond(told)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(value(told)["error"]["code"], -1);
    let late = START.after(ANSWER_TIMEOUT);
    assert_eq!(machine.deadline(), Some(late));
    let out = machine.on(ElicitationEvent::Tick, late);
    let [
        ElicitationOutput::SendClient(cancel),
        ElicitationOutput::Close(_),
        ElicitationOutput::Respond(told),
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(value(cancel)["params"]["requestId"], own(2).name());
    assert_eq!(value(told)["id"], 2);
    assert_eq!(machine.on(result(2, "{}"), late), []);
    assert_eq!((machine.pending(), machine.deadline()), (0, None));
}

#[test]
fn mc_07_a_request_round_is_answered_as_a_whole_and_rounds_are_limited_to_ten() {
    let mut machine = asking();
    let roots = Elicitation::read("roots/list", None).unwrap();
    let round = |from: u8| {
        vec![
            ("who".into(), form(), Some(own(from))),
            ("where".into(), roots.clone(), Some(own(from + 1))),
        ]
    };
    assert_eq!(MAX_ROUNDS, 10);
    for turn in 0..MAX_ROUNDS {
        let from = u8::try_from(2 * turn).unwrap();
        assert_eq!(
            machine
                .on(ElicitationEvent::RoundRequested(round(from)), START)
                .len(),
            2
        );
        assert_eq!(machine.on(error(from), START).len(), 1);
        let out = machine.on(result(from + 1, r#"{"roots":[]}"#), START);
        let [_, ElicitationOutput::SendRound(Some(responses))] = &out[..] else {
            panic!("{out:?}");
        };
        let both = r#"{"who":{"action":"cancel"},"where":{"roots":[]}}"#;
        assert_eq!(responses, both, "leaving a form is an answer");
    }
    let out = machine.on(ElicitationEvent::RoundRequested(round(90)), START);
    assert!(matches!(out[..], [.., ElicitationOutput::Fail]), "{out:?}");
    assert_eq!(machine.pending(), 0);
}

#[test]
fn an_unanswered_request_of_a_round_ends_the_call() {
    let sampling = Elicitation::read("sampling/createMessage", Some(b"{\"maxTokens\":1}")).unwrap();
    let mut machine = asking();
    let round = vec![
        ("a".into(), sampling, Some(own(1))),
        ("b".into(), form(), Some(own(2))),
    ];
    machine.on(ElicitationEvent::RoundRequested(round), START);
    let out = machine.on(error(1), START);
    assert!(
        matches!(
            out[..],
            [
                ElicitationOutput::Close(_),
                ElicitationOutput::SendClient(_),
                ElicitationOutput::Close(_),
                ElicitationOutput::Fail
            ]
        ),
        "{out:?}"
    );
    assert_eq!(machine.on(result(2, "{}"), START), []);
}

#[test]
fn each_request_kind_requires_its_client_capability() {
    let needs = |method: &str, params: &str| {
        Elicitation::read(method, Some(params.as_bytes())).map(|question| question.kind().needs())
    };
    let form = Some(ClientCapabilities::ELICITATION);
    assert_eq!(needs("elicitation/create", "{}"), form);
    assert_eq!(needs("elicitation/create", r#"{"mode":"form"}"#), form);
    let url = Some(ClientCapabilities::ELICITATION_URL);
    assert_eq!(
        needs(
            "elicitation/create",
            r#"{"mode":"url","url":"https://x.example/"}"#
        ),
        url
    );
    let tools = needs("sampling/createMessage", r#"{"tools":[]}"#).unwrap();
    assert!(tools.contains(ClientCapabilities::SAMPLING_TOOLS));
    assert_eq!(needs("tools/call", "{}"), None);
    assert_eq!(needs("roots/list", r#"{"a":1,"a":2}"#), None);
    assert_eq!(Elicitation::read_all(br#"{"a":{"method":"x"}}"#), None);
    assert_eq!(Elicitation::read_all(br#"{"a":1,"a":2}"#), None);
    assert_eq!(Elicitation::read_all(b"{ }"), Some(Vec::new()));
}

#[test]
fn a_url_elicitation_carries_an_id_only_for_versions_that_need_one() {
    let params = br#"{"mode":"url","url":"https://x.example/?a=%20","message":"Go"}"#;
    let question = Elicitation::read("elicitation/create", Some(params)).unwrap();
    let asked = value(&question.to_request(&own(3), &slug("files")));
    assert_eq!(asked["params"]["elicitationId"], own(3).name());
    assert_eq!(asked["params"]["url"], "https://x.example/?a=%20");
    let with = br#"{"mode":"url","url":"https://x.example/","message":"Go","elicitationId":"e"}"#;
    let question = Elicitation::read("elicitation/create", Some(with)).unwrap();
    let input = value(&question.to_input(&slug("files"), b"{}"));
    assert_eq!(input["params"].get("elicitationId"), None);
    let asked = value(&question.to_request(&own(3), &slug("files")));
    assert_eq!(asked["params"]["elicitationId"], "e");
}

#[test]
fn mc_07_only_web_urls_are_elicited_and_the_host_is_named() {
    let ask = |url: &str| {
        let params = json!({"mode": "url", "url": url, "message": "Sign in"}).to_string();
        Elicitation::read("elicitation/create", Some(params.as_bytes()))
    };
    for url in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://x.example/",
        "intent://x",
        "x",
        "",
        "//x.example/",
        "https://bank.example@evil.example/",
        "https://a:b@evil.example/",
        "https://",
        "vscode://x",
        "https://x.example/\u{202e}",
        "https://x\u{200b}.example/",
        "https:\\\\x.example",
        "https://x.example/a b",
        "smb://x.example/",
        "tel:123",
        "blob:https://x.example/",
        "about:blank",
    ] {
        assert_eq!(ask(url), None, "{url}");
    }
    assert_eq!(
        Elicitation::read("elicitation/create", Some(br#"{"mode":"url"}"#)),
        None
    );
    for (url, site) in [
        ("https://evil.example/bank.example", "evil.example"),
        ("https://b\u{e4}nk.example/", "xn--bnk-qla.example"),
        ("http://[::1]:7/", "[::1]"),
    ] {
        let input = value(&ask(url).unwrap().to_input(&slug("files"), b"{}"));
        assert_eq!(
            input["params"]["message"],
            format!("[files] ({site}) Sign in")
        );
        assert_eq!(input["params"]["url"], url);
    }
}

#[test]
fn mc_07_elicitations_show_deceptive_characters_and_cannot_forge_a_label() {
    let form = json!({
        "message": "Name?\n[bank] PIN?\u{202e}",
        "requestedSchema": {"type": "object", "properties": {
            "a": {"type": "string", "title": "PI\u{200b}N", "description": "d\u{2066}", "default": "\u{200b}"},
            "b": {"type": "string", "enum": ["x"], "enumNames": ["y\u{e0041}"]},
        }},
    });
    let read = Elicitation::read("elicitation/create", Some(form.to_string().as_bytes())).unwrap();
    let input = value(&read.to_input(&slug("files"), b"{}"));
    let asked = value(&read.to_request(&own(3), &slug("files")));
    for params in [&input["params"], &asked["params"]] {
        assert_eq!(
            params["message"],
            "[files] (Enter no password, key or token: `a` may ask for one, which a form must not do.) Name?\n\
             > [bank] PIN?\\u{202e}"
        );
        let properties = &params["requestedSchema"]["properties"];
        assert_eq!(properties["a"]["title"], "PI\\u{200b}N");
        assert_eq!(properties["a"]["description"], "d\\u{2066}");
        assert_eq!(properties["a"]["default"], "\u{200b}");
        assert_eq!(properties["b"]["enumNames"][0], "y\\u{e0041}");
    }
    let url =
        json!({"mode": "url", "url": "https://x.example/", "message": "Go\n[bank] now\u{1b}"});
    let read = Elicitation::read("elicitation/create", Some(url.to_string().as_bytes())).unwrap();
    assert_eq!(
        read.to_line(&slug("files")).unwrap(),
        "[files] Go\n> [bank] now\\u{1b}: https://x.example/"
    );
    assert_eq!(
        read.to_elicitation(&slug("files"))["message"],
        "[files] (x.example) Go\n> [bank] now\\u{1b}"
    );
}

#[test]
fn mc_07_a_form_that_asks_for_a_secret_warns_ahead_of_the_text_of_its_server() {
    let form = json!({
        "message": "Sign in to continue",
        "requestedSchema": {"type": "object", "properties": {
            "user": {"type": "string"},
            "apiKey": {"type": "string", "title": "Your key"},
        }},
    });
    let read = Elicitation::read("elicitation/create", Some(form.to_string().as_bytes())).unwrap();
    let input = value(&read.to_input(&slug("files"), b"{}"));
    let asked = value(&read.to_request(&own(3), &slug("files")));
    let error = read.to_elicitation(&slug("files"));
    for params in [&input["params"], &asked["params"], &error] {
        assert_eq!(
            params["message"],
            "[files] (Enter no password, key or token: `apiKey` may ask for one, which a form must not do.) \
             Sign in to continue"
        );
        assert_eq!(params["requestedSchema"], form["requestedSchema"]);
    }
}

#[test]
fn mc_07_every_spelling_of_a_url_elicitation_is_checked() {
    let read = |params: &str| Elicitation::read("elicitation/create", Some(params.as_bytes()));
    let kind = |params: &str| read(params).map(|question| question.kind());
    // An escaped spelling is the same mode and is checked alike.
    let escaped = r#"{"mode":"\u0075rl","url":"https://x.example/","message":"m"}"#;
    assert_eq!(kind(escaped), Some(ElicitationKind::Url));
    for (params, what) in [
        (
            r#"{"mode":"\u0075rl","url":"javascript:alert(1)","message":"m"}"#,
            "no web",
        ),
        (
            r#"{"mode":"URL","url":"https://x.example/","message":"m"}"#,
            "no mode",
        ),
        (r#"{"mode":"other","message":"m"}"#, "no mode"),
        (
            r#"{"Mode":"url","Url":"javascript:alert(1)","message":"m"}"#,
            "a mode for some clients",
        ),
        (
            r#"{"message":"m","requestedSchema":{"title":"a","title":"\u202e"}}"#,
            "two titles",
        ),
        (
            r#"{"message":"m","requestedSchema":{"title":"\ud800 \u202e"}}"#,
            "half of a character",
        ),
        (
            r#"{"mode":"form","message":"m","Message":"n"}"#,
            "another message for some clients",
        ),
        (r#"{"mode":7,"message":"m"}"#, "no text"),
        (
            r#"{"url":"https://x.example/","message":"m"}"#,
            "a form that leads somewhere",
        ),
        (
            r#"{"mode":"form","url":"x","message":"m"}"#,
            "a form that leads somewhere",
        ),
        (r#"{"message":5,"requestedSchema":{}}"#, "says nothing"),
        (
            r#"{"mode":"url","url":"https://x.example/","message":5}"#,
            "says nothing",
        ),
    ] {
        assert_eq!(kind(params), None, "{what}: {params}");
    }
    let form = |extra: &str| {
        let requests = format!(
            r#"{{"k":{{"method":"elicitation/create","params":{{"message":"m"}}{extra}}}}}"#
        );
        Elicitation::read_all(requests.as_bytes()).is_some()
    };
    assert!(form("") && form(r#","x":1"#));
    assert!(!form(r#","Params":{"url":"javascript:alert(1)"}"#));
    assert!(!form(r#","METHOD":"sampling/createMessage""#));
    assert_eq!(
        kind(r#"{"mode":"f\u006frm","message":"m"}"#),
        Some(ElicitationKind::Form)
    );
    // The host is shown also if the message is empty or turns the reading direction.
    for message in ["", "pay here \u{202e}"] {
        let params = json!({"mode": "url", "url": "https://x.example/", "message": message});
        let input = value(
            &read(&params.to_string())
                .unwrap()
                .to_input(&slug("files"), b"{}"),
        );
        let shown = input["params"]["message"].as_str().unwrap();
        assert!(shown.starts_with("[files] (x.example) "), "{shown}");
    }
}

#[test]
fn request_keys_round_trip_and_other_text_is_rejected() {
    let id = own(0xab);
    assert_eq!(ElicitationId::parse(&quote(&id.name())).as_ref(), Some(&id));
    let escaped = quote(&id.name()).replace(':', "\\u003a");
    assert_eq!(ElicitationId::parse(&escaped).as_ref(), Some(&id));
    let upper = quote(&id.name().replace("ab", "AB"));
    for wrong in ["1", "\"x\"", "\"proxy-1:\"", "\"proxy-1:zz\"", &upper] {
        assert_eq!(ElicitationId::parse(wrong), None, "{wrong}");
    }
}

/// An answer may be in flight in a request of its own.
#[test]
fn a_disconnected_client_is_awaited_only_briefly() {
    let mut machine = asking();
    machine.on(asked("1", 1), START);
    machine.on(asked("2", 2), START);
    machine.on_client_disconnected(START);
    let soon = START.after(GRACE_PERIOD);
    assert_eq!(machine.deadline(), Some(soon));
    machine.on_client_disconnected(soon);
    assert_eq!(machine.deadline(), Some(soon), "once");
    let answered = machine.on(result(1, "{}"), START);
    assert!(matches!(
        answered[..],
        [ElicitationOutput::Close(_), ElicitationOutput::Respond(_)]
    ));
    let out = machine.on(ElicitationEvent::Tick, soon);
    let [
        ElicitationOutput::SendClient(_),
        ElicitationOutput::Close(_),
        ElicitationOutput::Respond(told),
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(value(told)["id"], 2);
    assert_eq!(machine.pending(), 0);
}

#[test]
fn no_answer_is_awaited_after_the_end_of_the_call() {
    let mut machine = asking();
    machine.on(asked("1", 1), START);
    let out = machine.on(ElicitationEvent::Drain, START);
    let [
        ElicitationOutput::SendClient(cancel),
        ElicitationOutput::Close(_),
        ElicitationOutput::Respond(told),
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    let why = "the gateway is being stopped";
    assert_eq!(value(cancel)["params"]["reason"], why);
    assert_eq!(value(told)["error"]["message"], why);
    assert_eq!((machine.pending(), machine.deadline()), (0, None));
    let mut rounds = asking();
    let round = vec![("k".into(), form(), Some(own(3)))];
    rounds.on(ElicitationEvent::RoundRequested(round), START);
    let out = rounds.on(ElicitationEvent::Drain, START);
    assert_eq!(out.last(), Some(&ElicitationOutput::Fail));
    assert_eq!(rounds.pending(), 0);
}
