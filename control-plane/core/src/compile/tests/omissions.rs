//! Tests of the problems that a gateway has because a limit cuts a list of a server.

use super::*;

#[test]
fn what_a_limit_leaves_out_is_a_problem_of_each_gateway_that_binds_the_server() {
    let mut world = world(&[("big", &["a"]), ("small", &["b"])]);
    for (id, servers) in [
        ("one", &["big"][..]),
        ("two", &["small", "big"]),
        ("other", &["small"]),
    ] {
        let gateway = gateway("acme", id, PrefixMode::Always, servers);
        world.create(OperatorObject::Gateway(gateway)).unwrap();
    }
    let text = "10,000 of 10,001 tools: limit of 10,000 tools of a server".to_owned();
    let mut cut = catalogue("acme", "big", &["a"]);
    cut.omissions = vec![text.clone()];
    let before = world.state.version();
    world.run(Command::RecordDefinitions(cut)).unwrap();
    // The problem is compiled, although the lists are the same.
    assert_ne!(world.state.version(), before);
    let compiled = compile(&world.state);
    let expected = ProblemKind::DefinitionsOmitted {
        server: slug("big"),
        text,
    };
    for id in ["one", "two"] {
        assert_eq!(kinds(&compiled, id), std::slice::from_ref(&expected));
    }
    assert_eq!(kinds(&compiled, "other"), []);
    assert_eq!(exposed(&compiled, "one"), ["big__a"]);
    let key = key(SnapshotResourceKind::Gateway, "two");
    let shown = compiled.problems_of(&key)[0].to_string();
    assert!(
        shown.starts_with("spec.bindings[1].server: server big"),
        "{shown}"
    );
    assert!(shown.contains("10,000 of 10,001 tools"), "{shown}");
    // A gateway over the server can still be created.
    let next = gateway("acme", "next", PrefixMode::Always, &["big"]);
    world.create(OperatorObject::Gateway(next)).unwrap();
}
