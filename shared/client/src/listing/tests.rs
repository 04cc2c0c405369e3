//! Tests of listing: complete listings, and truncation of listings that exceed a limit.

use serde_json::{Value, json};
use toolgate_model::EraPolicy;
use toolgate_runtime::drain;

use super::*;
use crate::{
    detect::{
        detect,
        tests::{endpoint, http, us},
    },
    stand_in::{self, Scripted, Seen},
};

async fn listed<S>(caps: Caps, script: S) -> Result<Listing, ClientError>
where
    S: Fn(&Seen) -> Scripted + Send + Sync + 'static,
{
    let (drain, _trigger) = drain::new();
    let url = stand_in::start(&drain, move |seen| match seen.rpc_method() {
        "server/discover" => stand_in::discovered(&seen),
        _ => script(&seen),
    });
    let url = url.await.unwrap();
    let peer = detect(&http(), &endpoint(&url), EraPolicy::Probe, &us(), &drain).await?;
    peer.list(Kind::Tool, &caps).await
}

fn page(seen: &Seen, names: &[String], next: Option<&str>) -> Scripted {
    let tools: Vec<Value> = names.iter().map(|name| stand_in::tool(name)).collect();
    let mut result = json!({ "tools": tools, "resultType": "complete" });
    if let Some(next) = next {
        result["nextCursor"] = Value::from(next);
    }
    stand_in::result(seen, &result)
}

/// Lists three tools per page without end.
fn endless(seen: &Seen) -> Scripted {
    let at: usize = seen.message["params"]["cursor"]
        .as_str()
        .unwrap_or("0")
        .parse()
        .unwrap();
    let names: Vec<String> = (0..3).map(|n| format!("t{}", at * 3 + n)).collect();
    page(seen, &names, Some(&(at + 1).to_string()))
}

#[tokio::test]
async fn pages_are_followed_to_the_end_and_an_empty_cursor_is_a_cursor() {
    let listing = listed(
        Caps::default(),
        |seen| match seen.message["params"]["cursor"].as_str() {
            None => page(seen, &["a".to_owned()], Some("")),
            Some("") => page(seen, &["b".to_owned(), "bad name".to_owned()], Some("x")),
            Some(_) => page(seen, &["c".to_owned()], None),
        },
    )
    .await
    .unwrap();
    let names: Vec<&str> = listing
        .taken
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(listing.refused.len(), 1);
    assert_eq!(listing.cut, None);
}

