//! Tests of lists other than tools: prompts, resources and templates are read in both eras, independently of each
//! other.

use toolgate_model::ProbeProblem;

use super::*;

const EVERYTHING: &str = r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true}}"#;

/// Answers of a server of era `era` with all kinds, to all requests except feeds.
fn everything(era: Era, seen: &RecordedRequest) -> Option<ScriptedResponse> {
    let capabilities: Value = serde_json::from_str(EVERYTHING).unwrap();
    let page = |list: &str, item: Value| {
        fake_server::result(seen, &json!({ list: [item], "resultType": "complete" }))
    };
    Some(match (era, seen.rpc_method()) {
        (Era::Modern, "server/discover") => fake_server::result(
            seen,
            &json!({
                "supportedVersions": ["2026-07-28"], "capabilities": capabilities,
                "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            }),
        ),
        (Era::Legacy, "initialize") => {
            let version = &seen.message["params"]["protocolVersion"];
            let result = json!({ "protocolVersion": version, "capabilities": capabilities });
            fake_server::with_session(fake_server::result(seen, &result), "s")
        }
        (_, "tools/list") => page("tools", fake_server::tool("a")),
        (_, "prompts/list") => page("prompts", json!({ "name": "ask", "x-own": [1.0] })),
        (_, "resources/list") => page("resources", json!({ "uri": "memo:x", "name": "x" })),
        (_, "resources/templates/list") => page(
            "resourceTemplates",
            json!({ "uriTemplate": "memo:{id}", "name": "any" }),
        ),
        (_, "notifications/initialized") => fake_server::accepted(),
        _ => return None,
    })
}

fn known(list: &[toolgate_model::Definition]) -> Vec<&str> {
    list.iter().map(|it| it.name.as_str()).collect()
}

#[tokio::test]
async fn all_definition_kinds_are_read_in_both_eras_and_stored_as_received() {
    let house = fixture(MemorySink::default());
    for (era, id) in [(Era::Modern, "new"), (Era::Legacy, "old")] {
        let nothing = || fake_server::reply(405, "text/plain", "");
        let url = house
            .serve(move |seen| everything(era, &seen).unwrap_or_else(nothing))
            .await;
        house.want([target(id, &url)]);
        let seen = house.kept(id, well).await;
        assert_eq!(seen.era, Some(era));
        assert_eq!(names(&seen), ["a"]);
        assert_eq!(known(&seen.prompts), ["ask"]);
        assert_eq!(known(&seen.resources), ["memo:x"]);
        assert_eq!(known(&seen.templates), ["memo:{id}"]);
        assert_eq!(&*seen.prompts[0].json, r#"{"name":"ask","x-own":[1.0]}"#);
    }
}

#[tokio::test]
async fn undeclared_capabilities_are_not_listed() {
    let house = fixture(MemorySink::default());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let url = house
        .serve(move |seen| {
            log.lock().unwrap().push(seen.rpc_method().to_owned());
            modern(&seen)
        })
        .await;
    house.want([target("s", &url)]);
    house.kept("s", well).await;
    let asked = asked.lock().unwrap();
    let lists: Vec<_> = asked.iter().filter(|it| it.ends_with("/list")).collect();
    assert_eq!(lists, ["tools/list"]);
}

/// Answers of a server that declares nothing, with this response to lists other than that of tools.
fn undeclared(
    other: fn(&RecordedRequest) -> ScriptedResponse,
) -> impl Fn(RecordedRequest) -> ScriptedResponse {
    move |seen| match seen.rpc_method() {
        "initialize" => {
            let version = &seen.message["params"]["protocolVersion"];
            let result = json!({ "protocolVersion": version, "capabilities": {} });
            fake_server::result(&seen, &result)
        }
        "notifications/initialized" => fake_server::accepted(),
        "tools/list" => {
            let tools = [fake_server::tool("a")];
            fake_server::result(&seen, &json!({ "tools": tools }))
        }
        _ => other(&seen),
    }
}

#[tokio::test]
async fn a_server_that_declares_nothing_is_listed_and_told_so() {
    let ways: [fn(&RecordedRequest) -> ScriptedResponse; 4] = [
        |seen| fake_server::error(200, seen, -32601, &Value::Null),
        |seen| fake_server::error(404, seen, -32601, &Value::Null),
        |_| fake_server::reply(400, "text/plain", ""),
        |_| fake_server::accepted(),
    ];
    for (at, way) in ways.into_iter().enumerate() {
        let house = fixture(MemorySink::default());
        let url = house.serve(undeclared(way)).await;
        house.want([target("s", &url)]);
        let seen = house.kept("s", |seen| !seen.tools.is_empty()).await;
        assert_eq!(names(&seen), ["a"], "{at}");
        assert_eq!(
            seen.problem,
            Some(ProbeProblem::warning(
                "it lists tools and declares none in its capabilities; have the server fixed"
            )),
            "{at}"
        );
    }
}

#[tokio::test]
async fn a_failed_list_keeps_its_entries_and_affects_no_other_list() {
    let house = fixture(MemorySink::default());
    let broken = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&broken);
    let url = house
        .serve(move |seen| {
            let failing = match current.load(Ordering::SeqCst) {
                0 => "",
                _ => "prompts/list",
            };
            if seen.rpc_method() == failing {
                return fake_server::error(200, &seen, -32603, &Value::Null);
            }
            if seen.rpc_method() == "resources/templates/list" {
                // Common for a server with resources.
                return fake_server::error(200, &seen, -32601, &Value::Null);
            }
            let nothing = || fake_server::error(404, &seen, -32601, &Value::Null);
            everything(Era::Modern, &seen).unwrap_or_else(nothing)
        })
        .await;
    house.want([target("s", &url)]);
    house.kept("s", well).await;
    broken.store(1, Ordering::SeqCst);
    let seen = house.discovery.probe_now(name("s")).await.unwrap();
    assert_eq!(names(&seen), ["a"]);
    assert_eq!(known(&seen.prompts), ["ask"], "as seen before");
    assert_eq!(known(&seen.resources), ["memo:x"]);
    let problem = seen.problem.unwrap();
    assert!(
        problem
            .text
            .starts_with("its prompts could not be listed: "),
        "{problem:?}"
    );
    let typed = (problem.outcome, problem.failure);
    let expected = (ProbeOutcome::Incomplete, Some(ProbeFailure::ServerFault));
    assert_eq!(typed, expected);
    broken.store(0, Ordering::SeqCst);
    house.kept("s", well).await;
}

#[tokio::test]
async fn a_change_of_any_list_is_detected_through_the_feeds_of_both_eras() {
    let house = fixture(MemorySink::default());
    for (era, id) in [(Era::Modern, "new"), (Era::Legacy, "old")] {
        for list in ["prompts", "resources"] {
            let looks = Arc::new(AtomicUsize::new(0));
            let feeds = Arc::new(Mutex::new(Vec::new()));
            let (counted, opened) = (Arc::clone(&looks), Arc::clone(&feeds));
            let url = house
                .serve(move |seen| {
                    if seen.rpc_method() == format!("{list}/list") {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                    everything(era, &seen).unwrap_or_else(|| {
                        match (era, seen.method.as_str(), seen.rpc_method()) {
                            (Era::Modern, _, "subscriptions/listen") | (Era::Legacy, "GET", _) => {
                                let (events, response) = fake_server::stream();
                                opened.lock().unwrap().push((events, seen));
                                response
                            }
                            _ => fake_server::reply(400, "text/plain", ""),
                        }
                    })
                })
                .await;
            house.want([target(id, &url)]);
            let (events, asked) = loop {
                if let Some(feed) = feeds.lock().unwrap().first().cloned() {
                    break feed;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            if era == Era::Modern {
                let all = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
                assert_eq!(asked.message["params"]["notifications"], all);
            }
            let before = looks.load(Ordering::SeqCst);
            let method = format!("notifications/{list}/list_changed");
            let changed = json!({ "jsonrpc": "2.0", "method": method });
            events.send(fake_server::event(&changed)).await.unwrap();
            while looks.load(Ordering::SeqCst) == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
