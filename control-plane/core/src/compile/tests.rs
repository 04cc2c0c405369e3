//! Tests of exposed names, and of the isolation of problems to the affected object.

use proptest::prelude::*;
use toolgate_model::{
    BindingSelection, DriftPolicy, Era, PrefixMode, SnapshotResource, SnapshotResourceKind,
};

use super::*;

mod bound_servers;
mod hostile;
mod identity_providers;
mod incremental;
mod listing;
mod omissions;
mod rate_limits;
mod unreadable;
use crate::{
    Command, ControlObject, ObjectKey, OperatorObject,
    fixture::{
        StoreFixture, catalogue, credential, definition, gateway, name, server, slug, token,
    },
};

fn world(tools: &[(&str, &[&str])]) -> StoreFixture {
    let mut world = StoreFixture::with(&["acme"]);
    for (id, tools) in tools {
        world
            .create(OperatorObject::Server(server("acme", id, None)))
            .unwrap();
        world
            .run(Command::RecordDefinitions(catalogue("acme", id, tools)))
            .unwrap();
    }
    world
}

fn key(kind: SnapshotResourceKind, id: &str) -> ResourceKey {
    let name = name("acme", id);
    ResourceKey { kind, name }
}

fn exposed(compiled: &CompileOutput, id: &str) -> Vec<String> {
    let entry = compiled
        .snapshot
        .entries
        .get(&key(SnapshotResourceKind::Gateway, id))
        .unwrap();
    match &*entry.resource {
        SnapshotResource::Gateway(gateway) => gateway
            .tools
            .iter()
            .map(|tool| tool.exposed.clone())
            .collect(),
        SnapshotResource::Server(_)
        | SnapshotResource::Catalogue(_)
        | SnapshotResource::Token(_) => Vec::new(),
    }
}

fn kinds(compiled: &CompileOutput, id: &str) -> Vec<ProblemKind> {
    let problems = compiled.problems_of(&key(SnapshotResourceKind::Gateway, id));
    problems
        .iter()
        .map(|problem| problem.kind.clone())
        .collect()
}

