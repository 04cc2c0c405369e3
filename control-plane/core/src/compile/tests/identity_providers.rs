//! Tests of identity providers in gateways: a change of a provider reaches the gateways that admit its callers, and no others.

use std::time::Duration;

use toolgate_model::{
    AdmittedProvider, ClaimMapping, ClaimPath, EllipticCurve, Gateway, IdentityProvider,
    KeyMaterial, ObjectMeta, PrefixMode, RequiredClaim, SignatureAlgorithm, Timestamp,
    TrustedIssuer, Uid, VerificationKey,
};

use super::*;
use crate::{
    Command, ObjectEvent, ObjectKey, OperatorObject,
    fixture::{StoreFixture, context, gateway, name, slug},
};

fn key(id: &str) -> VerificationKey {
    VerificationKey {
        id: id.to_owned(),
        algorithm: None,
        material: KeyMaterial::Ec {
            curve: EllipticCurve::P256,
            x: "x".to_owned(),
            y: "y".to_owned(),
        },
    }
}

fn provider(id: &str, keys: &[&str]) -> IdentityProvider {
    IdentityProvider {
        name: name("acme", id),
        meta: ObjectMeta::default(),
        issuer: format!("https://{id}.example"),
        audiences: vec!["toolgate".to_owned()],
        algorithms: vec![SignatureAlgorithm::ES256],
        keys: keys.iter().map(|id| key(id)).collect(),
        jwks_url: None,
        claims: ClaimMapping::default(),
        fetched: Default::default(),
    }
}

fn admitting(id: &str, providers: &[&str]) -> Gateway {
    let admitted = providers.iter().map(|provider| AdmittedProvider {
        provider: slug(provider),
        groups: vec!["mcp".to_owned()],
        claims: Vec::new(),
    });
    Gateway {
        identity_providers: admitted.collect(),
        ..gateway("acme", id, PrefixMode::Always, &[])
    }
}

fn world() -> StoreFixture {
    let mut world = StoreFixture::with(&["acme"]);
    world.create(provider("corp", &["a"]).into()).unwrap();
    world.create(admitting("office", &["corp"]).into()).unwrap();
    world.create(admitting("closed", &[]).into()).unwrap();
    world
}

fn update(world: &mut StoreFixture, object: IdentityProvider) {
    let object = OperatorObject::from(object);
    let expected = world.modified(&object.key());
    world.run(Command::Update { object, expected }).unwrap();
}

fn trusted(compiled: &CompileOutput, id: &str) -> Vec<TrustedIssuer> {
    resource(compiled, id).identity_providers
}

fn fetched(world: &StoreFixture, found: Result<Vec<VerificationKey>, String>) -> Command {
    let name = name("acme", "corp");
    let uid = world.state.identity_providers.get(&name).unwrap().meta.uid;
    Command::RecordProviderKeys { name, uid, found }
}

#[test]
fn a_gateway_contains_what_a_proxy_needs_to_verify_tokens() {
    let world = world();
    let compiled = compile(&world.state);
    let found = trusted(&compiled, "office");
    let [issuer] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(issuer.issuer, "https://corp.example");
    assert_eq!(issuer.keys, [key("a")]);
    let required = RequiredClaim {
        claim: ClaimPath::new("groups").unwrap(),
        values: vec!["mcp".to_owned()],
    };
    assert_eq!(issuer.required, [required]);
    assert_eq!(trusted(&compiled, "closed"), []);
}

#[test]
fn a_change_of_a_provider_compiles_the_gateways_that_admit_it_only() {
    let mut world = world();
    let before = compile(&world.state);
    update(&mut world, provider("corp", &["a", "b"]));
    assert_eq!(before.recompiled_resources(&world.state), Some(1));
    let after = recompile(&world.state, &before);
    assert_eq!(after.snapshot, compile(&world.state).snapshot);
    assert_eq!(trusted(&after, "office")[0].keys.len(), 2);
    // A provider that is lost takes its callers' access away.
    let at = ObjectKey::IdentityProvider(name("acme", "corp"));
    let (key, revision) = (at.to_string(), world.revision + 1);
    world
        .state
        .apply([ObjectEvent::Delete { key, revision }], revision);
    let lost = recompile(&world.state, &after);
    assert_eq!(trusted(&lost, "office"), []);
    let kind = ProblemKind::NoProvider(name("acme", "corp"));
    assert!(lost.problems.values().flatten().any(|it| it.kind == kind));
}

