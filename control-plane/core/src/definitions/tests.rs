//! Tests of the limits of definitions, and of their parts: the lists survive, and a change of one definition changes few
//! parts.

use std::collections::BTreeSet;

use toolgate_model::{ProbeFailure, ProbeProblem};

use super::*;
use crate::{
    Command, ObjectEvent, ObjectKey, OperatorObject,
    fixture::{StoreFixture, catalogue, name, server},
    port::MAX_TXN_OPS,
};

fn sized(name: String, bytes: usize) -> Definition {
    let json = format!(
        "{{\"name\":\"{name}\",\"description\":\"{}\"}}",
        "x".repeat(bytes)
    );
    Definition {
        digest: Digest::of_bytes(json.as_bytes()),
        name,
        json: json.into(),
    }
}

/// Definitions of the server `one` of `acme` with `count` tools of `bytes`.
fn large(count: usize, bytes: usize) -> ServerDefinitions {
    let tool = |n| sized(format!("t{n:05}"), bytes);
    ServerDefinitions {
        tools: (0..count).map(tool).collect(),
        prompts: vec![sized("p".to_owned(), 10)],
        resources: vec![sized("memo:1".to_owned(), 10)],
        templates: vec![sized("memo:{n}".to_owned(), 10)],
        ..catalogue("acme", "one", &[])
    }
}

fn world() -> StoreFixture {
    let mut world = StoreFixture::with(&["acme"]);
    let one = server("acme", "one", None);
    world.create(OperatorObject::Server(one)).unwrap();
    world
}

/// Records definitions as the prober does: until the definitions themselves are written. Returns the number of changes.
fn record(world: &mut StoreFixture, definitions: &ServerDefinitions) -> usize {
    for count in 1..=200 {
        let change = world
            .run(Command::RecordDefinitions(definitions.clone()))
            .unwrap();
        assert!(change.puts.len().max(change.guards.len()) <= MAX_TXN_OPS);
        assert!(change.puts.len() + change.deletes.len() <= MAX_TXN_OPS);
        let parts = change.puts.iter().filter(|(key, _)| is_part(key));
        assert!(parts.count() <= 1, "one change is one request of the store");
        if !change.is_preparation() {
            return count;
        }
    }
    panic!("the definitions are never written");
}

fn is_part(key: &ObjectKey) -> bool {
    matches!(key, ObjectKey::DefinitionsPart(..))
}

fn stored(world: &StoreFixture) -> ServerDefinitions {
    let found = world.state.definitions.get(&name("acme", "one")).unwrap();
    (*found.object).clone()
}

fn part_keys(world: &StoreFixture) -> Vec<String> {
    let parts = world
        .entries
        .keys()
        .filter(|key| key.contains("catalogue-parts"));
    parts.cloned().collect()
}

#[test]
fn definitions_that_fit_one_record_have_no_parts() {
    assert!(parts_of(&large(600, 1_200)).is_empty());
    assert!(!parts_of(&large(900, 1_200)).is_empty());
}

#[test]
fn parts_fit_a_value_and_make_up_the_lists_again() {
    for (count, bytes) in [
        (1_000, 3_000),
        (10_000, 1_000),
        (150, 256 * 1024),
        (5_000, 100),
    ] {
        let mut whole = large(count, bytes);
        let _omitted = cut_to_limits(&mut whole);
        let parts = parts_of(&whole);
        assert!(
            parts.len() <= crate::limits::PARTS_SWEEP_BATCH,
            "{}",
            parts.len()
        );
        let mut state = StoreState::default();
        let events = parts.iter().map(|(digest, part)| ObjectEvent::Put {
            key: ObjectKey::DefinitionsPart(whole.server.clone(), *digest).to_string(),
            modified: 1,
            object: Ok(ControlObject::DefinitionsPart(Arc::clone(part))),
        });
        state.apply(events, 1);
        for (_, part) in &parts {
            let lists = [&part.tools, &part.prompts, &part.resources, &part.templates];
            let size: usize = lists.into_iter().flatten().map(stored_size).sum();
            assert!(size <= MAX_PART_BYTES, "{size}");
        }
        let mut manifest = whole.clone();
        manifest.clear_lists();
        manifest.parts = parts.iter().map(|(digest, _)| *digest).collect();
        whole.parts.clone_from(&manifest.parts);
        let object = ControlObject::Definitions(Arc::new(manifest));
        let assembled = state.assembled(object).unwrap();
        if !parts.is_empty() {
            assert_eq!(assembled, ControlObject::Definitions(Arc::new(whole)));
        }
    }
}

#[test]
fn a_changed_definition_changes_few_parts_wherever_it_is() {
    let before = large(4_000, 1_000);
    let digests = |it: &ServerDefinitions| -> BTreeSet<Digest> {
        parts_of(it).into_iter().map(|(digest, _)| digest).collect()
    };
    let known = digests(&before);
    for at in [0, 2_000, 3_999] {
        let mut changed = before.clone();
        changed.tools[at] = sized(changed.tools[at].name.clone(), 900);
        let mut inserted = before.clone();
        inserted.tools.insert(at, sized("new".to_owned(), 1_000));
        for next in [changed, inserted] {
            let new = digests(&next).difference(&known).count();
            assert!(
                (1..=4).contains(&new),
                "{new} of {} parts at {at}",
                known.len()
            );
        }
    }
}