#[test]
fn tools_are_sorted_by_name_regardless_of_binding_and_server_order() {
    let mut world = world(&[("files", &["read", "write"]), ("ask", &["z", "a"])]);
    let tools = gateway("acme", "tools", PrefixMode::Always, &["files", "ask"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let compiled = compile(&world.state);
    assert_eq!(
        exposed(&compiled, "tools"),
        ["ask__a", "ask__z", "files__read", "files__write"]
    );
    assert!(compiled.problems.is_empty());
}

#[test]
fn selected_tools_are_served_and_a_missing_one_is_reported() {
    let mut world = world(&[("files", &["read", "write"])]);
    let mut tools = gateway("acme", "tools", PrefixMode::Single, &["files"]);
    let only = ["write", "gone", "read"].map(str::to_owned).to_vec();
    tools.bindings[0].tools = BindingSelection::Only(only);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let compiled = compile(&world.state);
    assert_eq!(exposed(&compiled, "tools"), ["read", "write"]);
    let problem = &compiled.problems_of(&key(SnapshotResourceKind::Gateway, "tools"))[0];
    assert_eq!(problem.field, "spec.bindings[0].tools[1]");
}

#[test]
fn a_later_name_collision_hides_only_the_later_tool() {
    let mut world = world(&[("one", &["a", "b"]), ("two", &["c"])]);
    let tools = gateway("acme", "tools", PrefixMode::Never, &["one", "two"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    world
        .run(Command::RecordDefinitions(catalogue(
            "acme",
            "two",
            &["c", "b", "d"],
        )))
        .unwrap();
    let compiled = compile(&world.state);
    assert_eq!(exposed(&compiled, "tools"), ["a", "b", "c", "d"]);
    let text = kinds(&compiled, "tools")[0].to_string();
    assert!(
        text.contains("server two") && text.contains("server one"),
        "{text}"
    );
}

#[test]
fn a_tool_with_unusual_characters_has_a_safe_unique_recognisable_name_under_every_prefix() {
    let names = ["read file", "read/file", "read_file", "größe", "日本"];
    let mut world = world(&[("one", &names)]);
    for (id, mode) in [
        ("plain", PrefixMode::Single),
        ("never", PrefixMode::Never),
        ("always", PrefixMode::Always),
    ] {
        let tools = gateway("acme", id, mode, &["one"]);
        world.create(OperatorObject::Gateway(tools)).unwrap();
    }
    let compiled = compile(&world.state);
    for id in ["plain", "never", "always"] {
        let exposed = exposed(&compiled, id);
        let prefix = if id == "always" { "one__" } else { "" };
        let unique: std::collections::BTreeSet<_> = exposed.iter().collect();
        assert_eq!(unique.len(), names.len(), "{exposed:?}");
        let safe = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        assert!(
            exposed.iter().all(|name| name.chars().all(safe)),
            "{exposed:?}"
        );
        let count = |start: &str| {
            let start = format!("{prefix}{start}");
            exposed
                .iter()
                .filter(|name| name.starts_with(&start))
                .count()
        };
        assert_eq!(count("read_file_"), 2, "{exposed:?}");
        assert_eq!(count("gr__e_"), 1, "{exposed:?}");
        assert!(
            exposed.contains(&format!("{prefix}read_file")),
            "{exposed:?}"
        );
        assert!(
            compiled
                .problems_of(&key(SnapshotResourceKind::Gateway, id))
                .is_empty()
        );
    }
}

#[test]
fn names_that_render_alike_are_reported_and_stay_exposed() {
    let mut world = world(&[
        ("one", &["tool1", "modem", "read"]),
        ("two", &["tooll", "modern"]),
    ]);
    let tools = gateway("acme", "tools", PrefixMode::Never, &["one", "two"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let compiled = compile(&world.state);
    assert_eq!(
        exposed(&compiled, "tools"),
        ["modem", "modern", "read", "tool1", "tooll"]
    );
    let texts: Vec<String> = kinds(&compiled, "tools")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert_eq!(
        texts[0],
        "tool `tooll` of server two looks like `tool1` (of server one) and may be taken for it; give one of the two \
         an alias, or leave one out"
    );
    assert!(
        texts[1].contains("`modern`") && texts[1].contains("`modem`"),
        "{texts:?}"
    );
}

/// Names that differ in their normal form only are exposed under names that do not look alike, because their hashes differ;
/// in lists of their own titles a reader cannot tell them apart.
#[test]
fn mc_03_tools_whose_names_have_the_same_normal_form_are_reported() {
    let mut world = world(&[
        ("one", &["caf\u{e9}", "\u{ff52}ead", "gr\u{f6}\u{df}e"]),
        ("two", &["cafe\u{301}", "read", "cafe"]),
    ]);
    for (id, mode) in [("never", PrefixMode::Never), ("always", PrefixMode::Always)] {
        let tools = gateway("acme", id, mode, &["one", "two"]);
        world.create(OperatorObject::Gateway(tools)).unwrap();
    }
    let compiled = compile(&world.state);
    assert_eq!(exposed(&compiled, "never").len(), 6);
    let alike: Vec<String> = kinds(&compiled, "never")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(alike.len(), 2, "{alike:?}");
    assert!(
        alike.iter().all(|text| text.contains("looks like")),
        "{alike:?}"
    );
    // The prefix of the server tells them apart.
    assert_eq!(exposed(&compiled, "always").len(), 6);
    assert!(kinds(&compiled, "always").is_empty());
}

#[test]
fn an_unprobed_server_serves_nothing_and_is_reported() {
    let mut world = world(&[("files", &["read"])]);
    world
        .create(OperatorObject::Server(server("acme", "new", None)))
        .unwrap();
    let tools = gateway("acme", "tools", PrefixMode::Always, &["new", "files"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let compiled = compile(&world.state);
    assert_eq!(exposed(&compiled, "tools"), ["files__read"]);
    assert_eq!(
        kinds(&compiled, "tools"),
        [ProblemKind::NotProbed(slug("new"))]
    );
}

#[test]
fn a_server_with_a_missing_credential_is_left_out_alone() {
    let mut world = world(&[("files", &["read"])]);
    world
        .create(OperatorObject::Credential(credential("acme", "key")))
        .unwrap();
    world
        .create(OperatorObject::Server(server("acme", "paid", Some("key"))))
        .unwrap();
    world
        .run(Command::RecordDefinitions(catalogue(
            "acme",
            "paid",
            &["buy"],
        )))
        .unwrap();
    let tools = gateway("acme", "tools", PrefixMode::Always, &["paid", "files"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let event = crate::ObjectEvent::Delete {
        key: ObjectKey::Credential(name("acme", "key")).to_string(),
        revision: world.revision + 1,
    };
    world.state.apply([event], world.revision + 1);
    let compiled = compile(&world.state);
    assert!(
        !compiled
            .snapshot
            .entries
            .contains_key(&key(SnapshotResourceKind::Server, "paid"))
    );
    assert_eq!(exposed(&compiled, "tools"), ["files__read"]);
}

#[test]
fn a_drift_policy_without_approvals_fails_closed() {
    let mut world = world(&[("files", &["read"])]);
    let tools = gateway("acme", "tools", PrefixMode::Always, &["files"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let mut pinned = server("acme", "files", None);
    pinned.drift = DriftPolicy::Pin;
    let at = ObjectKey::Server(pinned.name.clone()).to_string();
    world.force(&at, ControlObject::Server(pinned.into()));
    assert_eq!(exposed(&compile(&world.state), "tools"), [""; 0]);
}

#[test]
fn a_gateway_id_belongs_to_the_organization_that_claimed_it() {
    let mut world = world(&[]);
    world
        .create(OperatorObject::Organization(crate::fixture::organization(
            "aaa",
        )))
        .unwrap();
    world
        .create(OperatorObject::Gateway(gateway(
            "acme",
            "tools",
            PrefixMode::Always,
            &[],
        )))
        .unwrap();
    world.force_gateway(gateway("aaa", "tools", PrefixMode::Always, &[]));
    let compiled = compile(&world.state);
    let gateways = compiled
        .snapshot
        .entries
        .keys()
        .filter(|key| key.kind == SnapshotResourceKind::Gateway);
    assert_eq!(
        gateways.cloned().collect::<Vec<_>>(),
        [key(SnapshotResourceKind::Gateway, "tools")]
    );
}

#[test]
fn expired_and_revoked_tokens_are_not_in_the_snapshot() {
    let mut world = world(&[]);
    let mut short = token("acme", "short");
    short.expires = Some(toolgate_model::Timestamp(2_000));
    world.create(OperatorObject::Token(short)).unwrap();
    world
        .create(OperatorObject::Token(token("acme", "long")))
        .unwrap();
    let tokens = |world: &StoreFixture| {
        let compiled = compile(&world.state);
        compiled
            .snapshot
            .entries
            .keys()
            .filter(|key| key.kind == SnapshotResourceKind::Token)
            .count()
    };
    assert_eq!(tokens(&world), 2);
    world
        .run(Command::RevokeToken(name("acme", "long")))
        .unwrap();
    assert_eq!(tokens(&world), 1);
    let later = crate::fixture::context(3_000);
    let other = Command::Create(OperatorObject::Token(token("acme", "other")));
    world.run_as(&other, &later).unwrap();
    assert_eq!(tokens(&world), 1);
}

#[test]
fn a_server_credential_reference_changes_with_its_value() {
    let mut world = world(&[]);
    world
        .create(OperatorObject::Credential(credential("acme", "key")))
        .unwrap();
    world
        .create(OperatorObject::Server(server("acme", "paid", Some("key"))))
        .unwrap();
    let tools = gateway("acme", "tools", PrefixMode::Always, &["paid"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let before = compile(&world.state);
    let at = ObjectKey::Credential(name("acme", "key"));
    let mut changed = credential("acme", "key");
    changed.meta.description = "rotated".to_owned();
    let expected = world.modified(&at);
    world
        .run(Command::Update {
            object: OperatorObject::Credential(changed),
            expected,
        })
        .unwrap();
    let after = compile(&world.state);
    let paid = key(SnapshotResourceKind::Server, "paid");
    assert!(before.snapshot.entries.contains_key(&paid));
    assert_ne!(
        before.snapshot.entries.get(&paid),
        after.snapshot.entries.get(&paid)
    );
    let json = format!("{:?}", after.snapshot);
    assert!(
        !json.contains("SealedBlob"),
        "no secret travels in a snapshot"
    );
}

fn resource(compiled: &CompileOutput, id: &str) -> toolgate_model::snapshot::GatewayResource {
    let entry = compiled
        .snapshot
        .entries
        .get(&key(SnapshotResourceKind::Gateway, id))
        .unwrap();
    match &*entry.resource {
        SnapshotResource::Gateway(gateway) => gateway.clone(),
        SnapshotResource::Server(_)
        | SnapshotResource::Catalogue(_)
        | SnapshotResource::Token(_) => {
            panic!("{:?}", entry.resource)
        }
    }
}

/// Stores the definitions of a server with one tool, one prompt and one resource.
fn offering(world: &mut StoreFixture, id: &str) {
    let mut seen = catalogue("acme", id, &["read"]);
    seen.prompts = vec![definition("ask")];
    seen.resources = vec![definition("file:///a")];
    world
        .create(OperatorObject::Server(server("acme", id, None)))
        .unwrap();
    world.run(Command::RecordDefinitions(seen)).unwrap();
}

#[test]
fn prompts_and_resources_are_served_with_all_tools_but_not_with_selected_ones() {
    let mut world = world(&[]);
    offering(&mut world, "one");
    offering(&mut world, "two");
    let mut tools = gateway("acme", "tools", PrefixMode::Always, &["one", "two"]);
    let only = BindingSelection::Only(vec!["read".to_owned()]);
    tools.bindings[1] = toolgate_model::ServerBinding::tools(slug("two"), only);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let made = resource(&compile(&world.state), "tools");
    let prompts: Vec<_> = made.prompts.iter().map(|it| it.exposed.as_str()).collect();
    assert_eq!(prompts, ["one__ask"]);
    assert_eq!(made.resources, [slug("one")]);
    assert_eq!(made.uris, toolgate_model::UriMode::Prefixed);
}

#[test]
fn duplicate_unprefixed_prompts_are_rejected_but_a_tool_may_share_the_name() {
    let mut world = world(&[]);
    offering(&mut world, "one");
    offering(&mut world, "two");
    let mut both = gateway("acme", "tools", PrefixMode::Never, &["one", "two"]);
    both.bindings[1].tools = BindingSelection::none();
    let refused = world
        .create(OperatorObject::Gateway(both.clone()))
        .unwrap_err();
    assert!(refused.to_string().contains("prompt `ask`"), "{refused}");
    both.bindings[1].prompts = BindingSelection::none();
    world.create(OperatorObject::Gateway(both)).unwrap();
    let compiled = compile(&world.state);
    let made = resource(&compiled, "tools");
    assert_eq!(made.uris, toolgate_model::UriMode::Through);
    assert_eq!(made.resources, [slug("one"), slug("two")]);
    let said = kinds(&compiled, "tools")[0].to_string();
    assert!(
        said.contains("file:///a") && said.contains("server two is hidden"),
        "{said}"
    );
}

/// A name collision that appears after the gateway was stored: a server starts to offer a prompt that another
/// server offers already, or a stored gateway starts to expose the prompts of both.
#[test]
fn a_later_prompt_collision_is_reported_naming_both_servers() {
    let mut world = world(&[]);
    offering(&mut world, "one");
    let prompt = |name: &str| {
        let mut seen = catalogue("acme", "two", &["write"]);
        seen.prompts = vec![definition(name)];
        Command::RecordDefinitions(seen)
    };
    world
        .create(OperatorObject::Server(server("acme", "two", None)))
        .unwrap();
    world.run(prompt("other")).unwrap();
    let both = gateway("acme", "tools", PrefixMode::Never, &["one", "two"]);
    world.create(OperatorObject::Gateway(both)).unwrap();
    assert_eq!(kinds(&compile(&world.state), "tools"), []);
    world.run(prompt("ask")).unwrap();
    let compiled = compile(&world.state);
    let made = resource(&compiled, "tools");
    let prompts: Vec<_> = made
        .prompts
        .iter()
        .map(|it| (it.exposed.as_str(), it.server.as_str()))
        .collect();
    assert_eq!(prompts, [("ask", "one")], "who had it first keeps it");
    assert_eq!(exposed(&compiled, "tools"), ["read", "write"]);
    let said = kinds(&compiled, "tools")[0].to_string();
    assert!(
        said.contains("prompt `ask` of server two") && said.contains("of server one"),
        "{said}"
    );
}

#[test]
fn a_selected_prompt_that_is_not_offered_is_reported() {
    let mut world = world(&[]);
    offering(&mut world, "one");
    let mut tools = gateway("acme", "tools", PrefixMode::Always, &["one"]);
    tools.bindings[0].prompts = BindingSelection::Only(vec!["gone".to_owned()]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let compiled = compile(&world.state);
    let problem = &compiled.problems_of(&key(SnapshotResourceKind::Gateway, "tools"))[0];
    assert_eq!(problem.field, "spec.bindings[0].prompts[0]");
    assert!(resource(&compiled, "tools").prompts.is_empty());
}

proptest! {
    #[test]
    fn a_prefixed_name_fits_the_length_and_alphabet_of_every_client(id in "[a-z]{1,40}", tool in ".{0,300}") {
        let exposed = exposed_name(PrefixMode::Always, ExposedKind::Tool, &slug(&id), &tool);
        prop_assert!(exposed.len() <= 64);
        prop_assert!(exposed.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)));
        prop_assert!(exposed.starts_with(&id));
    }

    #[test]
    fn long_names_that_differ_only_at_the_end_stay_distinct(tail in "[a-z]{1,8}", other in "[a-z]{1,8}") {
        prop_assume!(tail != other);
        let long = "x".repeat(80);
        let exposed = |own: String| {
            exposed_name(PrefixMode::Always, ExposedKind::Tool, &slug("files"), &own)
        };
        let (one, two) = (exposed(format!("{long}{tail}")), exposed(format!("{long}{other}")));
        prop_assert_ne!(one, two);
    }
}

#[test]
fn a_pinned_version_takes_precedence_over_the_probed_one() {
    let mut world = StoreFixture::with(&["acme"]);
    let mut pinned = server("acme", "old", None);
    pinned.protocol_version = "2025-03-26".parse().ok();
    world.create(OperatorObject::Server(pinned)).unwrap();
    let mut seen = catalogue("acme", "old", &["a"]);
    seen.era = Some(Era::Modern);
    seen.protocol_version = "2026-07-28".to_owned();
    world.run(Command::RecordDefinitions(seen)).unwrap();
    let tools = gateway("acme", "tools", PrefixMode::Always, &["old"]);
    world.create(OperatorObject::Gateway(tools)).unwrap();
    let compiled = compile(&world.state);
    let entry = &compiled.snapshot.entries[&key(SnapshotResourceKind::Server, "old")];
    let SnapshotResource::Server(served) = &*entry.resource else {
        panic!("not a server")
    };
    assert_eq!(served.era, Some(Era::Legacy));
    assert_eq!(served.protocol_version, "2025-03-26");
}

#[test]
fn a_server_of_both_eras_is_served_in_both_unless_its_era_is_set() {
    for (policy, expected) in [
        (toolgate_model::EraPolicy::Probe, "2025-11-25"),
        (toolgate_model::EraPolicy::Modern, ""),
    ] {
        let mut world = StoreFixture::with(&["acme"]);
        let mut both = server("acme", "both", None);
        both.era = policy;
        world.create(OperatorObject::Server(both)).unwrap();
        let tools = gateway("acme", "tools", PrefixMode::Always, &["both"]);
        world.create(OperatorObject::Gateway(tools)).unwrap();
        let mut seen = catalogue("acme", "both", &["a"]);
        seen.era = Some(Era::Modern);
        world.run(Command::RecordDefinitions(seen.clone())).unwrap();
        // A change of this fact alone reaches the proxies.
        seen.legacy_version = "2025-11-25".to_owned();
        world.run(Command::RecordDefinitions(seen)).unwrap();
        let compiled = compile(&world.state);
        let entry = &compiled.snapshot.entries[&key(SnapshotResourceKind::Server, "both")];
        let SnapshotResource::Server(served) = &*entry.resource else {
            panic!("not a server")
        };
        assert_eq!(served.legacy_version, expected);
    }
}
