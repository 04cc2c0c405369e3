//! Tests of gateways whose records cannot be read and have no earlier form.

use toolgate_model::{AllowList, Gateway, GatewayClaim, Slug, Uid};

use super::*;
use crate::{
    ControlObject, ObjectKey,
    kind::StateKind as _,
    state::{ObjectEvent, StoreState},
};

/// Returns the state of a control plane that starts while the record of the gateway `tools` cannot be read.
fn with_unreadable_gateway(world: &StoreFixture) -> StoreState {
    let key = Gateway::key(name("acme", "tools")).to_string();
    let mut state = StoreState::default();
    let events = world.entries.iter().map(|(entry, (modified, object))| {
        let is_poisoned = *entry == key;
        ObjectEvent::Put {
            key: entry.clone(),
            modified: *modified,
            object: if is_poisoned {
                Err("truncated".to_owned())
            } else {
                Ok(object.clone())
            },
        }
    });
    state.apply(events, world.revision);
    assert_eq!(state.quarantine.len(), 1);
    state
}

fn resource<'a>(
    compiled: &'a CompileOutput,
    kind: SnapshotResourceKind,
    id: &str,
) -> Option<&'a SnapshotResource> {
    let entry = compiled.snapshot.entries.get(&key(kind, id))?;
    Some(&entry.resource)
}

fn admitted(compiled: &CompileOutput, token: &str) -> AllowList<Slug> {
    match resource(compiled, SnapshotResourceKind::Token, token) {
        Some(SnapshotResource::Token(token)) => token.gateways.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_gateway_whose_record_cannot_be_read_is_denied_and_not_deleted() {
    let mut world = world(&[("one", &["a"])]);
    for id in ["tools", "other"] {
        let gateway = gateway("acme", id, PrefixMode::Always, &["one"]);
        world.create(OperatorObject::Gateway(gateway)).unwrap();
    }
    let mut token = token("acme", "limited");
    token.gateways = AllowList::of(vec![slug("tools")]);
    world.create(OperatorObject::Token(token)).unwrap();
    let mut state = with_unreadable_gateway(&world);
    let compiled = compile(&state);
    let Some(SnapshotResource::Gateway(found)) =
        resource(&compiled, SnapshotResourceKind::Gateway, "tools")
    else {
        panic!("clients are told that the gateway does not exist");
    };
    assert!(found.is_unreadable() && found.tools.is_empty());
    assert_eq!(exposed(&compiled, "other"), ["one__a"]);
    // The token that was given the gateway reaches the answer.
    let only = AllowList::Only(vec![slug("tools")]);
    assert_eq!(admitted(&compiled, "limited"), only);

    // A claim of another gateway of this name admits it no more.
    let claim = ControlObject::GatewayId(GatewayClaim {
        org: slug("acme"),
        uid: Some(Uid::of(&"another")),
    });
    let claim_key = ObjectKey::GatewayId(slug("tools")).to_string();
    let put = |modified, object| ObjectEvent::Put {
        key: claim_key.clone(),
        modified,
        object: Ok(object),
    };
    let at = world.revision + 1;
    state.apply([put(at, claim)], at);
    let next = recompile(&state, &compiled);
    assert_eq!(next.snapshot, compile(&state).snapshot);
    assert_eq!(admitted(&next, "limited"), AllowList::Only(Vec::new()));

    // A deleted gateway is gone.
    let gone = [
        Gateway::key(name("acme", "tools")).to_string(),
        claim_key.clone(),
    ];
    let gone = gone.map(|key| ObjectEvent::Delete {
        key,
        revision: at + 1,
    });
    state.apply(gone, at + 1);
    let last = recompile(&state, &next);
    assert_eq!(last.snapshot, compile(&state).snapshot);
    assert!(resource(&last, SnapshotResourceKind::Gateway, "tools").is_none());
}

#[test]
fn garbage_at_the_key_of_a_gateway_that_never_was_is_no_gateway() {
    let mut world = world(&[("one", &["a"])]);
    let at = world.revision + 1;
    let poison = ObjectEvent::Put {
        key: Gateway::key(name("acme", "never")).to_string(),
        modified: at,
        object: Err("truncated".to_owned()),
    };
    world.state.apply([poison], at);
    let compiled = compile(&world.state);
    assert!(resource(&compiled, SnapshotResourceKind::Gateway, "never").is_none());
}

#[test]
fn the_claim_of_a_gateway_id_names_the_gateway_that_holds_it() {
    let mut world = world(&[("one", &["a"])]);
    let gateway = gateway("acme", "tools", PrefixMode::Always, &["one"]);
    let claim = |world: &StoreFixture| {
        let claim = world.state.gateway_ids.get(&slug("tools")).unwrap();
        let stored = world.state.gateways.get(&name("acme", "tools")).unwrap();
        assert_eq!(claim.uid, Some(stored.meta.uid));
        claim.uid
    };
    world
        .create(OperatorObject::Gateway(gateway.clone()))
        .unwrap();
    let first = claim(&world);
    let key = Gateway::key(name("acme", "tools"));
    let expected = None;
    world.run(Command::Delete { key, expected }).unwrap();
    assert!(!world.state.gateway_ids.contains(&slug("tools")));
    world.create(OperatorObject::Gateway(gateway)).unwrap();
    assert_ne!(claim(&world), first);
}