#[test]
fn lists_are_cut_at_their_limits_and_what_is_left_out_is_counted() {
    let mut many = large(limits::SERVER_TOOLS + 1, 10);
    let [omitted] = cut_to_limits(&mut many).try_into().unwrap();
    assert_eq!((many.tools.len(), many.prompts.len()), (10_000, 1));
    let said = omitted.to_string();
    assert!(
        said.starts_with("10,000 of 10,001 tools: limit of 10,000 tools of a server; "),
        "{said}"
    );

    let mut heavy = large(200, 200_000);
    let omitted = cut_to_limits(&mut heavy);
    let size: usize = heavy.tools.iter().map(stored_size).sum();
    let most = limits::SERVER_DEFINITIONS_BYTES;
    assert!(size <= most && size + 201_000 > most, "{size}");
    let said = omitted[0].to_string();
    assert!(
        said.contains(" of 200 tools: limit of 32 MiB for the definitions"),
        "{said}"
    );
    let mut fits = large(10_000, 1_000);
    assert_eq!(cut_to_limits(&mut fits), []);
}

#[test]
fn large_definitions_are_stored_in_parts_and_served_as_a_whole() {
    let mut world = world();
    let whole = large(4_000, 1_000);
    let steps = record(&mut world, &whole);
    assert!(steps > 5, "{steps}");
    assert_eq!(stored(&world).lists(), whole.lists());
    let parts = part_keys(&world);
    assert_eq!(parts.len(), stored(&world).parts.len());
    // The listing of a control plane that starts has the same content.
    let restarted = StoreState::from_listing(world.listing(), world.revision);
    assert_eq!(restarted.definitions, world.state.definitions);

    // A change replaces the parts that it changes.
    let mut changed = whole.clone();
    changed.tools[2_000] = sized("t02000".to_owned(), 900);
    let steps = record(&mut world, &changed);
    assert!(steps <= 5, "{steps}");
    assert_eq!(stored(&world).lists(), changed.lists());
    assert_eq!(part_keys(&world).len(), stored(&world).parts.len());
    assert_ne!(part_keys(&world), parts);

    // Small definitions need no parts any more.
    record(&mut world, &catalogue("acme", "one", &["a"]));
    assert_eq!(part_keys(&world), Vec::<String>::new());
    assert_eq!(stored(&world).parts, Vec::<Digest>::new());
}

#[test]
fn a_failed_probe_keeps_the_parts() {
    let mut world = world();
    let whole = large(2_000, 1_000);
    record(&mut world, &whole);
    let parts = part_keys(&world);
    let mut failed = catalogue("acme", "one", &[]);
    let refused = ProbeProblem::failed("connection refused", ProbeFailure::Unreachable);
    failed.problem = Some(refused);
    assert_eq!(record(&mut world, &failed), 1);
    assert_eq!(
        (stored(&world).lists(), part_keys(&world)),
        (whole.lists(), parts)
    );
}

#[test]
fn parts_of_a_deleted_server_are_swept_by_later_changes() {
    let mut world = world();
    record(&mut world, &large(20_000, 100));
    let key = ObjectKey::Server(name("acme", "one"));
    world
        .run(Command::Delete {
            key,
            expected: None,
        })
        .unwrap();
    assert!(world.state.definitions.is_empty());
    for number in 0..5 {
        let other = server("acme", &format!("other-{number}"), None);
        world.create(OperatorObject::Server(other)).unwrap();
    }
    assert_eq!(part_keys(&world), Vec::<String>::new());
}

#[test]
fn a_part_that_another_writer_deletes_is_written_again() {
    let mut world = world();
    let (one, other) = (large(2_000, 1_000), large(2_100, 1_200));
    // The first writer has stored a part when the second one stores its definitions.
    world.run(Command::RecordDefinitions(one.clone())).unwrap();
    record(&mut world, &other);
    assert_eq!(part_keys(&world).len(), stored(&world).parts.len());
    record(&mut world, &one);
    assert_eq!(stored(&world).lists(), one.lists());
}

#[test]
fn definitions_whose_part_is_missing_keep_their_last_form_until_the_part_is_seen() {
    let mut world = world();
    record(&mut world, &catalogue("acme", "one", &["a"]));
    let mut behind = world.state.clone();
    record(&mut world, &large(2_000, 1_000));
    // The watch loses every part.
    let modified = world.revision;
    let key = ObjectKey::Definitions(name("acme", "one")).to_string();
    let mut manifest = stored(&world);
    manifest.clear_lists();
    let object = Ok(ControlObject::Definitions(Arc::new(manifest)));
    behind.apply(
        [ObjectEvent::Put {
            key: key.clone(),
            modified,
            object,
        }],
        modified,
    );
    let kept = behind.definitions.get(&name("acme", "one")).unwrap();
    assert_eq!(kept.tools.len(), 1);
    assert!(behind.quarantine[&key].reason.contains("missing"));
    let listing: Vec<_> = world
        .listing()
        .into_iter()
        .map(|mut entry| {
            if let Some(Ok(ControlObject::Definitions(it))) = &entry.object {
                let mut manifest = (**it).clone();
                manifest.clear_lists();
                entry.object = Some(Ok(ControlObject::Definitions(Arc::new(manifest))));
            }
            entry
        })
        .collect();
    let (repaired, _) = behind.relist(listing, modified);
    assert_eq!(repaired.definitions, world.state.definitions);
    assert!(repaired.quarantine.is_empty());
}
