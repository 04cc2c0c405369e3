//! Property tests: random commands, some of them on stale revisions, against an in-memory store fixture.

use std::collections::BTreeSet;

use proptest::prelude::*;
use toolgate_model::{
    BindingSelection, DriftPolicy, Gateway, ObjectName, PrefixMode, ResourceKey, Server,
    ServerBinding, Snapshot, SnapshotResource, SnapshotResourceKind, Timestamp, ToolListing,
    snapshot::SnapshotEntry,
};

use crate::{
    Command, CompileOutput, ObjectKey, OperatorObject, ProblemKind, Rejection, StoreState, compile,
    fixture::{
        StoreFixture, catalogue, credential, definition, gateway, name, organization, server, slug,
        token,
    },
    recompile,
};

pub(super) const ORGS: &[&str] = &["aa", "bb"];
pub(super) const IDS: &[&str] = &["x", "y", "z"];
const TOOLS: &[&str] = &["t1", "t2", "t3", "t 4", "run_tool"];

/// Command whose expected revision is chosen when it runs.
#[derive(Debug, Clone)]
enum HistoryStep {
    Create(OperatorObject),
    Update(OperatorObject, bool),
    Delete(ObjectKey, bool),
    Other(Command),
    /// Replaces the bindings of a gateway.
    Rebind(ObjectName, Vec<ServerBinding>),
    /// Repeats the previous delivery.
    Duplicate,
}

pub(super) fn one_of(items: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(items)
}

fn some_name() -> impl Strategy<Value = ObjectName> {
    (one_of(ORGS), one_of(IDS)).prop_map(|(org, id)| name(org, id))
}

fn some_server() -> impl Strategy<Value = Server> {
    let drift = prop_oneof![9 => Just(DriftPolicy::Follow), 1 => Just(DriftPolicy::Pin)];
    (some_name(), proptest::option::of(one_of(IDS)), drift).prop_map(|(name, credential, drift)| {
        let mut it = server(name.org.as_str(), name.id.as_str(), credential);
        it.drift = drift;
        it
    })
}

fn some_gateway() -> impl Strategy<Value = Gateway> {
    let mode = proptest::sample::select(vec![
        PrefixMode::Always,
        PrefixMode::Single,
        PrefixMode::Never,
    ]);
    let names = || {
        prop_oneof![
            Just(BindingSelection::All),
            proptest::sample::subsequence(TOOLS, 0..3).prop_map(|names| BindingSelection::Only(
                names.into_iter().map(str::to_owned).collect()
            )),
        ]
    };
    let shapes = proptest::collection::btree_map(one_of(TOOLS), some_shape(), 0..3);
    let binding = (one_of(IDS), names(), names(), any::<bool>(), shapes);
    let binding = binding.prop_map(
        |(server, tools, prompts, resources, shapes)| ServerBinding {
            server: slug(server),
            tools,
            prompts,
            resources,
            shapes: shapes
                .into_iter()
                .map(|(tool, shape)| (tool.to_owned(), shape))
                .collect(),
            timeout: None,
            rate_limits: Vec::new(),
        },
    );
    let bindings = proptest::collection::vec(binding, 0..4);
    let listing = proptest::sample::select(vec![ToolListing::All, ToolListing::Progressive]);
    (some_name(), mode, listing, bindings).prop_map(|(name, mode, listing, bindings)| {
        let mut it = gateway(name.org.as_str(), name.id.as_str(), mode, &[]);
        it.listing = listing;
        it.bindings = bindings;
        it
    })
}

/// Generates shapes with aliases taken from existing tool names, so that they collide, and sometimes an invalid
/// alias.
fn some_shape() -> impl Strategy<Value = toolgate_model::ToolShapeSpec> {
    let alias = proptest::option::of(prop_oneof![8 => one_of(TOOLS), 1 => Just("no name")]);
    let value = prop_oneof![4 => Just("1"), 1 => Just("{")];
    let fixed = proptest::collection::btree_map(one_of(&["a", "b"]), value, 0..2);
    let hidden = proptest::sample::subsequence(&["b", "c"][..], 0..2);
    (alias, fixed, hidden).prop_map(|(alias, fixed, hidden)| toolgate_model::ToolShapeSpec {
        alias: alias.map(str::to_owned),
        description: None,
        fixed: fixed
            .into_iter()
            .map(|(name, json)| (name.to_owned(), json.to_owned()))
            .collect(),
        hidden: hidden.into_iter().map(str::to_owned).collect(),
    })
}

pub(super) fn some_object() -> impl Strategy<Value = OperatorObject> {
    prop_oneof![
        1 => one_of(ORGS).prop_map(|org| OperatorObject::Organization(organization(org))),
        4 => some_server().prop_map(OperatorObject::Server),
        6 => some_gateway().prop_map(OperatorObject::Gateway),
        2 => some_name().prop_map(|n| OperatorObject::Credential(credential(n.org.as_str(), n.id.as_str()))),
        2 => (some_name(), proptest::option::of(1u64..200)).prop_map(|(n, expires)| {
            let mut it = token(n.org.as_str(), n.id.as_str());
            it.expires = expires.map(|at| Timestamp(at * 1_000));
            OperatorObject::Token(it)
        }),
    ]
}