#[test]
fn a_gateway_names_providers_that_exist_and_keeps_them() {
    let mut world = world();
    let refused = world.create(admitting("other", &["absent"]).into());
    assert!(refused.is_err());
    let key = ObjectKey::IdentityProvider(name("acme", "corp"));
    let expected = None;
    let refused = world.run(Command::Delete { key, expected });
    assert!(matches!(refused, Err(crate::Rejection::InUse { .. })));
}

fn stored(world: &StoreFixture) -> IdentityProvider {
    let stored = world.state.identity_providers.get(&name("acme", "corp"));
    IdentityProvider::clone(&stored.unwrap().object)
}

fn keys_in_use(world: &StoreFixture) -> Vec<VerificationKey> {
    trusted(&compile(&world.state), "office")[0].keys.clone()
}

/// Records an attempt at this time. Returns whether nothing was written, and the keys in use.
fn record(
    world: &mut StoreFixture,
    found: Result<&str, &str>,
    at: Timestamp,
) -> (bool, Vec<VerificationKey>) {
    let found = found.map(|id| vec![key(id)]).map_err(str::to_owned);
    let command = fetched(world, found);
    let change = world.run_as(&command, &context(at.0)).unwrap();
    (change.is_empty(), keys_in_use(world))
}

#[test]
fn oa_09_fetched_keys_are_used_for_24_hours_while_the_provider_cannot_be_reached() {
    let mut world = world();
    update(&mut world, provider("corp", &[]));
    assert_eq!(keys_in_use(&world), []);
    let start = Timestamp(1_000_000);
    let hours = |hours: u64| start.after(Duration::from_secs(hours * 3600));
    let mut record = |found, at| record(&mut world, found, at);
    assert_eq!(record(Ok("b"), start), (false, vec![key("b")]));
    assert_eq!(record(Err("503"), hours(1)), (false, vec![key("b")]));
    // The same outcome again is no write, and neither is another text soon after; it does not extend the time.
    assert_eq!(record(Err("503"), hours(2)), (true, vec![key("b")]));
    let soon = hours(1).after(Duration::from_secs(599));
    assert_eq!(record(Err("502"), soon), (true, vec![key("b")]));
    assert_eq!(record(Err("reset"), hours(25)), (false, vec![key("b")]));
    let late = hours(25).after(Duration::from_millis(1));
    assert_eq!(record(Err("reset"), late), (false, vec![]));
    assert_eq!(record(Ok("b"), hours(30)), (false, vec![key("b")]));
    // An answer starts the time anew.
    assert_eq!(record(Err("503"), hours(31)), (false, vec![key("b")]));
    assert_eq!(record(Err("503"), hours(54)), (true, vec![key("b")]));
    assert_eq!(stored(&world).fetched.problem.as_deref(), Some("503"));
}

#[test]
fn oa_09_the_keys_of_another_source_or_of_a_former_provider_are_not_used() {
    let mut world = world();
    update(&mut world, provider("corp", &[]));
    world.run(fetched(&world, Ok(vec![key("b")]))).unwrap();
    // An operator changes something else: the keys stay. Keys of another source do not.
    let mut same = provider("corp", &[]);
    same.audiences.push("x".to_owned());
    update(&mut world, same.clone());
    assert_eq!(keys_in_use(&world), [key("b")]);
    // The keys that were fetched are no part of an update.
    let mut forged = same.clone();
    forged.fetched.keys = vec![key("forged")];
    update(&mut world, forged);
    assert_eq!(keys_in_use(&world), [key("b")]);
    same.jwks_url = Some("https://keys.example/set".to_owned());
    update(&mut world, same);
    assert_eq!(keys_in_use(&world), []);
    // The answer of a provider that was replaced meanwhile is not stored.
    let command = Command::RecordProviderKeys {
        name: name("acme", "corp"),
        uid: Uid::of(&"former"),
        found: Ok(vec![key("c")]),
    };
    assert!(world.run(command).unwrap().is_empty());
    assert_eq!(keys_in_use(&world), []);
}

#[test]
fn a_provider_that_publishes_no_usable_key_withdraws_its_keys_at_once() {
    let mut world = world();
    update(&mut world, provider("corp", &[]));
    world.run(fetched(&world, Ok(vec![key("b")]))).unwrap();
    world.run(fetched(&world, Ok(Vec::new()))).unwrap();
    assert_eq!(keys_in_use(&world), []);
    let problem = stored(&world).fetched.problem.unwrap();
    assert!(problem.contains("no key"), "{problem}");
    world.run(fetched(&world, Ok(vec![key("b")]))).unwrap();
    assert_eq!(keys_in_use(&world), [key("b")]);
    assert_eq!(stored(&world).fetched.problem, None);
}
