//! Tests of lists: they are serialized once, filtered by the same decision as calls, and changed only in names.

use serde_json::Value;
use toolgate_model::{AllowList, Era};

use super::*;
use crate::{
    View,
    fixture::{GatewayFixture, ServerFixture, definition, plain_tool, test_snapshot},
};

fn whole(page: &ListPage) -> Value {
    serde_json::from_slice(&[&page.unclosed[..], b"}"].concat()).unwrap()
}

fn grant(tools: &[&str]) -> Grant {
    let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
    Grant::new(&AllowList::All, &AllowList::Only(tools))
}

#[test]
fn grants_that_differ_in_gateways_alone_share_their_pages() {
    let world = GatewayFixture::new();
    let tools = AllowList::Only(vec!["files__read".to_owned()]);
    let everywhere = Grant::new(&AllowList::All, &tools);
    let here = Grant::new(&AllowList::Only(vec!["main".parse().unwrap()]), &tools);
    assert_ne!(everywhere.digest(), here.digest());
    let page = |grant: &Grant| {
        let page = world.gateway().page(ListKind::Tools, grant, Era::Modern, 0);
        page.unwrap().unclosed.as_ptr()
    };
    assert_eq!(page(&everywhere), page(&here));
    assert_ne!(page(&everywhere), page(&grant(&["files__list"])));
}

#[test]
fn a_page_is_serialised_once() {
    let world = GatewayFixture::new();
    let (gateway, all) = (
        world.gateway(),
        Grant::new(&AllowList::All, &AllowList::All),
    );
    let first = gateway.page(ListKind::Tools, &all, Era::Modern, 0).unwrap();
    let second = gateway.page(ListKind::Tools, &all, Era::Modern, 0).unwrap();
    assert_eq!(first.unclosed.as_ptr(), second.unclosed.as_ptr());
    let few = grant(&["files__read"]);
    let first = gateway.page(ListKind::Tools, &few, Era::Legacy, 0).unwrap();
    let second = gateway.page(ListKind::Tools, &few, Era::Legacy, 0).unwrap();
    assert_eq!(first.unclosed.as_ptr(), second.unclosed.as_ptr());
    assert_eq!(whole(&first)["tools"].as_array().unwrap().len(), 1);
}

#[test]
fn definitions_are_unchanged_except_for_the_name() {
    let world = GatewayFixture::new();
    let tool = world.gateway().tool("weather__forecast").unwrap();
    assert_eq!(
        tool.definition(Era::Legacy),
        r#"{ "name" : "weather__forecast", "inputSchema": {"type":"object","properties":{"city":{"type":"string","x-mcp-header":"City"}}}, "x-unknown": [1, 2.50] }"#
    );
}

