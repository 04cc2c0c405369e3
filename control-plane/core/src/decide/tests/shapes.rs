//! Tests of tool shapes and binding timeouts: rejections, reported problems, and the compiled resources.

use std::time::Duration;

use toolgate_model::{
    ResourceKey, SnapshotResource, SnapshotResourceKind, ToolShapeSpec, snapshot::GatewayResource,
};

use super::*;
use crate::{ProblemKind, compile};

fn shape(fixed: &[(&str, &str)], hidden: &[&str]) -> ToolShapeSpec {
    let fixed = fixed.iter();
    ToolShapeSpec {
        fixed: fixed
            .map(|(name, json)| ((*name).to_owned(), (*json).to_owned()))
            .collect(),
        hidden: hidden.iter().map(|name| (*name).to_owned()).collect(),
        ..ToolShapeSpec::default()
    }
}

fn alias(name: &str) -> ToolShapeSpec {
    ToolShapeSpec {
        alias: Some(name.to_owned()),
        ..ToolShapeSpec::default()
    }
}

/// Creates a gateway over server `one` (tools a and b) with these shapes.
fn with(world: &mut StoreFixture, shapes: &[(&str, ToolShapeSpec)]) -> Result<(), Rejection> {
    let mut it = gateway("acme", "shaped", PrefixMode::Always, &["one"]);
    let shapes = shapes.iter();
    it.bindings[0].shapes = shapes
        .map(|(tool, shape)| ((*tool).to_owned(), shape.clone()))
        .collect();
    it.bindings[0].timeout = Some(Duration::from_secs(3));
    world.create(OperatorObject::Gateway(it)).map(|_| ())
}

fn made(world: &StoreFixture) -> (GatewayResource, Vec<crate::ConfigProblem>) {
    let compiled = compile(&world.state);
    let key = ResourceKey {
        kind: SnapshotResourceKind::Gateway,
        name: name("acme", "shaped"),
    };
    let problems = compiled.problems_of(&key).to_vec();
    match &*compiled.snapshot.entries[&key].resource {
        SnapshotResource::Gateway(gateway) => (gateway.clone(), problems),
        SnapshotResource::Server(_)
        | SnapshotResource::Catalogue(_)
        | SnapshotResource::Token(_) => panic!("{key}"),
    }
}

#[test]
fn an_invalid_shape_is_rejected_with_its_field() {
    let cases = [
        (alias(""), "spec.bindings[0].shapes[a].alias"),
        (alias("two words"), "spec.bindings[0].shapes[a].alias"),
        (alias(&"x".repeat(65)), "spec.bindings[0].shapes[a].alias"),
        (
            shape(&[("q", "{")], &[]),
            "spec.bindings[0].shapes[a].fixed[q]",
        ),
        (
            shape(&[("q", "metric")], &[]),
            "spec.bindings[0].shapes[a].fixed[q]",
        ),
        (
            shape(&[("q", "1")], &["p", "q"]),
            "spec.bindings[0].shapes[a].hidden[1]",
        ),
        (
            shape(&[], &["p", "p"]),
            "spec.bindings[0].shapes[a].hidden[1]",
        ),
        (shape(&[], &[""]), "spec.bindings[0].shapes[a].hidden[0]"),
    ];
    for (given, path) in cases {
        let refused = with(&mut world(), &[("a", given)]).unwrap_err();
        assert_eq!(field(refused), path);
    }
    let mut impatient = gateway("acme", "shaped", PrefixMode::Always, &["one"]);
    impatient.bindings[0].timeout = Some(Duration::ZERO);
    let refused = world()
        .create(OperatorObject::Gateway(impatient))
        .unwrap_err();
    assert_eq!(field(refused), "spec.bindings[0].timeout");
}

#[test]
fn an_alias_takes_part_in_name_collisions() {
    let mut world = world();
    let refused = with(&mut world, &[("a", alias("one__b"))]).unwrap_err();
    assert!(refused.to_string().contains("`one__b`"), "{refused}");
    with(&mut world, &[("a", alias("look"))]).unwrap();
    let (gateway, problems) = made(&world);
    assert_eq!(problems, []);
    let names: Vec<_> = gateway.tools.iter().map(|tool| &*tool.exposed).collect();
    assert_eq!(names, ["look", "one__b"]);
    assert_eq!(gateway.tools[0].original, "a");
    // An alias alone needs no support by the proxy.
    assert!(gateway.tools.iter().all(|tool| tool.shape.is_none()));
    assert!(gateway.must_understand.is_empty());
    assert_eq!(gateway.timeouts[&slug("one")], Duration::from_secs(3));
}

