//! Property test of the guards: after any commits of another control plane, a change that is committed would have been
//! accepted on the latest state. Commits therefore have the effect of decisions made one after another.

use proptest::prelude::*;
use toolgate_model::{AllowList, ObjectName, ServerBinding};

use super::random::{IDS, ORGS, one_of, some_object};
use crate::{
    Command, ObjectKey, OperatorObject, StoreState, decide,
    fixture::{StoreFixture, catalogue, context, credential, gateway, name, server, slug, token},
    limits,
    port::MAX_TXN_OPS,
};

/// Command whose expected revision is that of the state that it is decided on.
#[derive(Debug, Clone)]
enum ConcurrentCommand {
    Create(OperatorObject),
    Update(OperatorObject),
    /// Replaces the bindings of a gateway.
    Rebind(ObjectName, Vec<&'static str>),
    Delete(ObjectKey),
    Revoke(ObjectName),
    BumpEpoch,
}

fn some_name() -> impl Strategy<Value = ObjectName> {
    (one_of(ORGS), one_of(IDS)).prop_map(|(org, id)| name(org, id))
}

fn some_listing_token() -> impl Strategy<Value = OperatorObject> {
    let gateways = proptest::sample::subsequence(IDS, 0..3);
    (some_name(), gateways).prop_map(|(name, gateways)| {
        let mut it = token(name.org.as_str(), name.id.as_str());
        it.gateways = AllowList::of(gateways.into_iter().map(slug).collect());
        OperatorObject::Token(it)
    })
}

fn some_command() -> impl Strategy<Value = ConcurrentCommand> {
    let object = || prop_oneof![4 => some_object(), 1 => some_listing_token()];
    let servers = proptest::sample::subsequence(IDS, 0..3);
    prop_oneof![
        6 => object().prop_map(ConcurrentCommand::Create),
        4 => object().prop_map(ConcurrentCommand::Update),
        4 => (some_name(), servers).prop_map(|(name, ids)| ConcurrentCommand::Rebind(name, ids)),
        5 => object().prop_map(|it| ConcurrentCommand::Delete(it.key())),
        1 => some_name().prop_map(ConcurrentCommand::Revoke),
        1 => Just(ConcurrentCommand::BumpEpoch),
    ]
}

fn command_on(state: &StoreState, command: ConcurrentCommand) -> Option<Command> {
    Some(match command {
        ConcurrentCommand::Create(object) => Command::Create(object),
        ConcurrentCommand::Update(object) => {
            let expected = state.mod_revision_at(&object.key())?;
            Command::Update { object, expected }
        }
        ConcurrentCommand::Rebind(name, ids) => {
            let stored = state.gateways.get(&name)?;
            let mut object = (*stored.object).clone();
            let bindings = ids.into_iter().map(|id| ServerBinding::all(slug(id)));
            object.bindings = bindings.collect();
            let (object, expected) = (OperatorObject::Gateway(object), stored.mod_revision);
            Command::Update { object, expected }
        }
        ConcurrentCommand::Delete(key) => Command::Delete {
            key,
            expected: None,
        },
        ConcurrentCommand::Revoke(name) => Command::RevokeToken(name),
        ConcurrentCommand::BumpEpoch => Command::BumpEpoch,
    })
}

/// Returns the references to objects that do not exist.
fn dangling_references(state: &StoreState) -> Vec<String> {
    let mut dangling: Vec<String> = state.orphans().map(|key| key.to_string()).collect();
    for (name, gateway) in state.gateways.iter() {
        let servers = gateway.bindings.iter();
        let servers = servers.map(|it| ObjectName::new(name.org.clone(), it.server.clone()));
        let gone = servers.filter(|server| !state.servers.contains(server));
        dangling.extend(gone.map(|server| format!("{name} binds {server}")));
    }
    for (name, server) in state.servers.iter() {
        let credential = server.credential.iter();
        let credential = credential.map(|id| ObjectName::new(name.org.clone(), id.clone()));
        let gone = credential.filter(|credential| !state.credentials.contains(credential));
        dangling.extend(gone.map(|credential| format!("{name} has {credential}")));
    }
    dangling
}

/// A deployment in which most commands are accepted.
fn world() -> StoreFixture {
    let mut world = StoreFixture::with(&["aa"]);
    let objects = [
        OperatorObject::Credential(credential("aa", "x")),
        OperatorObject::Credential(credential("aa", "y")),
        OperatorObject::Server(server("aa", "x", Some("x"))),
        OperatorObject::Server(server("aa", "y", None)),
    ];
    for object in objects {
        world.create(object).unwrap();
    }
    for (id, tools) in [("x", &["t1", "t2"][..]), ("y", &["t2", "t3"])] {
        let seen = catalogue("aa", id, tools);
        world.run(Command::RecordDefinitions(seen)).unwrap();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_change_that_is_committed_would_be_accepted_on_the_latest_state(
        commands in proptest::collection::vec((some_command(), 0..4_usize), 1..40),
    ) {
        let mut world = world();
        let mut states = vec![world.state.clone()];
        for (number, (command, lag)) in commands.into_iter().enumerate() {
            let base = states[states.len().saturating_sub(1 + lag)].clone();
            let Some(command) = command_on(&base, command) else { continue };
            let context = context(1_000 + number as u64);
            let Ok(change) = decide(&base, &command, &context) else { continue };
            let latest = world.state.clone();
            if change.is_empty() || !world.commit_decided_on(&base, &change) {
                continue;
            }
            let again = decide(&latest, &command, &context);
            prop_assert!(again.is_ok(), "{command:?} was committed, and is {again:?}");
            prop_assert_eq!(dangling_references(&world.state), Vec::<String>::new());
            prop_assert!(world.state.epoch() >= latest.epoch());
            prop_assert_eq!(world.state.history.len(), latest.history.len() + 1, "no entry is overwritten");
            states.push(world.state.clone());
        }
        prop_assert_eq!(&StoreState::from_listing(world.listing(), world.revision).epoch(), &world.state.epoch());
    }
}

/// Decides creations of different objects on the same state.
fn decided_at_once(state: &StoreState, objects: &[OperatorObject]) -> Vec<crate::Change> {
    let decide_on = |object: &OperatorObject| {
        let command = Command::Create(object.clone());
        decide(state, &command, &context(5_000)).unwrap()
    };
    objects.iter().map(decide_on).collect()
}

#[test]
fn changes_of_different_objects_that_are_decided_at_the_same_time_are_all_committed() {
    let mut world = world();
    let base = world.state.clone();
    let mut objects = Vec::new();
    for n in 0..16 {
        let id = |kind: &str| format!("{kind}{n}");
        objects.push(OperatorObject::Server(server(
            "aa",
            &id("server"),
            Some("x"),
        )));
        objects.push(OperatorObject::Token(token("aa", &id("token"))));
        objects.push(OperatorObject::Credential(credential(
            "aa",
            &id("credential"),
        )));
        let mode = toolgate_model::PrefixMode::Always;
        let bound = gateway("aa", &id("gateway"), mode, &["x", "y"]);
        objects.push(OperatorObject::Gateway(bound));
    }
    let entries = world.state.history.len();
    for change in decided_at_once(&base, &objects) {
        assert!(
            world.commit_decided_on(&base, &change),
            "{:?}",
            change.subject
        );
    }
    assert_eq!(world.state.history.len(), entries + objects.len());
    let uids: std::collections::BTreeSet<_> = world
        .state
        .tokens
        .iter()
        .map(|(_, it)| it.meta.uid)
        .collect();
    assert_eq!(uids.len(), 16);
}

#[test]
fn a_change_tolerates_as_many_commits_as_cannot_exceed_a_limit() {
    let (state, context) = (StoreState::default(), context(1));
    let mut draft = super::super::ChangeBuilder::new(&state, &context);
    let mut tolerated = |found: usize| {
        draft.guard_count(found, limits::OBJECTS_PER_KIND);
        draft.tolerated_commits
    };
    let limit = limits::OBJECTS_PER_KIND;
    let most = (limit - 1) / MAX_TXN_OPS;
    assert_eq!(tolerated(0), Some(most as u64));
    // Each commit creates at most as many objects as a transaction has operations.
    assert_eq!(tolerated(limit - 1 - MAX_TXN_OPS), Some(1));
    assert_eq!(tolerated(limit - MAX_TXN_OPS), Some(0));
    assert_eq!(tolerated(limit - 1), Some(0));
}
