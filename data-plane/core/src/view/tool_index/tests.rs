//! Tests of the search: tools are found in a predictable order, and hidden tools have no effect on the result.

use proptest::prelude::*;
use serde_json::Value;
use toolgate_model::{AllowList, Era};

use super::*;
use crate::fixture::{
    GatewayFixture, ServerFixture, definition, plain_tool, progressive, test_servers,
};

fn all() -> Grant {
    Grant::new(&AllowList::All, &AllowList::All)
}

fn described(name: &str, title: &str, description: &str) -> toolgate_model::Definition {
    definition(&format!(
        r#"{{"name":"{name}","title":"{title}","description":"{description}","inputSchema":{{}}}}"#
    ))
}

fn of(tools: Vec<toolgate_model::Definition>) -> GatewayFixture {
    GatewayFixture::of(&progressive(&[ServerFixture::new(
        "s",
        Some(Era::Modern),
        tools,
    )]))
}

fn answered(world: &GatewayFixture, grant: &Grant, query: &str, limit: usize) -> Value {
    let found = world.gateway().search(grant, query, limit).unwrap();
    serde_json::from_str(&found).unwrap()
}

fn names(world: &GatewayFixture, grant: &Grant, query: &str) -> Vec<String> {
    let found = answered(world, grant, query, MAX_LIMIT);
    let tools = found["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn exact_names_rank_first_then_name_matches_then_texts_then_list_order() {
    let world = of(vec![
        described("alerts", "", "Weather warnings."),
        described("archive", "Past weather", ""),
        described("weather", "", "Sunshine."),
        described("weather_maps", "", "Rain as a picture."),
        described("zoo", "", "Animals."),
    ]);
    let found = |query| names(&world, &all(), query);
    assert_eq!(
        found("weather"),
        ["s__weather", "s__weather_maps", "s__alerts", "s__archive"]
    );
    assert_eq!(found("s__weather_maps")[0], "s__weather_maps");
    assert_eq!(
        found("Maps of the weather")[..2],
        ["s__weather_maps", "s__weather"]
    );
    assert_eq!(found("rain weather")[0], "s__weather_maps");
    assert_eq!(found("snow"), [""; 0]);
    assert_eq!(found("!?"), [""; 0]);
    let everything = world.gateway().tools().iter();
    let everything: Vec<_> = everything.map(|tool| tool.exposed.to_string()).collect();
    assert_eq!(found(""), everything);
    assert_eq!(found("  "), everything);
}

#[test]
fn words_match_by_prefix_and_ignore_case() {
    let world = of(vec![
        described("createPullRequest", "", "Opens one."),
        described("forecasts", "", "Wetter für die Schweiz"),
        described("japan", "", "東京の天気を調べる"),
        described("to_do", "", "Lists todos"),
    ]);
    let found = |query| names(&world, &all(), query);
    for query in ["PULL", "request", "createpullrequest", "create pull"] {
        assert_eq!(found(query), ["s__createPullRequest"], "{query}");
    }
    assert_eq!(found("forecast"), ["s__forecasts"]);
    assert_eq!(found("FÜR"), ["s__forecasts"]);
    assert_eq!(found("天気"), ["s__japan"]);
    // Two letters match a word, but no longer word by prefix.
    assert_eq!(found("to"), ["s__to_do"]);
    assert_eq!(found("li"), [""; 0]);
}

#[test]
fn results_contain_the_model_facing_members_in_the_servers_own_bytes() {
    let world = GatewayFixture::of(&progressive(&test_servers()));
    let found = world.gateway().search(&all(), "forecast", 5).unwrap();
    assert_eq!(
        found,
        r#"{"tools":[{"name":"weather__forecast","inputSchema":{"type":"object","properties":{"city":{"type":"string","x-mcp-header":"City"}}}}],"total":1}"#
    );
    let found = world.gateway().search(&all(), "files__list", 1).unwrap();
    assert_eq!(
        found,
        r#"{"tools":[{"name":"files__list","title":"List","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}],"total":2}"#
    );
}

#[test]
fn results_are_bounded_in_count_and_bytes_but_not_emptied() {
    let tools = (0..80).map(|n| plain_tool(&format!("t{n:02}"))).collect();
    let world = of(tools);
    let found = answered(&world, &all(), "", 3);
    assert_eq!(found["tools"].as_array().unwrap().len(), 3);
    assert_eq!(found["total"], 80);
    let found = answered(&world, &all(), "", usize::MAX);
    assert_eq!(found["tools"].as_array().unwrap().len(), MAX_LIMIT);
    let long = "x".repeat(MAX_RESULT_LEN * 2 / 3);
    let tools = ["a", "b", "c"].map(|name| described(name, "", &long));
    let world = of(tools.into());
    assert_eq!(names(&world, &all(), ""), ["s__a"]);
    let longer = of(vec![described("a", "", &"x".repeat(MAX_RESULT_LEN * 2))]);
    assert_eq!(names(&longer, &all(), ""), ["s__a"]);
}

#[test]
fn the_index_is_bounded_for_any_definition() {
    let text: String = (0..100_000).map(|n| format!("w{n} ")).collect();
    let world = of(vec![described("a", "", &text)]);
    assert_eq!(names(&world, &all(), "w7"), ["s__a"]);
    assert_eq!(names(&world, &all(), "w99999"), [""; 0]);
    let finder = world.gateway().tool_index.as_ref().unwrap();
    assert!(finder.words.len() < MAX_TOOL_TEXT, "{}", finder.words.len());
}

#[test]
fn a_search_scans_a_bounded_number_of_words_exact_match_first() {
    let tools = (0..400).map(|n| {
        let text: String = (0..100).map(|m| format!("abc{n}x{m} ")).collect();
        described(&format!("t{n:03}"), "", &text)
    });
    let mut tools: Vec<_> = tools.collect();
    tools.push(described("z", "", "abc"));
    let world = of(tools);
    let finder = world.gateway().tool_index.as_ref().unwrap();
    let standing = finder.words.iter().map(|(_, places)| places.len());
    assert!(standing.sum::<usize>() > MAX_POSITIONS);
    assert_eq!(finder.positions("abc").count(), MAX_POSITIONS);
    let first = finder.positions("abc").next().unwrap();
    assert_eq!(first.tool, 400, "the word itself comes before longer ones");
}

#[test]
fn gateways_that_list_their_tools_have_no_index() {
    let world = GatewayFixture::new();
    assert!(!world.gateway().is_progressive());
    assert_eq!(world.gateway().search(&all(), "", 5), None);
}

fn some_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c_.-]{1,4}", "[a-cA-C]{1,3}(_[a-c]{1,3}){0,2}"]
}

