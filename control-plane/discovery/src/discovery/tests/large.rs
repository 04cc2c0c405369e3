//! Tests of servers with as many and as large definitions as are kept, and more.

use toolgate_control_core::limits;

use super::*;

/// Probes a server that lists `count` tools with descriptions of `bytes`, in pages of `page`.
async fn listed(count: usize, bytes: usize, page: usize) -> ServerDefinitions {
    let house = fixture(MemorySink::default());
    let url = house
        .serve(move |seen| {
            if seen.rpc_method() != "tools/list" {
                return modern(&seen);
            }
            let cursor = seen.message["params"]["cursor"].as_str().unwrap_or("0");
            let from: usize = cursor.parse().unwrap();
            let end = count.min(from + page);
            let text = "x".repeat(bytes);
            let tool = |n: usize| {
                json!({ "name": format!("t{n}"), "inputSchema": {"type": "object"}, "description": text })
            };
            let tools: Vec<Value> = (from..end).map(tool).collect();
            let mut result = json!({ "tools": tools, "resultType": "complete" });
            if end < count {
                result["nextCursor"] = json!(end.to_string());
            }
            fake_server::result(&seen, &result)
        })
        .await;
    house.want([target("s", &url)]);
    house.kept("s", |_| true).await
}

#[tokio::test]
async fn definitions_of_usual_and_of_large_sizes_are_kept_as_a_whole() {
    for (count, bytes, page) in [
        (5, 200_000, 10),
        (5_000, 80, 10_000),
        (limits::SERVER_TOOLS, 1_100, 10_000),
        (limits::SERVER_TOOLS, 80, 100),
    ] {
        let found = listed(count, bytes, page).await;
        assert_eq!(found.tools.len(), count, "{count} of {bytes}");
        assert_eq!((found.problem, found.omissions), (None, Vec::new()));
    }
}

#[tokio::test]
async fn definitions_beyond_a_limit_are_counted_and_the_limit_is_named() {
    let most = limits::SERVER_TOOLS;
    for (count, page, said) in [
        (
            most + 1,
            20_000,
            "10,000 of 10,001 tools: limit of 10,000 tools of a server",
        ),
        (
            most + 700,
            500,
            "10,000 of more than 10,500 tools: limit of 10,000 tools of a server",
        ),
    ] {
        let found = listed(count, 10, page).await;
        assert_eq!((found.tools.len(), &found.problem), (most, &None));
        assert_eq!(found.omissions.len(), 1, "{:?}", found.omissions);
        assert!(
            found.omissions[0].starts_with(said),
            "{:?}",
            found.omissions
        );
    }
}

#[tokio::test]
async fn definitions_are_cut_to_the_size_limit_of_the_store() {
    let found = listed(200, 200_000, 20).await;
    assert!(
        (160..200).contains(&found.tools.len()),
        "{}",
        found.tools.len()
    );
    let said = format!(
        "{} of 200 tools: limit of 32 MiB for the definitions of a server",
        found.tools.len()
    );
    assert!(
        found.omissions[0].starts_with(&said),
        "{:?}",
        found.omissions
    );
    assert_eq!(found.problem, None);
}

/// A valid definition that is too large or too deep does not make the server faulty: it is shown beside the lists that a
/// limit cuts, which are problems of the gateways too.
#[tokio::test]
async fn definitions_left_out_by_size_or_depth_are_omissions_at_any_depth() {
    for levels in [100, 520, 10_000] {
        let house = fixture(MemorySink::default());
        let url = house
            .serve(move |seen| {
                if seen.rpc_method() != "tools/list" {
                    return modern(&seen);
                }
                let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
                let (large, id) = ("x".repeat(300_000), &seen.message["id"]);
                let schema = r#""inputSchema":{"type":"object"}"#;
                let message = format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","tools":[
                        {{"name":"deep",{schema},"x":{deep}}},
                        {{"name":"good",{schema}}},
                        {{"name":"large",{schema},"description":"{large}"}}]}}}}"#
                );
                fake_server::reply(200, "application/json", message)
            })
            .await;
        house.want([target("s", &url)]);
        let found = house.kept("s", |_| true).await;
        assert_eq!(names(&found), ["good"], "{levels} levels");
        assert_eq!(found.problem, None, "{levels} levels");
        let expected = "tools are left out: `deep`: it is nested more than 64 levels deep, `large`: its definition is \
                        larger than 262144 bytes; have the server shorten or flatten them";
        assert_eq!(found.omissions, [expected], "{levels} levels");
    }
}
