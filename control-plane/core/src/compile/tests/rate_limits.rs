//! Tests of compiled rate limits: a gateway contains all limits of its requests, and demands a proxy that obeys them.

use std::{num::NonZeroU32, time::Duration};

use toolgate_model::{
    RateLimit, RateLimitKey,
    snapshot::{RATE_LIMITS, RateLimitScope, ScopedRateLimit},
};

use super::*;
use crate::fixture::organization;

fn limit(per: RateLimitKey) -> RateLimit {
    RateLimit {
        per,
        requests: NonZeroU32::new(10).unwrap(),
        interval: Duration::from_secs(60),
        burst: None,
        tools: Vec::new(),
    }
}

fn update(world: &mut StoreFixture, object: OperatorObject) {
    let expected = world.modified(&object.key());
    world.run(Command::Update { object, expected }).unwrap();
}

#[test]
fn a_gateway_carries_the_limits_of_its_organization_bindings_and_servers() {
    use RateLimitKey as Key;
    let mut world = world(&[("one", &["a"]), ("two", &["b"])]);
    let mut main = gateway("acme", "main", PrefixMode::Always, &["one"]);
    world.create(OperatorObject::Gateway(main.clone())).unwrap();
    let plain = compile(&world.state);
    assert_eq!(resource(&plain, "main").must_understand, [""; 0]);
    assert_eq!(resource(&plain, "main").rate_limits, []);

    let mut acme = organization("acme");
    acme.rate_limits = vec![limit(Key::Organization)];
    update(&mut world, OperatorObject::Organization(acme));
    main.rate_limits = vec![limit(Key::Principal)];
    main.bindings[0].rate_limits = vec![limit(Key::Tool)];
    update(&mut world, OperatorObject::Gateway(main));
    for id in ["one", "two"] {
        let mut server = server("acme", id, None);
        server.rate_limits = vec![limit(Key::Server)];
        update(&mut world, OperatorObject::Server(server));
    }
    // Incrementally, so that a change of the organization alone reaches the gateway.
    let compiled = recompile(&world.state, &plain);
    assert_eq!(compiled, compile(&world.state));
    let scoped = |scope, per| ScopedRateLimit {
        scope,
        limit: limit(per),
    };
    let main = resource(&compiled, "main");
    // The server `two` is not bound.
    assert_eq!(
        main.rate_limits,
        [
            scoped(RateLimitScope::Organization, Key::Organization),
            scoped(RateLimitScope::Gateway, Key::Principal),
            scoped(RateLimitScope::Binding(slug("one")), Key::Tool),
            scoped(RateLimitScope::Server(slug("one")), Key::Server),
        ]
    );
    assert_eq!(main.must_understand, [RATE_LIMITS]);
}

#[test]
fn an_organization_that_becomes_limited_changes_its_gateways_only() {
    let mut world = StoreFixture::with(&["acme", "other"]);
    for org in ["acme", "other"] {
        let id = format!("{org}-main");
        world
            .create(OperatorObject::Gateway(gateway(
                org,
                &id,
                PrefixMode::Always,
                &[],
            )))
            .unwrap();
    }
    let before = compile(&world.state);
    let mut acme = organization("acme");
    acme.rate_limits = vec![limit(RateLimitKey::Team)];
    update(&mut world, OperatorObject::Organization(acme));
    let after = recompile(&world.state, &before);
    let delta = after.snapshot.since(&before.snapshot.digests());
    let changed: Vec<String> = delta.puts.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(changed, ["gateway/acme/acme-main"]);
}

#[test]
fn a_token_carries_its_own_limits() {
    let mut world = world(&[]);
    let mut ci = token("acme", "ci");
    ci.rate_limits = vec![limit(RateLimitKey::Token)];
    world.create(OperatorObject::Token(ci.clone())).unwrap();
    let compiled = compile(&world.state);
    let entry = &compiled.snapshot.entries[&key(SnapshotResourceKind::Token, "ci")];
    let SnapshotResource::Token(made) = &*entry.resource else {
        panic!("{entry:?}");
    };
    assert_eq!(made.rate_limits, ci.rate_limits);
}

#[test]
fn a_limit_that_names_a_tool_that_its_server_does_not_offer_is_reported() {
    let mut world = world(&[("one", &["a"])]);
    let mut main = gateway("acme", "main", PrefixMode::Always, &["one"]);
    let mut misspelt = limit(RateLimitKey::Tool);
    misspelt.tools = vec!["a".to_owned(), "aa".to_owned()];
    main.bindings[0].rate_limits = vec![limit(RateLimitKey::Tool), misspelt.clone()];
    world.create(OperatorObject::Gateway(main)).unwrap();
    let mut limited = server("acme", "one", None);
    limited.rate_limits = vec![misspelt];
    update(&mut world, OperatorObject::Server(limited));
    let compiled = compile(&world.state);
    let found = |kind, id: &str| {
        let name = name("acme", id);
        let problems = compiled.problems_of(&ResourceKey { kind, name });
        let described = problems
            .iter()
            .map(|it| format!("{}: {}", it.field, it.kind));
        described.collect::<Vec<_>>()
    };
    let reason = "server one does not offer a tool `aa`";
    assert_eq!(
        found(SnapshotResourceKind::Gateway, "main"),
        [format!("spec.bindings[0].rateLimits[1].tools[1]: {reason}")]
    );
    assert_eq!(
        found(SnapshotResourceKind::Server, "one"),
        [format!("spec.rateLimits[0].tools[1]: {reason}")]
    );
    // Both are served.
    assert_eq!(resource(&compiled, "main").rate_limits.len(), 3);
}