fn some_step() -> impl Strategy<Value = HistoryStep> {
    let tools = proptest::sample::subsequence(TOOLS, 0..4);
    let prompts = proptest::sample::subsequence(TOOLS, 0..3);
    prop_oneof![
        6 => some_object().prop_map(HistoryStep::Create),
        4 => (some_object(), any::<bool>()).prop_map(|(object, stale)| HistoryStep::Update(object, stale)),
        3 => (some_object(), any::<bool>()).prop_map(|(object, stale)| HistoryStep::Delete(object.key(), stale)),
        4 => (some_name(), tools, prompts).prop_map(|(name, tools, prompts)| {
            let mut seen = catalogue(name.org.as_str(), name.id.as_str(), &tools);
            seen.prompts = prompts.into_iter().map(definition).collect();
            HistoryStep::Other(Command::RecordDefinitions(seen))
        }),
        1 => some_name().prop_map(|name| HistoryStep::Other(Command::RevokeToken(name))),
        4 => (some_name(), proptest::sample::subsequence(IDS, 0..3)).prop_map(|(name, servers)| {
            let bindings = servers.into_iter().map(|id| ServerBinding::all(slug(id)));
            HistoryStep::Rebind(name, bindings.collect())
        }),
        1 => Just(HistoryStep::Other(Command::BumpEpoch)),
        1 => Just(HistoryStep::Duplicate),
    ]
}

fn refused_by_compile(compiled: &CompileOutput) -> Vec<(String, ProblemKind)> {
    let of_key = |(key, problems): (&toolgate_model::ResourceKey, &Vec<crate::ConfigProblem>)| {
        let key = key.to_string();
        let refusing = problems
            .iter()
            .filter(|problem| problem.kind.rejects_command());
        refusing
            .map(|problem| (key.clone(), problem.kind.clone()))
            .collect::<Vec<_>>()
    };
    compiled.problems.iter().flat_map(of_key).collect()
}

fn run(world: &mut StoreFixture, step: HistoryStep) -> Option<Result<Command, Rejection>> {
    let command = match step {
        HistoryStep::Create(object) => Command::Create(object),
        HistoryStep::Update(object, stale) => {
            let current = world.state.mod_revision_at(&object.key()).unwrap_or(1);
            let expected = current - u64::from(stale);
            Command::Update { object, expected }
        }
        HistoryStep::Delete(key, stale) => {
            let expected = world
                .state
                .mod_revision_at(&key)
                .map(|at| at - u64::from(stale));
            Command::Delete { key, expected }
        }
        HistoryStep::Other(command) => command,
        HistoryStep::Rebind(name, bindings) => {
            let stored = world.state.gateways.get(&name)?;
            let mut gateway = Gateway::clone(&stored.object);
            gateway.bindings = bindings;
            Command::Update {
                object: OperatorObject::Gateway(gateway),
                expected: stored.mod_revision,
            }
        }
        HistoryStep::Duplicate => {
            assert_eq!(world.state.apply(world.last.clone(), world.revision), 0);
            return None;
        }
    };
    Some(world.run(command.clone()).map(|_| command))
}

/// Servers that the gateways of a snapshot name.
fn named_servers(snapshot: &Snapshot) -> BTreeSet<ObjectName> {
    let named = |(key, entry): (&ResourceKey, &SnapshotEntry)| match &*entry.resource {
        SnapshotResource::Gateway(gateway) => {
            let servers = gateway.servers.iter();
            let names = servers.map(|id| ObjectName::new(key.name.org.clone(), id.clone()));
            names.collect()
        }
        SnapshotResource::Server(_)
        | SnapshotResource::Catalogue(_)
        | SnapshotResource::Token(_) => Vec::new(),
    };
    snapshot.entries.iter().flat_map(named).collect()
}

/// Checks that the snapshot contains the servers that its gateways name, with their definitions, and no other.
fn check_bound_servers(state: &StoreState, snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let named = named_servers(snapshot);
    let of_kind = |kind| {
        let keys = snapshot.entries.keys().filter(move |key| key.kind == kind);
        keys.map(|key| key.name.clone()).collect::<BTreeSet<_>>()
    };
    let is_served = |name: &&ObjectName| {
        let stored = state.servers.get(*name);
        stored.is_some_and(|stored| compile::server::compile(state, stored).is_ok())
    };
    let servers: BTreeSet<_> = named.iter().filter(is_served).cloned().collect();
    prop_assert_eq!(of_kind(SnapshotResourceKind::Server), servers);
    let is_known =
        |name: &&ObjectName| state.servers.contains(*name) && state.definitions.contains(*name);
    let definitions: BTreeSet<_> = named.iter().filter(is_known).cloned().collect();
    prop_assert_eq!(of_kind(SnapshotResourceKind::Catalogue), definitions);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn accepted_commands_compile_and_all_derived_state_agrees(
        steps in proptest::collection::vec(some_step(), 1..40),
    ) {
        let mut world = StoreFixture::with(&["aa"]);
        let mut compiled = compile(&world.state);
        for step in steps {
            let stale = matches!(step, HistoryStep::Update(_, true) | HistoryStep::Delete(_, true));
            let before = refused_by_compile(&compiled);
            let Some(result) = run(&mut world, step) else { continue };
            let Ok(command) = result else { continue };
            prop_assert!(!stale, "a stale write was accepted: {command:?}");

            let next = recompile(&world.state, &compiled);
            prop_assert_eq!(&next, &compile(&world.state), "recompile differs from compile");

            check_bound_servers(&world.state, &next.snapshot)?;

            let observed = matches!(command, Command::RecordDefinitions(_));
            let new = refused_by_compile(&next).into_iter().find(|it| !before.contains(it));
            prop_assert!(observed || new.is_none(), "{command:?} was accepted: {new:?}");

            let delta = next.snapshot.since(&compiled.snapshot.digests());
            prop_assert_eq!(&compiled.snapshot.apply(&delta), &*next.snapshot);
            prop_assert!(next.snapshot.version >= compiled.snapshot.version);
            if !delta.is_empty() {
                prop_assert!(next.snapshot.version > compiled.snapshot.version);
            }
            compiled = next;
        }
        prop_assert_eq!(&StoreState::from_listing(world.listing(), world.revision), &world.state);
    }
}
