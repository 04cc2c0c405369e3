//! Tests of the fixtures: an empty configuration would make every benchmark look fast.

use toolgate_control_core::recompile;

use super::{HASH, Size, World};

const SIZE: Size = Size {
    servers: 12,
    tools: 5,
    gateways: 3,
};

#[test]
fn a_world_has_what_its_size_says() {
    let world = World::new(SIZE).unwrap();
    assert_eq!(world.view.counts(), [4, 12, 1]);
    assert_eq!(world.view.gateway("main").unwrap().tools().len(), 50);
    assert!(world.view.token(&HASH).is_some());
}

#[test]
fn a_changed_world_lacks_one_tool() {
    let world = World::new(SIZE).unwrap();
    let next = recompile(&world.changed(SIZE).unwrap(), &world.compiled).snapshot;
    let delta = next.since(&world.compiled.snapshot.digests());
    assert!(!delta.is_empty());
    assert_eq!(world.compiled.snapshot.apply(&delta).entries, next.entries);
}