#[test]
fn proxies_without_support_for_shaped_arguments_deny_the_gateway() {
    let mut world = world();
    with(&mut world, &[("a", shape(&[("q", "1")], &["p"]))]).unwrap();
    let (gateway, _) = made(&world);
    assert_eq!(gateway.must_understand, ["shaped_arguments"]);
    let shape = gateway.tools[0].shape.as_ref().unwrap();
    assert_eq!(
        (&*shape.fixed["q"], &*shape.hidden),
        ("1", &["p".to_owned()][..])
    );
}

#[test]
fn a_shape_for_a_missing_tool_is_reported_but_accepted() {
    let mut world = world();
    let mut it = gateway("acme", "shaped", PrefixMode::Always, &["one"]);
    it.bindings[0].tools = BindingSelection::Only(vec!["a".to_owned()]);
    for tool in ["a", "b", "gone"] {
        it.bindings[0]
            .shapes
            .insert(tool.to_owned(), ToolShapeSpec::default());
    }
    world.create(OperatorObject::Gateway(it)).unwrap();
    let (_, problems) = made(&world);
    let fields: Vec<_> = problems.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.bindings[0].shapes[b]",
            "spec.bindings[0].shapes[gone]"
        ]
    );
    assert!(matches!(problems[0].kind, ProblemKind::ShapeUnused { .. }));
    assert!(matches!(problems[1].kind, ProblemKind::NotOffered { .. }));
}

/// Returns the problems of a gateway that shapes tool `a` with this input schema.
fn slips(schema: &str, shape: ToolShapeSpec) -> Vec<(String, String)> {
    let mut world = world();
    let mut seen = catalogue("acme", "one", &["a", "b"]);
    seen.tools[0].json = format!(r#"{{"name":"a","inputSchema":{schema}}}"#).into();
    world.run(Command::RecordDefinitions(seen)).unwrap();
    with(&mut world, &[("a", shape)]).unwrap();
    let (_, problems) = made(&world);
    let worded = problems.into_iter();
    worded.map(|it| (it.field, it.kind.to_string())).collect()
}

#[test]
fn a_misspelled_argument_name_is_reported() {
    let schema = r#"{"type":"object","properties":{"units":{},"debug":{}}}"#;
    let found = slips(
        schema,
        shape(&[("unit", "1"), ("units", "1")], &["debug", "debgu"]),
    );
    let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.bindings[0].shapes[a].fixed[unit]",
            "spec.bindings[0].shapes[a].hidden[1]"
        ]
    );
    assert!(
        found[0].1.contains("declares no argument `unit`"),
        "{found:?}"
    );
}

#[test]
fn an_argument_that_an_open_schema_may_allow_is_not_reported() {
    for schema in [
        r#"{"type":"object","additionalProperties":true}"#,
        r#"{"additionalProperties":{"type":"string"},"properties":{"q":{}}}"#,
        r##"{"$ref":"#/$defs/a","properties":{"q":{}}}"##,
        r#"{"properties":{"q":{}},"anyOf":[{"properties":{"p":{}}}]}"#,
        r#"{"patternProperties":{"p":{}}}"#,
    ] {
        assert_eq!(slips(schema, shape(&[("p", "1")], &["r"])), [], "{schema}");
    }
}

#[test]
fn a_hidden_required_argument_is_reported() {
    let schema = r#"{"type":"object","properties":{"p":{},"q":{}},"required":["p","q"]}"#;
    let found = slips(schema, shape(&[("q", "1")], &["p"]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "spec.bindings[0].shapes[a].hidden[0]");
    assert!(found[0].1.contains("requires `p`"), "{found:?}");
}

#[test]
fn aliases_that_differ_only_by_case_are_rejected() {
    let mut world = world();
    let refused = with(&mut world, &[("a", alias("Look")), ("b", alias("look"))]).unwrap_err();
    assert!(refused.to_string().contains("`Look`"), "{refused}");
    assert_eq!(field(refused), "spec.bindings[0].shapes[b].alias");
    // Across the bindings of a gateway, too.
    let mut it = gateway("acme", "shaped", PrefixMode::Always, &["one", "two"]);
    it.bindings[0].shapes = [("a".to_owned(), alias("find"))].into();
    it.bindings[1].shapes = [("a".to_owned(), alias("FIND"))].into();
    let refused = world.create(OperatorObject::Gateway(it)).unwrap_err();
    assert_eq!(field(refused), "spec.bindings[1].shapes[a].alias");
    with(&mut world, &[("a", alias("look")), ("b", alias("looks"))]).unwrap();
}
