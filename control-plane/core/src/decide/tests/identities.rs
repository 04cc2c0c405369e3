//! Tests of identities: what refers to an object by name does not mean another object of that name.

use toolgate_model::{
    AllowList, Gateway, GatewayClaim, ObjectName, PrefixMode, ResourceKey, Slug, SnapshotResource,
    SnapshotResourceKind, Token, Uid,
};

use crate::{
    command::{Command, OperatorObject},
    compile::{ProblemKind, compile, recompile},
    fixture::{StoreFixture, gateway, name, slug, token},
    kind::StateKind as _,
    object::ControlObject,
};

fn tools() -> Gateway {
    gateway("acme", "tools", PrefixMode::Always, &[])
}

fn for_tools(id: &str) -> Token {
    let mut token = token("acme", id);
    token.gateways = AllowList::Only(vec![slug("tools")]);
    token
}

fn delete(world: &mut StoreFixture, key: crate::ObjectKey) {
    let expected = None;
    world.run(Command::Delete { key, expected }).unwrap();
}

fn gateway_uid(world: &StoreFixture) -> Uid {
    world
        .state
        .gateways
        .get(&name("acme", "tools"))
        .unwrap()
        .meta
        .uid
}

/// Returns the gateways that proxies admit the token to, and the reasons for the others.
fn admitted(world: &StoreFixture, id: &str) -> (Vec<Slug>, Vec<ProblemKind>) {
    let compiled = compile(&world.state);
    let name = name("acme", id);
    let kind = SnapshotResourceKind::Token;
    let key = ResourceKey { kind, name };
    let entry = &compiled.snapshot.entries[&key];
    let SnapshotResource::Token(token) = &*entry.resource else {
        panic!("no token")
    };
    let AllowList::Only(gateways) = token.gateways.clone() else {
        panic!("a token for one gateway admits to all")
    };
    let problems = compiled.problems_of(&key).iter();
    (gateways, problems.map(|it| it.kind.clone()).collect())
}

#[test]
fn a_token_does_not_open_a_gateway_made_again_under_the_name_of_its_own() {
    let mut world = StoreFixture::with(&["acme"]);
    world.create(tools().into()).unwrap();
    world.create(for_tools("ci").into()).unwrap();
    assert_eq!(admitted(&world, "ci"), (vec![slug("tools")], vec![]));
    let before = compile(&world.state);

    delete(&mut world, Gateway::key(name("acme", "tools")));
    let deleted = ProblemKind::GatewayDeleted(slug("tools"));
    assert_eq!(admitted(&world, "ci"), (vec![], vec![deleted]));

    world.create(tools().into()).unwrap();
    let replaced = ProblemKind::GatewayReplaced(slug("tools"));
    assert_eq!(admitted(&world, "ci"), (vec![], vec![replaced]));
    assert_eq!(recompile(&world.state, &before), compile(&world.state));

    world.create(for_tools("next").into()).unwrap();
    assert_eq!(admitted(&world, "next"), (vec![slug("tools")], vec![]));
}

#[test]
fn an_update_of_a_token_does_not_admit_it_to_a_gateway_made_again() {
    let mut world = StoreFixture::with(&["acme"]);
    world.create(tools().into()).unwrap();
    world.create(for_tools("ci").into()).unwrap();
    delete(&mut world, Gateway::key(name("acme", "tools")));
    world.create(tools().into()).unwrap();
    let mut changed = for_tools("ci");
    changed.meta.description = "changed".to_owned();
    let expected = world.modified(&Token::key(name("acme", "ci")));
    let object = OperatorObject::from(changed);
    world.run(Command::Update { object, expected }).unwrap();
    assert_eq!(admitted(&world, "ci").0, Vec::<Slug>::new());
}

#[test]
fn a_token_cannot_be_given_a_gateway_that_does_not_exist() {
    let mut world = StoreFixture::with(&["acme"]);
    let refused = world.create(for_tools("ci").into()).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("spec.gateways[0]") && text.contains("create it first"),
        "{text}"
    );
}

#[test]
fn a_uid_is_kept_over_updates_and_is_new_after_a_deletion() {
    let mut world = StoreFixture::with(&["acme"]);
    world.create(tools().into()).unwrap();
    let first = gateway_uid(&world);
    assert!(!first.is_nil());
    let mut changed = tools();
    changed.instructions = "changed".to_owned();
    // A uid that a caller sends is not taken.
    changed.meta.uid = Uid::of(&"chosen");
    let expected = world.modified(&Gateway::key(name("acme", "tools")));
    let object = OperatorObject::from(changed);
    world.run(Command::Update { object, expected }).unwrap();
    assert_eq!(gateway_uid(&world), first);
    delete(&mut world, Gateway::key(name("acme", "tools")));
    let mut again = tools();
    again.meta.uid = first;
    world.create(again.into()).unwrap();
    assert_ne!(gateway_uid(&world), first);
}

/// Stores the gateway or token as an earlier build wrote it: with the derived uid, and without uids of gateways.
fn force_old(world: &mut StoreFixture) {
    let mut gateway = tools();
    let at = gateway.meta.created;
    gateway.meta.uid = Uid::derived::<Gateway>(&gateway.name, at);
    let key = Gateway::key(gateway.name.clone()).to_string();
    world.force(&key, ControlObject::Gateway(gateway.into()));
    let claim = crate::ObjectKey::GatewayId(slug("tools")).to_string();
    world.force(
        &claim,
        ControlObject::GatewayId(GatewayClaim {
            org: slug("acme"),
            uid: None,
        }),
    );
    let token = for_tools("old");
    let key = Token::key(token.name.clone()).to_string();
    world.force(&key, ControlObject::Token(token.into()));
}

#[test]
fn a_token_of_an_earlier_build_opens_the_gateway_of_that_build_and_no_later_one() {
    let mut world = StoreFixture::with(&["acme"]);
    force_old(&mut world);
    assert_eq!(admitted(&world, "old"), (vec![slug("tools")], vec![]));
    // A write of this build records what the token was given.
    let expected = world.modified(&Token::key(name("acme", "old")));
    let mut changed = for_tools("old");
    changed.meta.description = "changed".to_owned();
    let object = OperatorObject::from(changed);
    world.run(Command::Update { object, expected }).unwrap();
    assert_eq!(admitted(&world, "old"), (vec![slug("tools")], vec![]));

    let mut world = StoreFixture::with(&["acme"]);
    force_old(&mut world);
    delete(&mut world, Gateway::key(name("acme", "tools")));
    world.create(tools().into()).unwrap();
    let replaced = ProblemKind::GatewayReplaced(slug("tools"));
    assert_eq!(admitted(&world, "old"), (vec![], vec![replaced]));
}

#[test]
fn a_token_made_again_under_its_name_is_another_object() {
    let mut world = StoreFixture::with(&["acme"]);
    let uid = |world: &StoreFixture| {
        let name: ObjectName = name("acme", "ci");
        world.state.tokens.get(&name).unwrap().meta.uid
    };
    world.create(token("acme", "ci").into()).unwrap();
    let first = uid(&world);
    delete(&mut world, Token::key(name("acme", "ci")));
    let mut again = token("acme", "ci");
    again.hash = toolgate_model::TokenHash([7; 32]);
    world.create(again.into()).unwrap();
    assert_ne!(uid(&world), first);
}
