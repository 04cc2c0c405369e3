//! Tests of servers that try to take the exposed names of other servers (threat MC-01).

use std::collections::BTreeSet;

use super::*;

/// Returns two hundred tool names, some of which imitate the prefixed names of another server.
fn names(of: &str) -> Vec<String> {
    let mut all: Vec<String> = (0..150).map(|n| format!("tool{n}")).collect();
    all.extend((0..20).map(|n| format!("github__tool{n}")));
    all.extend((0..10).map(|n| format!("{of}___tool{n}")));
    all.extend((0..10).map(|n| format!("{}{n}", "x".repeat(120))));
    all.extend(
        [
            "_", "__", "a__b__c", "__tool1", "github", "-", ".", "..", "TOOL1", "Tool1",
        ]
        .map(str::to_owned),
    );
    all
}

fn served(order: [&str; 3], mode: PrefixMode) -> (Vec<(String, String, String)>, Vec<ProblemKind>) {
    let mut world = StoreFixture::with(&["acme"]);
    for id in order {
        world
            .create(OperatorObject::Server(server("acme", id, None)))
            .unwrap();
        let names = names(id);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        world
            .run(Command::RecordDefinitions(catalogue("acme", id, &names)))
            .unwrap();
    }
    let made = gateway("acme", "g", PrefixMode::Always, &order);
    world.create(OperatorObject::Gateway(made)).unwrap();
    let compiled = compile(&world.state);
    let entry = compiled
        .snapshot
        .entries
        .get(&key(SnapshotResourceKind::Gateway, "g"))
        .unwrap();
    let SnapshotResource::Gateway(gateway) = &*entry.resource else {
        panic!("{mode:?}")
    };
    let tools = gateway.tools.iter();
    let map = tools.map(|t| (t.exposed.clone(), t.server.to_string(), t.original.clone()));
    (map.collect(), kinds(&compiled, "g"))
}

/// Three servers with the same two hundred tool names: exposed names and tools map one to one in every order of the
/// bindings, and every missing tool is reported.
#[test]
fn mc_01_six_hundred_colliding_tools_get_unique_names_in_a_stable_order() {
    let (map, problems) = served(["github", "git-hub", "other"], PrefixMode::Always);
    let exposed: BTreeSet<&String> = map.iter().map(|(exposed, ..)| exposed).collect();
    let owned: BTreeSet<_> = map.iter().map(|(_, server, own)| (server, own)).collect();
    assert_eq!(
        (exposed.len(), owned.len()),
        (map.len(), map.len()),
        "injective both ways"
    );
    assert_eq!(map.len() + problems.len(), 600, "{problems:?}");
    assert_eq!(map.len(), 600);
    let fits = |name: &str| {
        name.len() <= 64
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    for (exposed, server, own) in &map {
        assert!(fits(exposed), "{exposed}");
        if exposed.starts_with("github__") {
            assert_eq!(server, "github", "{exposed} is {own} of {server}");
        }
    }
    for order in [
        ["other", "github", "git-hub"],
        ["git-hub", "other", "github"],
    ] {
        assert_eq!(served(order, PrefixMode::Always).0, map);
    }
}