/// A definition that a strict parser rejects is left out alone and reported; the rest of the response is kept.
#[tokio::test]
async fn a_definition_that_nobody_can_read_costs_no_other_its_place() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let bad = [
        deep(100),
        deep(500),
        "1e999".to_owned(),
        "9".repeat(600),
        r#""\ud800""#.to_owned(),
        r#""\udc00\ud800\u0041""#.to_owned(),
        r#"{"a":1,"a":2}"#.to_owned(),
    ];
    let count = bad.len();
    let listing = listed(Caps::default(), move |seen| {
        let schema = r#""inputSchema":{"type":"object"}"#;
        let mut tools = vec![format!(r#"{{"name":"first",{schema}}}"#)];
        for (number, bad) in bad.iter().enumerate() {
            tools.push(format!(r#"{{"name":"bad{number}",{schema},"x":{bad}}}"#));
        }
        tools.push(format!(r#"{{"name":"last",{schema},"x":{}}}"#, deep(50)));
        let (id, tools) = (&seen.message["id"], tools.join(","));
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","tools":[{tools}]}}}}"#
        );
        stand_in::reply(200, "application/json", message)
    })
    .await
    .unwrap();
    let names: Vec<&str> = listing.taken.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["first", "last"]);
    let refused: Vec<&str> = listing.refused.iter().map(|it| &*it.name).collect();
    let expected: Vec<String> = (0..count).map(|number| format!("bad{number}")).collect();
    assert_eq!(refused, expected);
    assert_eq!(listing.cut, None);
}

#[tokio::test]
async fn mc_11_an_endless_list_is_cut_by_pages_definitions_or_bytes() {
    let caps = Caps {
        pages: 5,
        ..Caps::default()
    };
    let listing = listed(caps, endless).await.unwrap();
    assert_eq!(
        (listing.taken.len(), listing.cut),
        (15, Some(Cut::Pages(5)))
    );
    let caps = Caps {
        definitions: 7,
        ..Caps::default()
    };
    let listing = listed(caps, endless).await.unwrap();
    assert_eq!(
        (listing.taken.len(), listing.cut),
        (7, Some(Cut::Definitions(7)))
    );
    let caps = Caps {
        bytes: 1000,
        ..Caps::default()
    };
    let listing = listed(caps, endless).await.unwrap();
    assert_eq!(listing.cut, Some(Cut::Bytes(1000)));
    assert!(!listing.taken.is_empty());
}

#[tokio::test]
async fn mc_11_a_circle_is_noticed() {
    let listing = listed(Caps::default(), |seen| {
        page(seen, &["a".to_owned()], Some("again"))
    })
    .await;
    let listing = listing.unwrap();
    assert_eq!((listing.taken.len(), listing.refused.len()), (1, 1));
    assert_eq!(listing.cut, Some(Cut::Circle));
}

#[tokio::test]
async fn a_late_failure_keeps_what_was_read_and_an_early_one_is_an_error() {
    let listing = listed(Caps::default(), |seen| {
        if seen.message["params"]["cursor"].is_null() {
            return page(seen, &["a".to_owned()], Some("x"));
        }
        stand_in::error(200, seen, -32603, &json!(null))
    })
    .await
    .unwrap();
    assert_eq!(listing.taken.len(), 1);
    assert!(matches!(listing.cut, Some(Cut::Failed(_))));
    let failed = listed(Caps::default(), |seen| {
        stand_in::result(seen, &json!({ "tools": 3 }))
    })
    .await;
    assert!(matches!(failed, Err(ClientError::Protocol(_))));
    let other = listed(Caps::default(), |seen| {
        stand_in::result(
            seen,
            &json!({ "resultType": "input_required", "requestState": "x" }),
        )
    });
    assert!(matches!(other.await, Err(ClientError::Protocol(_))));
}

#[tokio::test]
async fn a_page_that_comes_too_slowly_ends_the_listing() {
    let caps = Caps {
        time: Duration::from_millis(200),
        ..Caps::default()
    };
    let listing = listed(caps, |seen| {
        if seen.message["params"]["cursor"].is_null() {
            return page(seen, &["a".to_owned()], Some("x"));
        }
        let (events, response) = stand_in::stream();
        std::mem::forget(events);
        response
    })
    .await
    .unwrap();
    assert!(matches!(listing.cut, Some(Cut::Time(_))));
}

/// Lists a million tools in pages of a thousand, in pages of one, and in oversized pages: the listing ends at its
/// limits and is marked as truncated.
#[tokio::test]
async fn mc_11_a_million_tools_end_at_five_thousand_within_the_caps() {
    let caps = Caps::default();
    assert_eq!((caps.pages, caps.definitions), (100, 5_000));
    assert_eq!((caps.bytes, caps.time), (10 << 20, Duration::from_secs(10)));
    let at = |seen: &Seen| -> usize {
        seen.message["params"]["cursor"]
            .as_str()
            .unwrap_or("0")
            .parse()
            .unwrap()
    };
    let began = Instant::now();
    let large = listed(caps, move |seen| {
        let from = at(seen);
        let names: Vec<String> = (from..from + 1_000).map(|n| format!("t{n}")).collect();
        page(seen, &names, Some(&(from + 1_000).to_string()))
    });
    let large = large.await.unwrap();
    assert_eq!(
        (large.taken.len(), large.cut),
        (5_000, Some(Cut::Definitions(5_000)))
    );
    let small = listed(caps, endless).await.unwrap();
    assert_eq!((small.taken.len(), small.cut), (300, Some(Cut::Pages(100))));
    let heavy = listed(caps, move |seen| {
        let from = at(seen);
        let mut tool = stand_in::tool(&format!("t{from}"));
        tool["x"] = json!(vec!["y".repeat(200); 5_000]);
        stand_in::result(
            seen,
            &json!({"tools": [tool], "nextCursor": (from + 1).to_string(), "resultType": "complete"}),
        )
    });
    let heavy = heavy.await.unwrap();
    assert_eq!(heavy.cut, Some(Cut::Bytes(10 << 20)));
    assert!(
        heavy.taken.is_empty() && !heavy.refused.is_empty(),
        "each is over its own limit"
    );
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// External schema references are not fetched. Schemas with excessive expansion are left out, and the other definitions
/// are kept.
#[tokio::test]
async fn mc_06_references_are_not_fetched_and_bombs_are_left_out() {
    let away = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/schema.json", away.local_addr().unwrap());
    let listing = listed(Caps::default(), move |seen| {
        let tool = |name: &str, schema: Value| json!({"name": name, "inputSchema": schema, "outputSchema": schema});
        let wide = json!({"enum": vec!["x".repeat(1_000); 300]});
        let tools = [
            tool(
                "remote",
                json!({"$ref": url, "$schema": url, "$id": url, "properties": {"a": {"$dynamicRef": url}}}),
            ),
            tool(
                "itself",
                json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
            ),
            tool(
                "slow",
                json!({"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}),
            ),
            tool("wide", wide),
            tool("array", json!([])),
            tool("last", json!({"type": "object"})),
        ];
        stand_in::result(seen, &json!({"tools": tools, "resultType": "complete"}))
    });
    let listing = listing.await.unwrap();
    let names: Vec<&str> = listing
        .taken
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    assert_eq!(names, ["remote", "itself", "slow", "last"]);
    let refused: Vec<&str> = listing
        .refused
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    assert_eq!(refused, ["wide", "array"]);
    let asked = tokio::time::timeout(Duration::from_millis(200), away.accept()).await;
    assert!(asked.is_err(), "nobody went there");
    let bomb = |levels: usize| {
        listed(Caps::default(), move |seen| {
            let mut tool = stand_in::tool("deep");
            for _ in 0..levels {
                tool["inputSchema"] = json!({"allOf": [tool["inputSchema"]]});
            }
            let tools = json!([tool, stand_in::tool("flat")]);
            stand_in::result(seen, &json!({"tools": tools, "resultType": "complete"}))
        })
    };
    let listing = bomb(80).await.unwrap();
    assert_eq!((&*listing.taken[0].name, listing.taken.len()), ("flat", 1));
    assert_eq!(listing.refused[0].name, "deep");
    assert!(
        matches!(bomb(400).await, Err(ClientError::Frame(_))),
        "what is much too deep is not looked into at all"
    );
}
