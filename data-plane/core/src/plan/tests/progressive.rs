//! Tests of progressive gateways: a call through `run_tool` equals the direct call, and a tool that may not be called
//! is neither found nor run.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolgate_model::{Era, SnapshotResource, snapshot::ToolShape};

use crate::{
    Plan,
    fixture::{GatewayFixture, META, gateway, insert, progressive, test_servers},
    plan::{CallPlan, ContinuationRequest},
    rewrite::{UpstreamRequestOptions, request},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn world() -> GatewayFixture {
    GatewayFixture::of(&progressive(&test_servers()))
}

/// Body of a call with these params, without `_meta`.
fn body(era: Era, params: &str) -> String {
    let meta = match era {
        Era::Legacy => r#""progressToken":"p""#.to_owned(),
        Era::Modern => format!(r#"{META},"progressToken":"p""#),
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{{{params},"_meta":{{{meta}}}}}}}"#
    )
}

fn ask(
    world: &GatewayFixture,
    era: Era,
    token: &str,
    body: &str,
    headers: &[(&str, &[u8])],
) -> Plan {
    match era {
        Era::Legacy => world.legacy(token, body),
        Era::Modern => world.modern(token, body, headers),
    }
}

fn run(tool: &str, arguments: &str) -> String {
    format!(r#""name":"run_tool","arguments":{{"name":"{tool}"{arguments}}}"#)
}

fn planned(plan: Plan) -> CallPlan {
    let Plan::Call(call) = plan else {
        panic!("{plan:?}");
    };
    CallPlan::clone(&call)
}

fn refused(plan: Plan) -> String {
    let Plan::Refuse(refusal) = plan else {
        panic!("{plan:?}");
    };
    format!("{refusal:?}")
}

fn answered(plan: Plan) -> Value {
    let Plan::Respond(parts) = plan else {
        panic!("{plan:?}");
    };
    serde_json::from_slice(&parts.to_bytes()).unwrap()
}

/// Headers and body of the request to the server.
fn sent(call: &CallPlan, body: &str, era: Era) -> (Vec<(String, String)>, Value) {
    let to = UpstreamRequestOptions {
        era,
        version: "v",
        id: 9,
        log_level: None,
        traceparent: None,
    };
    let request = request(&Bytes::from(body.to_owned()), call, &to).unwrap();
    let headers = request.headers.into_iter();
    let headers = headers.map(|(name, value)| (name.into_owned(), value.into_owned()));
    (
        headers.collect(),
        serde_json::from_slice(&request.body).unwrap(),
    )
}

#[test]
fn exactly_two_tools_are_listed_for_every_caller() {
    let world = world();
    for era in ERAS {
        for token in ["all", "few"] {
            let meta = body(era, r#""x":1"#).replace("tools/call", "tools/list");
            let listed = answered(ask(&world, era, token, &meta, &[]));
            let tools = listed["result"]["tools"].as_array().unwrap();
            let names: Vec<_> = tools.iter().map(|tool| &tool["name"]).collect();
            assert_eq!(names, ["search_tools", "run_tool"]);
        }
    }
    let page = |token| {
        let (gateway, caller) = (world.gateway(), world.caller(token));
        let page = gateway.page(
            crate::plan::list_cursor::ListKind::Tools,
            caller.grant(),
            Era::Modern,
            0,
        );
        page.unwrap()
    };
    let (one, two) = (page("all"), page("few"));
    assert_eq!(one, two);
    assert_eq!(
        one.unclosed.as_ptr(),
        two.unclosed.as_ptr(),
        "it is written once for all"
    );
}

#[test]
fn a_search_returns_only_permitted_tools_in_the_format_of_the_era() {
    let world = world();
    for era in ERAS {
        let search = |token, arguments: &str| {
            let params = format!(r#""name":"search_tools","arguments":{arguments}"#);
            answered(ask(&world, era, token, &body(era, &params), &[]))
        };
        let found = search("all", r#"{"query":"forecast","limit":1.0}"#);
        assert_eq!(found["id"], "c");
        let result = &found["result"];
        let structured = &result["structuredContent"];
        assert_eq!(structured["tools"][0]["name"], "weather__forecast");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), structured);
        let complete = result.get("resultType") == Some(&json!("complete"));
        assert_eq!(complete, era == Era::Modern);
        let few = search("few", r#"{"query":""}"#);
        assert_eq!(few["result"]["structuredContent"]["total"], 1);
    }
}

#[test]
fn an_invalid_search_is_rejected_with_advice() {
    let world = world();
    let cases = [
        ("{}", "`query` must be given"),
        (r#"{"query":1}"#, "`query` must be a string"),
        (r#"{"query":"x","limit":0}"#, "`limit`"),
        (r#"{"query":"x","limit":51}"#, "`limit`"),
        (r#"{"query":"x","limit":"5"}"#, "`limit`"),
        (r#"{"query":"x","limit":1.5}"#, "`limit`"),
        (r#"{"query":"x","most":5}"#, "`most`"),
        (r#"{"query":"x","query":"y"}"#, "cannot be read"),
        ("[]", "`arguments` has the wrong type"),
    ];
    let long = format!(r#"{{"query":"{}"}}"#, "é".repeat(1_001));
    for (arguments, words) in cases.into_iter().chain([(&*long, "too long")]) {
        let params = format!(r#""name":"search_tools","arguments":{arguments}"#);
        let told = refused(world.legacy("all", &body(Era::Legacy, &params)));
        assert!(told.contains(words), "{arguments}: {told}");
    }
    let most = format!(
        r#""name":"search_tools","arguments":{{"query":"{}"}}"#,
        "é".repeat(1_000)
    );
    answered(world.legacy("all", &body(Era::Legacy, &most)));
}

#[test]
fn an_invalid_run_is_rejected_with_advice() {
    let world = world();
    let cases = [
        ("{}", "`arguments.name`"),
        (r#"{"name":7}"#, "`arguments.name`"),
        (
            r#"{"name":"files__read","arguments":"{}"}"#,
            "`arguments.arguments` must be an object",
        ),
        (
            r#"{"name":"files__read","path":"/"}"#,
            "`path` is no argument of `run_tool`",
        ),
        (
            r#"{"name":"files__read","name":"weather__now"}"#,
            "cannot be read",
        ),
        (r#""files__read""#, "`arguments` has the wrong type"),
    ];
    for (arguments, words) in cases {
        let params = format!(r#""name":"run_tool","arguments":{arguments}"#);
        let told = refused(world.legacy("all", &body(Era::Legacy, &params)));
        assert!(told.contains(words), "{arguments}: {told}");
    }
    let told = refused(world.legacy("all", &body(Era::Legacy, r#""name":"run_tool""#)));
    assert!(told.contains("`arguments.name`"), "{told}");
}

#[test]
fn mc_05_a_tool_hidden_from_search_cannot_be_run_under_any_name() {
    let world = world();
    for era in ERAS {
        let params = r#""name":"search_tools","arguments":{"query":"","limit":50}"#;
        let shown = answered(ask(&world, era, "few", &body(era, params), &[]));
        let shown = shown["result"]["structuredContent"]["tools"].clone();
        let shown: Vec<_> = shown.as_array().unwrap().iter().collect();
        assert_eq!(shown.len(), 1);
        let hidden = [
            "files__read",
            "files\\u005f_read",
            "Files__read",
            "files__read ",
            "read",
            "weather__Forecast",
            "search_tools",
            "run_tool",
            "",
        ];
        for name in hidden {
            let inner = ask(&world, era, "few", &body(era, &run(name, "")), &[]);
            let inner = refused(inner);
            assert!(inner.contains("UnknownTool"), "{name}: {inner}");
            if ["search_tools", "run_tool"].contains(&name) {
                continue;
            }
            // The refusal is identical to that of a direct call of an unknown tool.
            let direct = format!(r#""name":"{name}""#);
            let direct = refused(ask(&world, era, "few", &body(era, &direct), &[]));
            assert_eq!(inner, direct);
        }
        planned(ask(
            &world,
            era,
            "few",
            &body(era, &run("weather__forecast", "")),
            &[],
        ));
    }
}

#[test]
fn built_in_tool_names_are_unknown_where_all_tools_are_listed() {
    let world = GatewayFixture::new();
    for name in ["search_tools", "run_tool"] {
        let params = format!(r#""name":"{name}","arguments":{{"query":"","name":"files__read"}}"#);
        let told = refused(world.legacy("all", &body(Era::Legacy, &params)));
        assert!(told.contains("UnknownTool"), "{told}");
    }
    // At a progressive gateway these names are reserved for tools only.
    let world = self::world();
    let prompt = body(Era::Legacy, r#""name":"run_tool","arguments":{"name":"x"}"#);
    let prompt = prompt.replace("tools/call", "prompts/get");
    assert!(refused(world.legacy("all", &prompt)).contains("UnknownPrompt"));
}

#[test]
fn nested_arguments_are_mirrored_into_headers() {
    let world = world();
    let text = body(
        Era::Modern,
        &run("weather__forecast", r#","arguments":{"city":"Bern"}"#),
    );
    // Clients do not know the annotations of a tool that is not listed, so they cannot mirror its arguments.
    let call = planned(world.modern("all", &text, &[]));
    let (headers, message) = sent(&call, &text, Era::Modern);
    let header = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(header("mcp-param-city"), Some("Bern"));
    assert_eq!(header("mcp-name"), Some("forecast"));
    assert_eq!(message["params"]["name"], "forecast");
    assert_eq!(message["params"]["arguments"], json!({"city": "Bern"}));
    // A direct call of the same tool has to mirror them.
    let direct = body(
        Era::Modern,
        r#""name":"weather__forecast","arguments":{"city":"Bern"}"#,
    );
    let told = refused(world.modern("all", &direct, &[]));
    assert!(told.contains("HeaderMismatch"), "{told}");
}

#[test]
fn run_tool_applies_argument_shapes() {
    let mut snapshot = progressive(&test_servers());
    let mut shaped = gateway(&test_servers());
    shaped.listing = toolgate_model::ToolListing::Progressive;
    shaped.must_understand = vec!["shaped_arguments".to_owned()];
    for tool in &mut shaped.tools {
        tool.shape = Some(ToolShape {
            description: Some("Only in Bern.".to_owned()),
            fixed: [("city".to_owned(), "\"Bern\"".to_owned())].into(),
            hidden: vec!["units".to_owned()],
        });
    }
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(shaped),
    );
    let world = GatewayFixture::of(&snapshot);
    let search = r#""name":"search_tools","arguments":{"query":"bern weather__forecast"}"#;
    let found = answered(world.legacy("all", &body(Era::Legacy, search)));
    let first = &found["result"]["structuredContent"]["tools"][0];
    assert_eq!(first["description"], "Only in Bern.");
    assert_eq!(first["inputSchema"]["properties"], json!({}));
    for (given, wanted) in [
        ("", json!({"city": "Bern"})),
        (r#","arguments":{ }"#, json!({"city": "Bern"})),
        (
            r#","arguments":{"days":2}"#,
            json!({"days": 2, "city": "Bern"}),
        ),
    ] {
        let text = body(Era::Modern, &run("weather__forecast", given));
        let call = planned(world.modern("all", &text, &[]));
        let (headers, message) = sent(&call, &text, Era::Modern);
        assert_eq!(message["params"]["arguments"], wanted);
        assert!(headers.contains(&("mcp-param-city".to_owned(), "Bern".to_owned())));
    }
    for kept in ["city", "units"] {
        let given = format!(r#","arguments":{{"{kept}":"x"}}"#);
        let text = body(Era::Legacy, &run("weather__forecast", &given));
        assert!(refused(world.legacy("all", &text)).contains(kept));
    }
}

#[test]
fn a_built_in_tool_wins_over_a_server_tool_of_the_same_name() {
    let mut offers = test_servers();
    offers[1].tools.push(crate::fixture::plain_tool("x"));
    let mut snapshot = progressive(&offers);
    let mut clash = gateway(&offers);
    clash.listing = toolgate_model::ToolListing::Progressive;
    clash.tools.last_mut().unwrap().exposed = "run_tool".to_owned();
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(clash),
    );
    let (view, refusals) = crate::View::build(&snapshot, None);
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].reason.contains("run_tool"), "{refusals:?}");
    assert!(view.gateway("main").unwrap().tool("run_tool").is_none());
}

/// Strategy for arguments, including names that a parser could mistake for members of the request.
fn arguments() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![
        "[a-z\"\\\\\u{e9}]{0,6}",
        Just("name".to_owned()),
        Just("arguments".to_owned()),
        Just("_meta".to_owned()),
    ];
    let value = prop_oneof![
        Just(json!({"name": "x", "arguments": {"deep": [1, {"a": null}]}})),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    prop::collection::btree_map(name, value, 0..5).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn run_tool_plans_the_same_call_as_a_direct_call(
        client in prop_oneof![Just(Era::Legacy), Just(Era::Modern)],
        server in prop_oneof![Just(Era::Legacy), Just(Era::Modern)],
        given in prop::option::of(arguments()),
        tool in prop::sample::select(vec!["weather__now", "files__list", "files__read"]),
        pretty in any::<bool>(), swapped in any::<bool>(), pad in "[ \n]{0,3}",
        retried in any::<bool>(),
    ) {
        let world = world();
        let print = |object: &Map<String, Value>| match pretty {
            true => serde_json::to_string_pretty(object).unwrap(),
            false => serde_json::to_string(object).unwrap(),
        };
        let arguments = given.as_ref().map(|given| format!(r#""arguments":{pad}{}"#, print(given)));
        let comma = if arguments.is_some() { "," } else { "" };
        let arguments = arguments.unwrap_or_default();
        let inner = match swapped {
            true => format!("{{{pad}{arguments}{comma}{pad}\"name\":\"{tool}\"}}"),
            false => format!("{{{pad}\"name\":\"{tool}\"{pad}{comma}{arguments}{pad}}}"),
        };
        let more = match retried && client == Era::Modern {
            true => r#","inputResponses":{"a":1},"requestState":"s""#,
            false => "",
        };
        let direct = body(client, &format!(r#""name":"{tool}"{comma}{arguments}{more}"#));
        let nested = body(client, &format!(r#""name":"run_tool","arguments":{inner}{more}"#));
        let planned_both = [&direct, &nested].map(|text| ask(&world, client, "all", text, &[]));
        let [Plan::Call(one), Plan::Call(two)] = &planned_both else {
            // A state that the gateway did not encrypt, sent to a legacy server.
            let told = planned_both.map(refused);
            prop_assert_eq!(&told[0], &told[1]);
            return Ok(());
        };
        prop_assert_eq!(one.target.exposed_name(), two.target.exposed_name());
        prop_assert_eq!(&one.progress, &two.progress);
        prop_assert_eq!(one.timeout(), two.timeout());
        prop_assert_eq!(one.task_cipher.is_some(), two.task_cipher.is_some());
        prop_assert_eq!(&one.continuation, &None::<ContinuationRequest>);
        prop_assert_eq!(&two.continuation, &None::<ContinuationRequest>);
        let digest = |call: &CallPlan, text: &str| call.digest(text.as_bytes());
        prop_assert_eq!(digest(one, &direct), digest(two, &nested));
        let (headers, mut wanted) = sent(one, &direct, server);
        let (same_headers, got) = sent(two, &nested, server);
        prop_assert_eq!(headers, same_headers);
        if given.is_none() {
            wanted["params"]["arguments"] = json!({});
        }
        prop_assert_eq!(wanted, got);
        if let Some(given) = given {
            // The arguments are copied byte for byte.
            let to = UpstreamRequestOptions { era: server, version: "v", id: 9, log_level: None, traceparent: None };
            let body = request(&Bytes::from(nested), two, &to).unwrap().body;
            let text = String::from_utf8(body.to_vec()).unwrap();
            prop_assert!(text.contains(&format!(r#""arguments":{}"#, print(&given))), "{}", text);
        }
    }

    #[test]
    fn every_search_result_can_be_called(query in "(weather|files|read|list|does|now|fore|)( (weather|x|city|read))?", token in prop::sample::select(vec!["all", "few"])) {
        let world = world();
        let search = format!(r#""name":"search_tools","arguments":{{"query":"{query}","limit":50}}"#);
        let found = answered(world.legacy(token, &body(Era::Legacy, &search)));
        for tool in found["result"]["structuredContent"]["tools"].as_array().unwrap() {
            let name = tool["name"].as_str().unwrap();
            let call = planned(world.legacy(token, &body(Era::Legacy, &run(name, ""))));
            prop_assert_eq!(call.target.exposed_name(), Some(name));
            let direct = planned(world.legacy(token, &body(Era::Legacy, &format!(r#""name":"{name}""#))));
            prop_assert_eq!(direct.target.exposed_name(), Some(name));
        }
    }
}

#[test]
fn a_suspended_call_is_continued_by_the_same_run_tool_request() {
    use crate::{
        call::suspended::CallTicket,
        client_state::{NONCE_LEN, StateContext},
    };
    let world = world();
    let arguments = r#","arguments":{"x":"1"}"#;
    let first = body(Era::Modern, &run("files__read", arguments));
    let call = planned(world.modern("all", &first, &[]));
    let ticket = CallTicket {
        handle: [3; 16],
        request: call.digest(first.as_bytes()).unwrap(),
        owner: world.session.owner.clone(),
    };
    let caller = world.caller("all");
    let context = StateContext {
        gateway: &world.gateway().name.id,
        principal: caller.principal(),
    };
    let state = ticket.encrypt(&world.cipher, context, &[1; NONCE_LEN]);
    let retry = |tool: &str, arguments: &str| {
        let again = format!(
            r#"{},"requestState":"{state}","inputResponses":{{"a":{{}}}}"#,
            run(tool, arguments)
        );
        world.modern("all", &body(Era::Modern, &again), &[])
    };
    let continued = planned(retry("files__read", arguments));
    assert!(continued.is_continuation() && continued.strips_continuation());
    assert_eq!(continued.continuation.unwrap().ticket, ticket);
    for (tool, arguments) in [
        ("files__list", arguments),
        ("files__read", r#","arguments":{"x":"2"}"#),
    ] {
        let told = refused(retry(tool, arguments));
        assert!(told.contains("another request"), "{told}");
    }
}