proptest! {
    #[test]
    fn each_visible_tool_is_found_by_name_and_no_hidden_one_appears(
        tools in proptest::collection::btree_set(some_name(), 1..12),
        mask in any::<u16>(),
        query in "[a-c_ ]{0,12}",
    ) {
        let tools: Vec<String> = tools.into_iter().collect();
        let world = of(tools.iter().map(|name| plain_tool(name)).collect());
        let visible: Vec<String> = tools
            .iter()
            .enumerate()
            .filter(|(at, _)| mask >> at & 1 == 1)
            .map(|(_, name)| format!("s__{name}"))
            .collect();
        let grant = Grant::new(&AllowList::All, &AllowList::Only(visible.clone()));
        for name in &visible {
            prop_assert_eq!(&names(&world, &grant, name)[0], name);
        }
        for name in tools.iter().map(|name| format!("s__{name}")) {
            let shown = names(&world, &grant, &name);
            prop_assert!(shown.iter().all(|shown| visible.contains(shown)));
        }
        // The result is the same as if the hidden tools did not exist.
        let alone = visible.iter().map(|name| plain_tool(name.strip_prefix("s__").unwrap()));
        let alone = of(alone.collect());
        prop_assert_eq!(
            world.gateway().search(&grant, &query, 5),
            alone.gateway().search(&all(), &query, 5)
        );
    }

    #[test]
    fn arbitrary_queries_cause_no_panic(query in ".{0,200}", limit in 0..100usize) {
        let world = GatewayFixture::of(&progressive(&test_servers()));
        answered(&world, &all(), &query, limit);
    }
}
