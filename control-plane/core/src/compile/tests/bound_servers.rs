//! Tests that proxies receive exactly the servers that a served gateway binds.

use super::*;

/// Names of the servers and of the definitions in the snapshot.
fn served(compiled: &CompileOutput) -> Vec<String> {
    let keys = compiled.snapshot.entries.keys();
    let of_servers = keys.filter(|key| {
        matches!(
            key.kind,
            SnapshotResourceKind::Server | SnapshotResourceKind::Catalogue
        )
    });
    of_servers.map(ToString::to_string).collect()
}

fn update(world: &mut StoreFixture, object: OperatorObject) {
    let expected = world.modified(&object.key());
    world.run(Command::Update { object, expected }).unwrap();
}

#[test]
fn proxies_receive_a_server_and_its_definitions_only_while_a_gateway_binds_it() {
    let mut world = world(&[("files", &["read"]), ("mail", &["send"])]);
    let unbound = compile(&world.state);
    assert_eq!(served(&unbound), [""; 0]);

    let tools = |servers: &[&str]| {
        let tools = gateway("acme", "tools", PrefixMode::Always, servers);
        OperatorObject::Gateway(tools)
    };
    world.create(tools(&["files"])).unwrap();
    let one = recompile(&world.state, &unbound);
    assert_eq!(served(&one), ["server/acme/files", "catalogue/acme/files"]);

    update(&mut world, tools(&["mail"]));
    let other = recompile(&world.state, &one);
    assert_eq!(served(&other), ["server/acme/mail", "catalogue/acme/mail"]);
    assert_eq!(other, compile(&world.state));

    // A second gateway over the server keeps it when the first is deleted.
    let second = gateway("acme", "second", PrefixMode::Always, &["mail"]);
    world.create(OperatorObject::Gateway(second)).unwrap();
    let mut last = recompile(&world.state, &other);
    for (id, left) in [("tools", 2), ("second", 0)] {
        let key = ObjectKey::Gateway(name("acme", id));
        let expected = None;
        world.run(Command::Delete { key, expected }).unwrap();
        last = recompile(&world.state, &last);
        assert_eq!(served(&last).len(), left, "{id}");
        assert_eq!(last, compile(&world.state));
    }
}

#[test]
fn a_gateway_that_is_not_served_brings_no_server_to_the_proxies() {
    let mut world = world(&[("files", &["read"])]);
    world
        .create(OperatorObject::Organization(crate::fixture::organization(
            "bbb",
        )))
        .unwrap();
    let owner = gateway("bbb", "tools", PrefixMode::Always, &[]);
    world.create(OperatorObject::Gateway(owner)).unwrap();
    world.force_gateway(gateway("acme", "tools", PrefixMode::Always, &["files"]));
    assert_eq!(
        kinds(&compile(&world.state), "tools"),
        [ProblemKind::IdTaken(slug("tools"))]
    );
    assert_eq!(served(&compile(&world.state)), [""; 0]);
}

#[test]
fn a_binding_that_the_prefix_excludes_brings_no_server_to_the_proxies() {
    let mut world = world(&[("files", &["read"]), ("mail", &["send"])]);
    world.force_gateway(gateway(
        "acme",
        "tools",
        PrefixMode::Single,
        &["files", "mail"],
    ));
    assert_eq!(
        served(&compile(&world.state)),
        ["server/acme/files", "catalogue/acme/files"]
    );
}

#[test]
fn a_server_of_the_same_name_in_another_organization_stays_away() {
    let mut world = world(&[("files", &["read"])]);
    world
        .create(OperatorObject::Organization(crate::fixture::organization(
            "bbb",
        )))
        .unwrap();
    world
        .create(OperatorObject::Server(server("bbb", "files", None)))
        .unwrap();
    let tools = gateway("acme", "tools", PrefixMode::Always, &["files"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    assert_eq!(
        served(&compile(&world.state)),
        ["server/acme/files", "catalogue/acme/files"]
    );
}

#[test]
fn problems_of_a_server_that_no_gateway_binds_are_reported() {
    let mut world = world(&[("files", &["read"])]);
    let mut pinned = server("acme", "files", None);
    pinned.drift = DriftPolicy::Pin;
    let at = ObjectKey::Server(pinned.name.clone()).to_string();
    world.force(&at, ControlObject::Server(pinned.into()));
    let compiled = compile(&world.state);
    let problems = compiled.problems_of(&key(SnapshotResourceKind::Server, "files"));
    assert_eq!(problems[0].kind, ProblemKind::NoApprovals);
}

/// One gateway over two of 300 servers costs what its two servers cost.
#[test]
fn the_size_of_a_snapshot_does_not_depend_on_servers_that_no_gateway_binds() {
    let ids: Vec<String> = (0..300).map(|number| format!("s{number}")).collect();
    let servers: Vec<(&str, &[&str])> = ids.iter().map(|id| (id.as_str(), &["a"][..])).collect();
    let mut world = world(&servers);
    let tools = gateway("acme", "tools", PrefixMode::Always, &["s0", "s299"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let compiled = compile(&world.state);
    assert_eq!(compiled.snapshot.entries.len(), 5);
    assert_eq!(exposed(&compiled, "tools"), ["s0__a", "s299__a"]);
}
