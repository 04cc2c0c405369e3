//! Tests of lists: they are serialized once, filtered by the same decision as calls, and changed only in names.

use serde_json::Value;
use toolgate_model::{Era, Reach};

use super::*;
use crate::{
    View,
    fixture::{Offer, World, definition, plain_tool, world},
};

fn whole(page: &ListPage) -> Value {
    serde_json::from_slice(&[&page.open[..], b"}"].concat()).unwrap()
}

fn grant(tools: &[&str]) -> Grant {
    Grant::new(Reach::Only(
        tools.iter().map(|tool| (*tool).to_owned()).collect(),
    ))
}

#[test]
fn a_page_is_serialised_once() {
    let world = World::new();
    let (gateway, all) = (world.gateway(), Grant::new(Reach::All));
    let first = gateway.page(ListKind::Tools, &all, Era::Modern, 0).unwrap();
    let second = gateway.page(ListKind::Tools, &all, Era::Modern, 0).unwrap();
    assert_eq!(first.open.as_ptr(), second.open.as_ptr());
    let few = grant(&["files__read"]);
    let first = gateway.page(ListKind::Tools, &few, Era::Legacy, 0).unwrap();
    let second = gateway.page(ListKind::Tools, &few, Era::Legacy, 0).unwrap();
    assert_eq!(first.open.as_ptr(), second.open.as_ptr());
    assert_eq!(whole(&first)["tools"].as_array().unwrap().len(), 1);
}

#[test]
fn definitions_pass_as_they_came_but_for_the_name() {
    let world = World::new();
    let tool = world.gateway().tool("weather__forecast").unwrap();
    assert_eq!(
        tool.definition(Era::Legacy),
        r#"{ "name" : "weather__forecast", "inputSchema": {"type":"object","properties":{"city":{"type":"string","x-mcp-header":"City"}}}, "x-unknown": [1, 2.50] }"#
    );
}

#[test]
fn legacy_clients_do_not_see_output_schemas_of_other_than_objects() {
    let world = World::new();
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
    world(&[Offer::new("s", None, tools)])
}

#[test]
fn five_hundred_tools_are_one_page_and_one_more_is_another() {
    let tools: Vec<_> = (0..=PAGE).map(|n| plain_tool(&format!("t{n}"))).collect();
    let all = Grant::new(Reach::All);
    let (one, _) = View::build(&world_of(tools[..PAGE].to_vec()), None);
    let page = one
        .gateway("main")
        .unwrap()
        .page(ListKind::Tools, &all, Era::Modern, 0)
        .unwrap();
    assert!(!page.more);
    assert_eq!(whole(&page)["tools"].as_array().unwrap().len(), PAGE);
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
fn modern_pages_say_how_long_they_keep_and_legacy_pages_do_not() {
    let world = World::new();
    let all = Grant::new(Reach::All);
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
fn a_grant_of_nothing_sees_an_empty_list() {
    let world = World::new();
    let page = world
        .gateway()
        .page(ListKind::Tools, &grant(&["nothing"]), Era::Modern, 0)
        .unwrap();
    assert_eq!(whole(&page)["tools"], serde_json::json!([]));
    assert!(!page.more);
}

#[test]
fn more_grants_than_slots_are_all_served_and_wear_the_view() {
    let snapshot = world(&crate::fixture::offers());
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
    assert!(gateway.lists.is_worn());
    let (next, _) = View::build(&snapshot, Some(&view));
    assert!(!next.gateway("main").unwrap().lists.is_worn());
}

#[test]
fn what_is_not_a_tool_is_listed_as_it_came_too() {
    let world = World::new();
    let all = Grant::new(Reach::All);
    let page = |kind| world.gateway().page(kind, &all, Era::Legacy, 0).unwrap();
    let prompts = page(ListKind::Prompts);
    assert_eq!(
        prompts.open,
        r#"{"prompts":[{"name":"weather__trip","arguments":[{"name":"to"}],"x-unknown":1.0},{"name":"files__review"}]"#
    );
    assert_eq!(prompts.open.as_ptr(), page(ListKind::Prompts).open.as_ptr());
    let resources = whole(&page(ListKind::Resources));
    assert_eq!(resources["resources"].as_array().unwrap().len(), 5);
}

#[test]
fn what_is_rendered_for_a_tool_is_found_under_its_prefix() {
    let tool = |uri: &str| {
        format!(
            r#"{{"name":"o","inputSchema":{{}},"_meta":{{"ui/resourceUri":"{uri}","ui":{{"x":1,"resourceUri":"{uri}"}}}}}}"#
        )
    };
    let snapshot = world_of(vec![definition(&tool("ui://map/v"))]);
    let (view, refusals) = View::build(&snapshot, None);
    assert_eq!(refusals, []);
    let shown = view.gateway("main").unwrap().tool("s__o").unwrap();
    let expected = tool("ui://s/map/v").replace("\"o\"", "\"s__o\"");
    assert_eq!(shown.definition(Era::Modern), expected);
}