#[test]
fn legacy_clients_do_not_see_non_object_output_schemas() {
    let world = GatewayFixture::new();
    let tool = world.gateway().tool("files__list").unwrap();
    assert_eq!(
        tool.definition(Era::Legacy),
        r#"{"name":"files__list","title":"List","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}"#
    );
    assert!(tool.definition(Era::Modern).contains("outputSchema"));
    let object = definition(r#"{"outputSchema":{"type":"object"},"name":"o","inputSchema":{}}"#);
    let (view, _) = View::build(&world_of(vec![object]), None);
    let tool = view.gateway("main").unwrap().tool("s__o").unwrap();
    assert!(tool.definition(Era::Legacy).contains("outputSchema"));
}

fn world_of(tools: Vec<toolgate_model::Definition>) -> toolgate_model::Snapshot {
    test_snapshot(&[ServerFixture::new("s", None, tools)])
}

#[test]
fn five_hundred_tools_fit_one_page_and_one_more_starts_the_next() {
    let tools: Vec<_> = (0..=PAGE_SIZE)
        .map(|n| plain_tool(&format!("t{n}")))
        .collect();
    let all = Grant::new(&AllowList::All, &AllowList::All);
    let (one, _) = View::build(&world_of(tools[..PAGE_SIZE].to_vec()), None);
    let page = one
        .gateway("main")
        .unwrap()
        .page(ListKind::Tools, &all, Era::Modern, 0)
        .unwrap();
    assert!(!page.more);
    assert_eq!(whole(&page)["tools"].as_array().unwrap().len(), PAGE_SIZE);
    let (two, _) = View::build(&world_of(tools), None);
    let gateway = two.gateway("main").unwrap();
    let first = gateway.page(ListKind::Tools, &all, Era::Modern, 0).unwrap();
    let second = gateway.page(ListKind::Tools, &all, Era::Modern, 1).unwrap();
    assert!(first.more && !second.more);
    assert_eq!(whole(&second)["tools"][0]["name"], "s__t500");
    assert_eq!(whole(&first)["cacheScope"], whole(&second)["cacheScope"]);
    assert!(
        gateway
            .page(ListKind::Tools, &all, Era::Modern, 2)
            .is_none()
    );
}

#[test]
fn only_modern_pages_carry_a_ttl() {
    let world = GatewayFixture::new();
    let all = Grant::new(&AllowList::All, &AllowList::All);
    let modern = whole(
        &world
            .gateway()
            .page(ListKind::Tools, &all, Era::Modern, 0)
            .unwrap(),
    );
    assert_eq!(modern["resultType"], "complete");
    assert_eq!(modern["ttlMs"], LIST_TTL_MS);
    assert_eq!(modern["cacheScope"], "private");
    assert_eq!(
        modern["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "main"
    );
    let legacy = whole(
        &world
            .gateway()
            .page(ListKind::Tools, &all, Era::Legacy, 0)
            .unwrap(),
    );
    let members: Vec<&String> = legacy.as_object().unwrap().keys().collect();
    assert_eq!(members, ["tools"]);
}

#[test]
fn an_empty_grant_sees_an_empty_list() {
    let world = GatewayFixture::new();
    let page = world
        .gateway()
        .page(ListKind::Tools, &grant(&["nothing"]), Era::Modern, 0)
        .unwrap();
    assert_eq!(whole(&page)["tools"], serde_json::json!([]));
    assert!(!page.more);
}

#[test]
fn more_grants_than_cache_slots_are_served_and_mark_the_cache_worn() {
    let snapshot = test_snapshot(&crate::fixture::test_servers());
    let (view, _) = View::build(&snapshot, None);
    let gateway = view.gateway("main").unwrap();
    for n in 0..4 * SLOTS {
        let odd = format!("odd{n}");
        let page = gateway
            .page(
                ListKind::Tools,
                &grant(&[&odd, "files__read"]),
                Era::Modern,
                0,
            )
            .unwrap();
        assert_eq!(whole(&page)["tools"].as_array().unwrap().len(), 1);
    }
    assert!(gateway.lists.is_half_full());
    let (next, _) = View::build(&snapshot, Some(&view));
    assert!(!next.gateway("main").unwrap().lists.is_half_full());
}

#[test]
fn the_cache_size_counts_the_cached_pages_of_filtering_grants_once() {
    let world = GatewayFixture::new();
    let lists = &world.gateway().lists;
    let page = |grant: &Grant, era| {
        let page = world.gateway().page(ListKind::Tools, grant, era, 0);
        page.unwrap().unclosed.len()
    };
    page(&Grant::new(&AllowList::All, &AllowList::All), Era::Modern);
    assert_eq!(
        lists.cached_bytes(),
        0,
        "the unfiltered list is not counted"
    );
    let (read, list) = (grant(&["files__read"]), grant(&["files__list"]));
    let mut expected = page(&read, Era::Legacy);
    assert_eq!(lists.cached_bytes(), expected);
    expected += page(&read, Era::Modern) + page(&list, Era::Modern);
    page(&read, Era::Legacy);
    assert_eq!(lists.cached_bytes(), expected);
}

#[test]
fn other_definition_kinds_are_listed_unchanged() {
    let world = GatewayFixture::new();
    let all = Grant::new(&AllowList::All, &AllowList::All);
    let page = |kind| world.gateway().page(kind, &all, Era::Legacy, 0).unwrap();
    let prompts = page(ListKind::Prompts);
    assert_eq!(
        prompts.unclosed,
        r#"{"prompts":[{"name":"weather__trip","arguments":[{"name":"to"}],"x-unknown":1.0},{"name":"files__review"}]"#
    );
    assert_eq!(
        prompts.unclosed.as_ptr(),
        page(ListKind::Prompts).unclosed.as_ptr()
    );
    let resources = whole(&page(ListKind::Resources));
    assert_eq!(resources["resources"].as_array().unwrap().len(), 5);
}

#[test]
fn a_tools_ui_resource_is_listed_under_its_prefix() {
    let tool = |uri: &str| {
        format!(
            r#"{{"name":"o","inputSchema":{{}},"_meta":{{"ui/resourceUri":"{uri}","ui":{{"x":1,"resourceUri":"{uri}"}}}}}}"#
        )
    };
    let snapshot = world_of(vec![definition(&tool("ui://map/v"))]);
    let (view, rejections) = View::build(&snapshot, None);
    assert_eq!(rejections, []);
    let shown = view.gateway("main").unwrap().tool("s__o").unwrap();
    let expected = tool("ui://s/map/v").replace("\"o\"", "\"s__o\"");
    assert_eq!(shown.definition(Era::Modern), expected);
}
