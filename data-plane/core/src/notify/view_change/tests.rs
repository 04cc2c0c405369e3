//! Tests of view comparison: a change is reported to a token only if the token may see it.

use toolgate_model::{AllowList, SnapshotResource, SnapshotResourceKind};

use super::*;
use crate::fixture::{
    authn_id, gateway, insert, key, plain_tool, progressive, slug, test_servers, test_snapshot,
    token,
};

fn build(snapshot: &toolgate_model::Snapshot) -> View {
    View::build(snapshot, None).0
}

fn seen(before: &View, after: &View, token: &str) -> Option<ListChanges> {
    ViewComparison::new(before, after).changes_for(&slug("main"), &authn_id(token))
}

const TOOLS: ListChanges = ListChanges {
    tools: true,
    ..ListChanges::NONE
};

#[test]
fn a_new_or_edited_tool_is_a_change_for_principals_that_see_it() {
    let before = build(&test_snapshot(&test_servers()));
    assert_eq!(
        seen(&before, &build(&test_snapshot(&test_servers())), "all"),
        Some(ListChanges::NONE)
    );
    let mut more = test_servers();
    more[1].tools.push(plain_tool("write"));
    let after = build(&test_snapshot(&more));
    assert_eq!(seen(&before, &after, "all"), Some(TOOLS));
    // Hidden from this token before and after the change.
    assert_eq!(seen(&before, &after, "few"), Some(ListChanges::NONE));
    // Equal names with another schema.
    let mut edited = test_servers();
    let json = edited[0].tools[0].json.replace("City", "Town");
    edited[0].tools[0] = crate::fixture::definition(&json);
    let after = build(&test_snapshot(&edited));
    assert_eq!(seen(&before, &after, "all"), Some(TOOLS));
    assert_eq!(seen(&before, &after, "few"), Some(TOOLS));
}

#[test]
fn a_changed_shape_is_a_change_for_principals_that_see_the_tool() {
    let mut snapshot = test_snapshot(&test_servers());
    let before = build(&snapshot);
    let mut shaped = gateway(&test_servers());
    shaped.tools[0].shape = Some(toolgate_model::snapshot::ToolShape {
        description: Some("In other words.".to_owned()),
        ..Default::default()
    });
    assert_eq!(shaped.tools[0].exposed, "weather__forecast");
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(shaped),
    );
    let after = build(&snapshot);
    assert_eq!(seen(&before, &after, "all"), Some(TOOLS));
    assert_eq!(seen(&before, &after, "few"), Some(TOOLS));
}

#[test]
fn at_a_progressive_gateway_only_the_listing_mode_is_a_change() {
    let all = build(&test_snapshot(&test_servers()));
    let before = build(&progressive(&test_servers()));
    let mut more = test_servers();
    more[0].tools.push(plain_tool("storms"));
    let after = build(&progressive(&more));
    for token in ["all", "few"] {
        assert_eq!(seen(&before, &after, token), Some(ListChanges::NONE));
        assert_eq!(seen(&all, &before, token), Some(TOOLS));
        assert_eq!(seen(&after, &all, token), Some(TOOLS));
    }
    let mut prompt = test_servers();
    prompt[1].prompts.clear();
    let after = build(&progressive(&prompt));
    let kinds = seen(&before, &after, "all").unwrap();
    assert_eq!((kinds.tools, kinds.prompts), (false, true));
}

#[test]
fn prompts_and_resources_change_separately_for_principals_that_see_them() {
    let before = build(&test_snapshot(&test_servers()));
    let mut edited = test_servers();
    edited[1].prompts[0] = crate::fixture::definition(r#"{"name":"review","title":"R"}"#);
    let prompts = build(&test_snapshot(&edited));
    let mut edited = test_servers();
    edited[0].templates.clear();
    let resources = build(&test_snapshot(&edited));
    let told = |after: &View| {
        assert_eq!(seen(&before, after, "few"), Some(ListChanges::NONE));
        let kinds = seen(&before, after, "all").unwrap();
        (kinds.tools, kinds.prompts, kinds.resources)
    };
    assert_eq!(told(&prompts), (false, true, false));
    assert_eq!(told(&resources), (false, false, true));
}

#[test]
fn a_changed_grant_is_a_change_and_lost_access_is_the_end() {
    let base = test_snapshot(&test_servers());
    let before = build(&base);
    let mut narrowed = base.clone();
    let mut narrow = token("all");
    narrow.tools = AllowList::of(vec!["files__read".to_owned()]);
    insert(
        &mut narrowed,
        "acme",
        "all",
        SnapshotResource::Token(narrow),
    );
    // A token restricted to some tools loses access to everything else.
    assert_eq!(
        seen(&before, &build(&narrowed), "all"),
        Some(ListChanges::ALL)
    );
    let mut elsewhere = base.clone();
    let mut away = token("all");
    away.gateways = AllowList::of(vec![slug("other")]);
    insert(&mut elsewhere, "acme", "all", SnapshotResource::Token(away));
    assert_eq!(seen(&before, &build(&elsewhere), "all"), None);
    for (kind, id) in [
        (SnapshotResourceKind::Gateway, "main"),
        (SnapshotResourceKind::Token, "all"),
    ] {
        let mut gone = base.clone();
        gone.entries.remove(&key(kind, "acme", id));
        assert_eq!(seen(&before, &build(&gone), "all"), None);
        // After access is restored, all earlier lists are outdated.
        assert_eq!(seen(&build(&gone), &before, "all"), Some(ListChanges::ALL));
    }
    let mut denied = base.clone();
    let mut strange = gateway(&test_servers());
    strange.must_understand = vec!["tomorrow".to_owned()];
    insert(
        &mut denied,
        "acme",
        "main",
        SnapshotResource::Gateway(strange),
    );
    assert_eq!(seen(&before, &build(&denied), "all"), None);
    // A token of another organization has no access before or after.
    assert_eq!(seen(&before, &before, "evil"), None);
}

#[test]
fn each_list_kind_has_its_own_notification_method() {
    let all: Vec<&str> = ListChanges::ALL.methods().collect();
    assert_eq!(
        all,
        [
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed"
        ]
    );
    assert_eq!(ListChanges::NONE.methods().count(), 0);
    assert_eq!(ListChanges::ALL.intersection(TOOLS), TOOLS);
    assert_eq!(ListChanges::NONE.union(TOOLS), TOOLS);
}
