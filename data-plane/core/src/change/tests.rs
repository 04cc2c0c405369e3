//! Tests of view comparison: a change is reported to a token only if the token may see it.

use toolgate_model::{Reach, Resource, ResourceKind};

use super::*;
use crate::fixture::{
    gateway, hash, insert, key, offers, plain_tool, progressive, slug, token, world,
};

fn build(snapshot: &toolgate_model::Snapshot) -> View {
    View::build(snapshot, None).0
}

fn seen(before: &View, after: &View, token: &str) -> Option<Kinds> {
    Comparison::new(before, after).concerns(&slug("main"), &hash(token))
}

const TOOLS: Kinds = Kinds {
    tools: true,
    ..Kinds::NONE
};

#[test]
fn a_new_or_edited_tool_is_a_change_for_whoever_may_see_it() {
    let before = build(&world(&offers()));
    assert_eq!(
        seen(&before, &build(&world(&offers())), "all"),
        Some(Kinds::NONE)
    );
    let mut more = offers();
    more[1].tools.push(plain_tool("write"));
    let after = build(&world(&more));
    assert_eq!(seen(&before, &after, "all"), Some(TOOLS));
    // Hidden from this token before and after the change.
    assert_eq!(seen(&before, &after, "few"), Some(Kinds::NONE));
    // Equal names with another schema.
    let mut edited = offers();
    let json = edited[0].tools[0].json.replace("City", "Town");
    edited[0].tools[0] = crate::fixture::definition(&json);
    let after = build(&world(&edited));
    assert_eq!(seen(&before, &after, "all"), Some(TOOLS));
    assert_eq!(seen(&before, &after, "few"), Some(TOOLS));
}

#[test]
fn another_shape_is_a_change_for_whoever_sees_the_tool() {
    let mut snapshot = world(&offers());
    let before = build(&snapshot);
    let mut shaped = gateway(&offers());
    shaped.tools[0].shape = Some(toolgate_model::snapshot::ToolShape {
        description: Some("In other words.".to_owned()),
        ..Default::default()
    });
    assert_eq!(shaped.tools[0].exposed, "weather__forecast");
    insert(&mut snapshot, "acme", "main", Resource::Gateway(shaped));
    let after = build(&snapshot);
    assert_eq!(seen(&before, &after, "all"), Some(TOOLS));
    assert_eq!(seen(&before, &after, "few"), Some(TOOLS));
}

#[test]
fn of_a_progressive_gateway_only_another_listing_is_a_change() {
    let all = build(&world(&offers()));
    let before = build(&progressive(&offers()));
    let mut more = offers();
    more[0].tools.push(plain_tool("storms"));
    let after = build(&progressive(&more));
    for token in ["all", "few"] {
        assert_eq!(seen(&before, &after, token), Some(Kinds::NONE));
        assert_eq!(seen(&all, &before, token), Some(TOOLS));
        assert_eq!(seen(&after, &all, token), Some(TOOLS));
    }
    let mut prompt = offers();
    prompt[1].prompts.clear();
    let after = build(&progressive(&prompt));
    let kinds = seen(&before, &after, "all").unwrap();
    assert_eq!((kinds.tools, kinds.prompts), (false, true));
}

#[test]
fn prompts_and_resources_change_by_themselves_and_for_whoever_may_see_them() {
    let before = build(&world(&offers()));
    let mut edited = offers();
    edited[1].prompts[0] = crate::fixture::definition(r#"{"name":"review","title":"R"}"#);
    let prompts = build(&world(&edited));
    let mut edited = offers();
    edited[0].templates.clear();
    let resources = build(&world(&edited));
    let told = |after: &View| {
        assert_eq!(seen(&before, after, "few"), Some(Kinds::NONE));
        let kinds = seen(&before, after, "all").unwrap();
        (kinds.tools, kinds.prompts, kinds.resources)
    };
    assert_eq!(told(&prompts), (false, true, false));
    assert_eq!(told(&resources), (false, false, true));
}

#[test]
fn another_reach_is_a_change_and_none_at_all_is_the_end() {
    let base = world(&offers());
    let before = build(&base);
    let mut narrowed = base.clone();
    let mut narrow = token("all");
    narrow.tools = Reach::of(vec!["files__read".to_owned()]);
    insert(&mut narrowed, "acme", "all", Resource::Token(narrow));
    // A token restricted to some tools loses access to everything else.
    assert_eq!(seen(&before, &build(&narrowed), "all"), Some(Kinds::ALL));
    let mut elsewhere = base.clone();
    let mut away = token("all");
    away.gateways = Reach::of(vec![slug("other")]);
    insert(&mut elsewhere, "acme", "all", Resource::Token(away));
    assert_eq!(seen(&before, &build(&elsewhere), "all"), None);
    for (kind, id) in [
        (ResourceKind::Gateway, "main"),
        (ResourceKind::Token, "all"),
    ] {
        let mut gone = base.clone();
        gone.entries.remove(&key(kind, "acme", id));
        assert_eq!(seen(&before, &build(&gone), "all"), None);
        // After access is restored, all earlier lists are outdated.
        assert_eq!(seen(&build(&gone), &before, "all"), Some(Kinds::ALL));
    }
    let mut denied = base.clone();
    let mut strange = gateway(&offers());
    strange.must_understand = vec!["tomorrow".to_owned()];
    insert(&mut denied, "acme", "main", Resource::Gateway(strange));
    assert_eq!(seen(&before, &build(&denied), "all"), None);
    // A token of another organization has no access before or after.
    assert_eq!(seen(&before, &before, "evil"), None);
}

#[test]
fn kinds_are_told_by_methods_of_their_own() {
    let all: Vec<&str> = Kinds::ALL.methods().collect();
    assert_eq!(
        all,
        [
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed"
        ]
    );
    assert_eq!(Kinds::NONE.methods().count(), 0);
    assert_eq!(Kinds::ALL.and(TOOLS), TOOLS);
    assert_eq!(Kinds::NONE.or(TOOLS), TOOLS);
}
