//! Tests that the state matches the store for every order of events, and that invalid entries are isolated.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use crate::{
    Command, ControlObject, ListedObject, ObjectEvent, ObjectKey, ObjectKind, OperatorObject,
    StoreState, VersionMarker,
    fixture::{
        StoreFixture, catalogue, definition, gateway, name, organization, server, slug, token,
    },
};
use toolgate_model::{DefinitionsPart, GatewayClaim, PrefixMode, Timestamp};

fn world() -> StoreFixture {
    let mut world = StoreFixture::with(&["acme"]);
    world
        .create(OperatorObject::Server(server("acme", "files", None)))
        .unwrap();
    world
        .run(Command::RecordDefinitions(catalogue(
            "acme",
            "files",
            &["read"],
        )))
        .unwrap();
    let tools = gateway("acme", "tools", PrefixMode::Always, &["files"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    world
        .create(OperatorObject::Token(token("acme", "ci")))
        .unwrap();
    world
}

fn poison(key: &str, modified: u64) -> ObjectEvent {
    ObjectEvent::Put {
        key: key.to_owned(),
        modified,
        object: Err("truncated".to_owned()),
    }
}

#[test]
fn a_duplicated_event_changes_nothing() {
    let mut world = world();
    let before = world.state.clone();
    let changed = world.state.apply(world.last.clone(), world.revision);
    assert_eq!(changed, 0);
    assert_eq!(world.state, before);
}

#[test]
fn an_old_write_does_not_restore_a_deleted_object() {
    let mut world = world();
    let key = ObjectKey::Token(name("acme", "ci"));
    let old = ObjectEvent::Put {
        key: key.to_string(),
        modified: world.modified(&key),
        object: Ok(world.state.object(&key).unwrap()),
    };
    world
        .run(Command::Delete {
            key: key.clone(),
            expected: None,
        })
        .unwrap();
    assert_eq!(world.state.apply([old], world.revision), 0);
    assert!(world.state.object(&key).is_none());
}

#[test]
fn a_full_listing_repairs_events_lost_by_the_watch() {
    let mut world = world();
    let behind = world.state.clone();
    world
        .run(Command::Delete {
            key: ObjectKey::Token(name("acme", "ci")),
            expected: None,
        })
        .unwrap();
    world
        .create(OperatorObject::Server(server("acme", "mail", None)))
        .unwrap();
    let mut deaf = behind;
    deaf.apply([], world.revision);

    let (repaired, repairs) = deaf.relist(world.listing(), world.revision);
    assert_eq!(repaired, world.state);
    assert_eq!(repairs.missed_deletes, 1);
    // Missed: the server, the marker, and two entries of the version log.
    assert_eq!(repairs.missed_writes, 4);
    let (again, repairs) = repaired.relist(world.listing(), world.revision);
    assert_eq!(again, world.state);
    assert_eq!(repairs, super::ResyncStats::default());
}

#[test]
fn the_repair_of_a_missed_write_is_a_new_version() {
    let mut world = world();
    let mut lossy = world.state.clone();
    world
        .create(OperatorObject::Server(server("acme", "lost", None)))
        .unwrap();
    world
        .create(OperatorObject::Server(server("acme", "seen", None)))
        .unwrap();
    lossy.apply(world.last.clone(), world.revision);
    let published = lossy.version();
    // A key that is no compile input was written in the meantime.
    let later = world.revision + 1;
    lossy.apply([], later);

    let (repaired, _) = lossy.relist(world.listing(), later);
    assert!(repaired.servers.contains(&name("acme", "lost")));
    assert!(repaired.version() > published);
    assert!(!repaired.has_same_compile_inputs(&lossy));
    let (again, _) = repaired.relist(world.listing(), later);
    assert!(again.has_same_compile_inputs(&repaired));
}

#[test]
fn unchanged_listed_objects_are_not_decoded_again() {
    let world = world();
    let mut listing = world.listing();
    for entry in &mut listing {
        entry.object = None;
    }
    let (same, _) = world.state.relist(listing, world.revision);
    assert_eq!(same, world.state);
}

#[test]
fn an_undecodable_object_is_isolated() {
    let mut world = world();
    let before = world.state.clone();
    let next = world.revision + 1;
    let keys = [
        "/v1/desired/acme/gateway/poison",
        "/v1/nonsense",
        "not even a path",
    ];
    world.state.apply(keys.map(|key| poison(key, next)), next);
    assert_eq!(world.state.quarantine.len(), 3);
    assert_eq!(world.state.gateways, before.gateways);
    assert_eq!(world.state.tokens, before.tokens);

    let healed = keys.map(|key| ObjectEvent::Delete {
        key: key.to_owned(),
        revision: next + 1,
    });
    world.state.apply(healed, next + 1);
    assert!(world.state.quarantine.is_empty());
}

#[test]
fn an_object_under_the_wrong_key_is_poisoned() {
    let mut world = world();
    let other = world
        .state
        .object(&ObjectKey::Server(name("acme", "files")))
        .unwrap();
    for key in [
        "/v1/desired/acme/server/other",
        "/v1/desired/acme/gateway/files",
    ] {
        world.force(key, other.clone());
        assert!(world.state.quarantine.contains_key(key), "{key}");
    }
    assert!(!world.state.servers.contains(&name("acme", "other")));
}

#[test]
fn a_second_token_with_the_same_hash_is_poisoned_and_the_first_works() {
    let mut world = world();
    let mut thief = token("acme", "thief");
    thief.hash = token("acme", "ci").hash;
    let key = ObjectKey::Token(thief.name.clone()).to_string();
    world.force(&key, ControlObject::Token(thief.into()));
    assert!(world.state.quarantine.contains_key(&key));
    let found = world
        .state
        .token_by_hash(&token("acme", "ci").hash)
        .unwrap();
    assert_eq!(found.name, name("acme", "ci"));
}

#[test]
fn proxy_reports_do_not_advance_the_version() {
    let mut world = world();
    let (version, before) = (world.state.version(), world.state.clone());
    let next = world.revision + 1;
    let proxy = poison("/v1/observed/proxies/p1", next);
    world.state.apply([proxy], next);
    assert_eq!(world.state.version(), version);
    assert!(world.state.has_same_compile_inputs(&before));
    assert_eq!(world.state.revision(), next);
}

#[test]
fn a_lost_marker_does_not_lose_the_epoch() {
    let mut world = world();
    let next = world.revision + 1;
    let key = ObjectKey::Marker.to_string();
    world.state.apply(
        [ObjectEvent::Delete {
            key,
            revision: next,
        }],
        next,
    );
    assert_eq!(world.state.epoch(), 1);
}

#[test]
fn the_time_of_the_last_change_does_not_decrease() {
    let mut world = world();
    let (last, epoch) = (world.state.last_change(), world.state.epoch());
    // Another control plane, whose clock is behind, committed later.
    let marker = VersionMarker {
        epoch,
        last_change: Timestamp(1),
    };
    let key = ObjectKey::Marker.to_string();
    world.force(&key, ControlObject::Marker(marker));
    assert!(last > Timestamp(1));
    assert_eq!(world.state.last_change(), last);
    assert_eq!(world.state.version().revision, world.revision);
}

/// Write of a token by something else than a command, or its deletion, and whether the watch loses its event.
type LossyWrite = (u8, bool, bool);

fn apply_lossy(
    world: &mut StoreFixture,
    replica: &mut StoreState,
    write: LossyWrite,
) -> Option<(String, u64)> {
    let (id, is_put, is_lost) = write;
    let (name, revision) = (name("acme", &format!("t{id}")), world.revision + 1);
    let key = ObjectKey::Token(name.clone()).to_string();
    let event = match is_put {
        true => {
            let mut object = token("acme", name.id.as_str());
            object.meta.updated = Timestamp(revision);
            world.force(&key, ControlObject::Token(Arc::new(object)));
            let object = Ok(world.entries[&key].1.clone());
            let (key, modified) = (key.clone(), revision);
            ObjectEvent::Put {
                key,
                modified,
                object,
            }
        }
        false => {
            world.entries.remove(&key)?;
            world.revision = revision;
            let key = key.clone();
            let event = ObjectEvent::Delete { key, revision };
            world.state.apply([event.clone()], revision);
            event
        }
    };
    replica.apply((!is_lost).then_some(event), revision);
    (!is_put && !is_lost).then_some((key, revision))
}

proptest! {
    #[test]
    fn a_listing_repairs_a_state_that_has_advanced_beyond_it(
        before in proptest::collection::vec((0..6_u8, any::<bool>(), any::<bool>()), 0..20),
        between in proptest::collection::vec((0..6_u8, any::<bool>(), any::<bool>()), 0..5),
        after in proptest::collection::vec((0..6_u8, any::<bool>()), 0..10),
    ) {
        let mut world = world();
        let mut replica = world.state.clone();
        for write in before {
            apply_lossy(&mut world, &mut replica, write);
        }
        // The listing begins, and contains the writes up to its first page.
        let mut deleted = BTreeMap::new();
        for write in between {
            deleted.extend(apply_lossy(&mut world, &mut replica, write));
        }
        let (listing, listed_at) = (world.listing(), world.revision);
        for (id, is_put) in after {
            deleted.extend(apply_lossy(&mut world, &mut replica, (id, is_put, false)));
        }
        let (repaired, _) = replica.relist_meanwhile(listing, listed_at, &deleted);
        let whole = StoreState::from_listing(world.listing(), world.revision);
        prop_assert_eq!(&repaired.tokens, &whole.tokens);
        prop_assert_eq!(repaired.revision(), world.revision);
        for key in world.entries.keys() {
            prop_assert_eq!(repaired.mod_revision(key), whole.mod_revision(key), "{}", key);
        }
        let listed_whole = replica.relist(world.listing(), world.revision).0;
        prop_assert_eq!(&listed_whole.tokens, &whole.tokens);
    }
}

#[test]
fn an_earlier_form_in_a_listing_does_not_replace_an_entry_that_the_watch_has_delivered() {
    let world = world();
    let known = world.state.clone();
    let key = ObjectKey::Gateway(name("acme", "later"));
    let later = gateway("acme", "later", PrefixMode::Always, &["files"]);
    let (form, unreadable) = (world.revision + 1, world.revision + 2);
    let listed = |mod_revision, object| ListedObject {
        key: key.to_string(),
        mod_revision,
        object: Some(object),
    };
    let earlier = listed(form, Ok(ControlObject::Gateway(Arc::new(later))));
    let mut listing = vec![earlier];
    listing.extend(world.listing());
    listing.push(listed(unreadable, Err("truncated".to_owned())));
    let mut followed = known.clone();
    followed.apply([poison(&key.to_string(), unreadable)], unreadable);
    let (repaired, _) = followed.relist_meanwhile(listing.clone(), unreadable, &BTreeMap::new());
    assert_eq!(repaired.mod_revision_at(&key), Some(unreadable));
    assert!(repaired.quarantined(&key).is_some());
    // Without the watch, the last readable form is kept.
    let (listed, _) = known.relist(listing, unreadable);
    assert_eq!(listed.mod_revision_at(&key), Some(unreadable));
    assert!(listed.quarantined(&key).is_some());
    assert!(listed.object(&key).is_some());
}

#[test]
fn only_the_parts_of_servers_that_do_not_exist_are_left_over() {
    let mut world = world();
    let part = |server: &str, tool: &str| {
        let server = name("acme", server);
        Arc::new(DefinitionsPart {
            tools: vec![definition(tool)],
            ..DefinitionsPart::empty(server)
        })
    };
    for n in 0..20 {
        let id = format!("server-{n}");
        let server = OperatorObject::Server(server("acme", &id, None));
        world.create(server).unwrap();
        for tool in ["a", "b"] {
            let command = Command::RecordDefinitionsPart(part(&id, tool));
            world.run(command).unwrap();
        }
    }
    let left = |state: &StoreState| state.left_over_parts().count();
    assert_eq!(
        (world.state.definitions_parts.len(), left(&world.state)),
        (40, 0)
    );
    let delete = |world: &mut StoreFixture, key: &ObjectKey| {
        world.revision += 1;
        let (key, revision) = (key.to_string(), world.revision);
        world.entries.remove(&key);
        world
            .state
            .apply([ObjectEvent::Delete { key, revision }], revision);
    };
    // By something else than a command.
    let gone = ObjectKey::Server(name("acme", "server-7"));
    delete(&mut world, &gone);
    assert_eq!(left(&world.state), 2);
    let listed = StoreState::from_listing(world.listing(), world.revision);
    assert_eq!(left(&listed), 2);
    // A server that cannot be read keeps its parts.
    world.force(
        &gone.to_string(),
        ControlObject::GatewayId(GatewayClaim {
            org: slug("acme"),
            uid: None,
        }),
    );
    assert_eq!(left(&world.state), 0);
    delete(&mut world, &gone);
    let change = world
        .create(OperatorObject::Token(token("acme", "next")))
        .unwrap();
    assert_eq!((change.deletes.len(), left(&world.state)), (2, 0));
}

#[test]
fn objects_are_indexed_by_organization() {
    let mut world = world();
    world
        .create(OperatorObject::Organization(organization("acm")))
        .unwrap();
    world
        .create(OperatorObject::Token(token("acm", "other")))
        .unwrap();
    let owned: Vec<ObjectKey> = world.state.owned_by(&slug("acme")).collect();
    assert_eq!(
        owned,
        [
            ObjectKey::Server(name("acme", "files")),
            ObjectKey::Gateway(name("acme", "tools")),
            ObjectKey::Token(name("acme", "ci")),
        ]
    );
}

#[test]
fn an_empty_listing_is_an_empty_state() {
    assert_eq!(
        StoreState::from_listing(Vec::<ListedObject>::new(), 0),
        StoreState::default()
    );
}

#[test]
fn a_write_copies_no_object_that_it_does_not_touch() {
    const TOKENS: usize = 500;
    let mut world = world();
    for n in 0..TOKENS {
        let token = token("acme", &format!("token-{n}"));
        world.create(OperatorObject::Token(token)).unwrap();
    }
    // References to an object: its share of a table counts one, however many clones of the table share it.
    let references = |state: &StoreState| -> usize {
        let tokens = state.tokens.iter();
        tokens
            .map(|(_, token)| Arc::strong_count(&token.object))
            .sum()
    };
    let before = references(&world.state);
    // A reader, such as the one of a published state, holds the state before each write.
    let mut readers = Vec::new();
    for n in 0..20 {
        readers.push(world.state.clone());
        let revoke = Command::RevokeToken(name("acme", &format!("token-{n}")));
        world.run(revoke).unwrap();
    }
    let copied = references(&world.state).saturating_sub(before);
    assert!(
        copied < readers.len() * 40,
        "20 writes to {TOKENS} tokens copied {copied} of them"
    );
    let revoked = |state: &StoreState| {
        let tokens = state.tokens.iter();
        tokens.filter(|(_, token)| token.revoked.is_some()).count()
    };
    for (n, reader) in readers.iter().enumerate() {
        assert_eq!(revoked(reader), n, "readers keep their state");
    }
}

#[test]
fn tokens_that_ended_are_found_among_the_changes_and_the_expiries() {
    let mut world = world();
    let mut short = token("acme", "short");
    short.expires = Some(Timestamp(5_000));
    for other in [short, token("acme", "revoked"), token("acme", "deleted")] {
        world.create(OperatorObject::Token(other)).unwrap();
    }
    let hash = |id: &str| token("acme", id).hash;
    let before = world.state.clone();
    let ended = |state: &StoreState, now| {
        let ended = state.tokens_ended_since(&before, Timestamp(2_000), Timestamp(now));
        ended.unwrap()
    };
    assert_eq!(ended(&world.state, 3_000), []);
    assert_eq!(ended(&world.state, 5_000), [hash("short")]);
    world
        .run(Command::RevokeToken(name("acme", "revoked")))
        .unwrap();
    let key = ObjectKey::Token(name("acme", "deleted"));
    world
        .run(Command::Delete {
            key,
            expected: None,
        })
        .unwrap();
    assert_eq!(
        ended(&world.state, 3_000),
        [hash("revoked"), hash("deleted")]
    );
    let removed: Vec<_> = world.state.removed_tokens(&before).copied().collect();
    assert_eq!(removed, [hash("deleted")]);
}

#[test]
fn objects_are_counted_by_kind_and_organization() {
    let mut world = world();
    world
        .create(OperatorObject::Organization(organization("other")))
        .unwrap();
    world
        .create(OperatorObject::Server(server("other", "files", None)))
        .unwrap();
    let count = |world: &StoreFixture, kind, org| world.state.count_of(kind, &slug(org));
    assert_eq!(count(&world, ObjectKind::Server, "acme"), 1);
    assert_eq!(count(&world, ObjectKind::Server, "other"), 1);
    assert_eq!(count(&world, ObjectKind::Gateway, "other"), 0);
    let key = ObjectKey::Server(name("other", "files"));
    // What cannot be read, and has no form that could, is not counted.
    world.state.apply(
        [poison(
            &ObjectKey::Server(name("other", "new")).to_string(),
            world.revision + 1,
        )],
        world.revision + 1,
    );
    assert_eq!(count(&world, ObjectKind::Server, "other"), 1);
    world.revision += 1;
    world
        .run(Command::Delete {
            key,
            expected: None,
        })
        .unwrap();
    assert_eq!(count(&world, ObjectKind::Server, "other"), 0);
    assert_eq!(
        world
            .state
            .gateways_of_server(&name("acme", "files"))
            .count(),
        1
    );
}

#[test]
fn the_owner_of_a_gateway_id_is_the_one_of_its_claim_and_otherwise_the_first_organization() {
    let mut world = world();
    let owners = |world: &StoreFixture| -> Vec<&str> {
        let orgs = ["aaa", "acme", "zzz"];
        let owns = |org: &&str| world.state.owns_gateway_id(&name(org, "tools"));
        orgs.into_iter().filter(owns).collect()
    };
    for org in ["zzz", "aaa"] {
        world.force_gateway(gateway(org, "tools", PrefixMode::Always, &[]));
    }
    assert_eq!(owners(&world), ["acme"], "it made the gateway with a claim");
    let claim = ObjectKey::GatewayId(slug("tools")).to_string();
    let revision = world.revision + 1;
    let deleted = ObjectEvent::Delete {
        key: claim,
        revision,
    };
    world.state.apply([deleted], revision);
    assert_eq!(owners(&world), ["aaa"]);
}
