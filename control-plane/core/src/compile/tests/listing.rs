//! Tests of progressive listing: the gateway's own two tools have reserved names.

use toolgate_model::ToolListing;

use super::*;

#[test]
fn a_tool_named_like_a_built_in_tool_of_the_gateway_is_rejected() {
    let mut world = world(&[("one", &["search_tools", "run_tool", "a"])]);
    let mut clash = gateway("acme", "clash", PrefixMode::Single, &["one"]);
    // With a full listing the names are not reserved.
    world
        .create(OperatorObject::Gateway(clash.clone()))
        .unwrap();
    assert_eq!(
        exposed(&compile(&world.state), "clash"),
        ["a", "run_tool", "search_tools"]
    );
    clash.listing = ToolListing::Progressive;
    let expected = world.modified(&ObjectKey::Gateway(clash.name.clone()));
    let update = Command::Update {
        object: OperatorObject::Gateway(clash.clone()),
        expected,
    };
    let told = format!("{:?}", world.run(update).unwrap_err());
    assert!(
        told.contains("`search_tools` of server one") && told.contains("prefix `always`"),
        "{told}"
    );
    // An alias is rejected too. With prefixes there is no clash.
    clash.name = name("acme", "other");
    clash.prefix = PrefixMode::Always;
    let alias = toolgate_model::ToolShapeSpec {
        alias: Some("run_tool".to_owned()),
        ..Default::default()
    };
    let mut aliased = clash.clone();
    aliased.bindings[0].shapes = [("a".to_owned(), alias)].into();
    assert!(world.create(OperatorObject::Gateway(aliased)).is_err());
    world.create(OperatorObject::Gateway(clash)).unwrap();
    let compiled = compile(&world.state);
    assert_eq!(
        exposed(&compiled, "other"),
        ["one__a", "one__run_tool", "one__search_tools"]
    );
    let made = resource(&compiled, "other");
    assert_eq!(made.listing, ToolListing::Progressive);
    // A proxy that does not support progressive listing lists more tools but allows no additional calls.
    assert_eq!(made.must_understand, [""; 0]);
}

#[test]
fn a_later_tool_named_like_a_built_in_tool_is_hidden_and_reported() {
    let mut world = world(&[("one", &["a"])]);
    let mut grown = gateway("acme", "grown", PrefixMode::Never, &["one"]);
    grown.listing = ToolListing::Progressive;
    world.create(OperatorObject::Gateway(grown)).unwrap();
    let grows = Command::RecordDefinitions(catalogue("acme", "one", &["a", "run_tool", "b"]));
    world.run(grows).unwrap();
    let compiled = compile(&world.state);
    assert_eq!(exposed(&compiled, "grown"), ["a", "b"]);
    let problems = kinds(&compiled, "grown");
    assert!(
        matches!(&*problems, [ProblemKind::ReservedName { exposed: "run_tool", name, .. }] if name == "run_tool"),
        "{problems:?}"
    );
}
