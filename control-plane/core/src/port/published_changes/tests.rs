//! Tests that the changed objects of two published states are exactly the objects that may be shown differently.

use std::{collections::BTreeSet, sync::Arc};

use toolgate_model::{AllowList, PrefixMode, ProbeFailure, ProbeProblem};

use crate::{
    Command, ObjectKey, OperatorObject, compile,
    fixture::{StoreFixture, catalogue, gateway, name, server, slug, token},
    port::PublishedState,
    recompile,
};

fn published(world: &StoreFixture, before: &PublishedState) -> PublishedState {
    PublishedState {
        state: Arc::new(world.state.clone()),
        compiled: Arc::new(recompile(&world.state, &before.compiled)),
        refusal: None,
    }
}

fn first(world: &StoreFixture) -> PublishedState {
    PublishedState {
        state: Arc::new(world.state.clone()),
        compiled: Arc::new(compile(&world.state)),
        refusal: None,
    }
}

fn keys<const N: usize>(keys: [ObjectKey; N]) -> Option<BTreeSet<ObjectKey>> {
    Some(keys.into())
}

/// Two gateways over a server each; the second server was never probed. A token lists the first gateway.
fn world() -> StoreFixture {
    let mut world = StoreFixture::with(&["acme"]);
    for id in ["files", "mail"] {
        world
            .create(OperatorObject::Server(server("acme", id, None)))
            .unwrap();
    }
    world
        .run(Command::RecordDefinitions(catalogue(
            "acme",
            "files",
            &["read"],
        )))
        .unwrap();
    for (id, server) in [("one", "files"), ("two", "mail")] {
        let made = gateway("acme", id, PrefixMode::Always, &[server]);
        world.create(OperatorObject::Gateway(made)).unwrap();
    }
    let mut limited = token("acme", "limited");
    limited.gateways = AllowList::Only(vec![slug("one")]);
    world.create(OperatorObject::Token(limited)).unwrap();
    world
}

#[test]
fn a_written_object_alone_has_changed() {
    let mut world = world();
    let before = first(&world);
    assert_eq!(before.changed_objects(&before), keys([]));
    world
        .create(OperatorObject::Token(token("acme", "new")))
        .unwrap();
    let after = published(&world, &before);
    let new = ObjectKey::Token(name("acme", "new"));
    assert_eq!(after.changed_objects(&before), keys([new]));
}

#[test]
fn objects_with_another_compiled_result_have_changed() {
    let mut world = world();
    let before = first(&world);
    let other = catalogue("acme", "files", &["read", "write"]);
    world.run(Command::RecordDefinitions(other)).unwrap();
    let probed = published(&world, &before);
    let server = name("acme", "files");
    let expected = keys([
        ObjectKey::Definitions(server.clone()),
        ObjectKey::Server(server),
        ObjectKey::Gateway(name("acme", "one")),
    ]);
    assert_eq!(probed.changed_objects(&before), expected);

    let one = ObjectKey::Gateway(name("acme", "one"));
    let delete = Command::Delete {
        key: one.clone(),
        expected: None,
    };
    world.run(delete).unwrap();
    let after = published(&world, &probed);
    let changed = after.changed_objects(&probed).unwrap();
    // The token is shown with the problem that its gateway is gone.
    assert!(changed.contains(&one), "{changed:?}");
    assert!(
        changed.contains(&ObjectKey::Token(name("acme", "limited"))),
        "{changed:?}"
    );
    assert!(!changed.contains(&ObjectKey::Gateway(name("acme", "two"))));
}

/// The gateway is shown with the reason, which is no input of compile.
#[test]
fn a_failed_first_probe_changes_the_gateway_that_waits_for_it() {
    let mut world = world();
    let before = first(&world);
    let mut failed = catalogue("acme", "mail", &[]);
    failed.era = None;
    failed.protocol_version = String::new();
    failed.problem = Some(ProbeProblem::failed("refused", ProbeFailure::Unreachable));
    world.run(Command::RecordDefinitions(failed)).unwrap();
    let after = published(&world, &before);
    let changed = after.changed_objects(&before).unwrap();
    assert!(
        changed.contains(&ObjectKey::Gateway(name("acme", "two"))),
        "{changed:?}"
    );
    assert!(!changed.contains(&ObjectKey::Gateway(name("acme", "one"))));
}

#[test]
fn states_of_different_origin_cannot_be_compared() {
    let (one, other) = (first(&world()), first(&world()));
    assert_eq!(one.changed_objects(&other), None);
}
