//! Tests of rate limits as filters: which limits apply to which requests, in which order, and to which quota; and that
//! the parts of a fleet add up to the whole.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use proptest::prelude::*;
use toolgate_model::{
    Principal, PrincipalSubject, RateLimitKey, SnapshotResource, TokenSubject, Uid,
    snapshot::{GatewayResource, TokenResource},
};

use super::*;
use crate::{
    Authn, AuthnId, AuthnKind, Caller, Plan,
    fixture::{
        GatewayFixture, META, gateway, hash, insert, slug, test_servers, test_snapshot, token,
    },
    plan::CallPlan,
};

fn limit(per: RateLimitKey, requests: u32) -> RateLimit {
    RateLimit {
        per,
        requests: NonZeroU32::new(requests).unwrap(),
        interval: Duration::from_secs(60),
        burst: None,
        tools: Vec::new(),
    }
}

fn scoped(scope: RateLimitScope, limit: RateLimit) -> ScopedRateLimit {
    ScopedRateLimit { scope, limit }
}

/// Gateways `main` and `second` with the same limits. The token `all` is ada's; `team` is a team's, with a limit.
fn world(limits: Vec<ScopedRateLimit>) -> GatewayFixture {
    let mut snapshot = test_snapshot(&test_servers());
    for id in ["main", "second"] {
        let resource = GatewayResource {
            rate_limits: limits.clone(),
            ..gateway(&test_servers())
        };
        insert(
            &mut snapshot,
            "acme",
            id,
            SnapshotResource::Gateway(resource),
        );
    }
    let team = TokenResource {
        subject: TokenSubject::Team(slug("blue")),
        rate_limits: vec![limit(RateLimitKey::Token, 5)],
        ..token("team")
    };
    insert(&mut snapshot, "acme", "team", SnapshotResource::Token(team));
    GatewayFixture::of(&snapshot)
}

fn call(world: &GatewayFixture, tool: &str) -> Arc<CallPlan> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","_meta":{{{META}}}}}}}"#
    );
    let plan = world.modern("all", &body, &[]);
    let Plan::Call(call) = plan else {
        panic!("{plan:?}");
    };
    call
}

fn limits(filters: &[Filter]) -> Vec<&RateLimitFilter> {
    filters
        .iter()
        .map(|Filter::RateLimit(limit)| limit)
        .collect()
}

#[test]
fn a_gateway_without_limits_has_no_filters() {
    let world = world(Vec::new());
    let policy = &world.gateway().policy;
    assert!(policy.admit().is_empty());
    assert!(policy.before_call(&slug("weather")).is_empty());
    assert!(world.caller("all").admit_filters().is_empty());
}

#[test]
fn the_limits_of_a_token_apply_to_all_requests_of_its_caller() {
    let world = world(Vec::new());
    let caller = world.caller("team");
    let own = limits(caller.admit_filters());
    let own: Vec<_> = own
        .iter()
        .map(|it| (it.per, it.limit.requests.get()))
        .collect();
    assert_eq!(own, [(RateLimitKey::Token, 5)]);
}

#[test]
fn each_scope_applies_in_its_stage_from_narrow_to_wide() {
    use RateLimitKey as Key;
    let binding = || RateLimitScope::Binding(slug("weather"));
    let server = || RateLimitScope::Server(slug("weather"));
    let world = world(vec![
        scoped(RateLimitScope::Organization, limit(Key::Organization, 1)),
        scoped(RateLimitScope::Gateway, limit(Key::Gateway, 2)),
        scoped(RateLimitScope::Gateway, limit(Key::Principal, 3)),
        scoped(RateLimitScope::Organization, limit(Key::Team, 4)),
        scoped(server(), limit(Key::Server, 5)),
        scoped(binding(), limit(Key::Tool, 6)),
    ]);
    let policy = &world.gateway().policy;
    let keys = |filters| -> Vec<Key> { limits(filters).iter().map(|it| it.per).collect() };
    assert_eq!(
        keys(policy.admit()),
        [Key::Principal, Key::Team, Key::Gateway, Key::Organization]
    );
    assert_eq!(
        keys(policy.before_call(&slug("weather"))),
        [Key::Tool, Key::Server]
    );
    assert!(policy.before_call(&slug("files")).is_empty());
}

#[test]
fn limits_of_one_key_apply_from_the_short_to_the_long_interval() {
    let seconds = |seconds: u64| {
        let limit = RateLimit {
            interval: Duration::from_secs(seconds),
            ..limit(RateLimitKey::Principal, 1)
        };
        scoped(RateLimitScope::Gateway, limit)
    };
    let world = world(vec![seconds(3_600), seconds(1), seconds(60)]);
    let intervals = limits(world.gateway().policy.admit()).into_iter();
    let intervals: Vec<u64> = intervals.map(|it| it.limit.interval.as_secs()).collect();
    assert_eq!(intervals, [1, 60, 3_600]);
}

#[test]
fn each_key_selects_its_own_quota() {
    use RateLimitKey as Key;
    let world = world(vec![
        scoped(RateLimitScope::Organization, limit(Key::Principal, 1)),
        scoped(RateLimitScope::Organization, limit(Key::Token, 1)),
        scoped(RateLimitScope::Organization, limit(Key::Team, 1)),
        scoped(RateLimitScope::Organization, limit(Key::Organization, 1)),
    ]);
    let admit = limits(world.gateway().policy.admit());
    let buckets = |token: &str| -> Vec<Option<BucketKey>> {
        let caller = world.caller(token);
        admit
            .iter()
            .map(|limit| limit.bucket(&caller, None))
            .collect()
    };
    let ada = Arc::clone(world.caller("all").principal());
    assert_eq!(
        buckets("all"),
        [
            Some(BucketKey::Token(hash("all").into())),
            Some(BucketKey::Principal(Arc::clone(&ada))),
            None,
            Some(BucketKey::Whole),
        ]
    );
    // Another token of the same principal.
    assert_eq!(buckets("few")[1], Some(BucketKey::Principal(ada)));
    assert_ne!(buckets("few")[0], buckets("all")[0]);
    assert_eq!(buckets("team")[2], Some(BucketKey::Team(slug("blue"))));
}

#[test]
fn a_limit_per_token_is_shared_by_all_tokens_of_a_subject_of_an_identity_provider() {
    let per_token = limit(RateLimitKey::Token, 1);
    let world = world(vec![scoped(RateLimitScope::Gateway, per_token)]);
    let admit = limits(world.gateway().policy.admit());
    let external = |subject: &str, provider: &str, proof: u8| {
        let subject = PrincipalSubject::External {
            provider: slug("corp"),
            uid: Uid::of(&provider),
            subject: subject.into(),
        };
        let org = slug("acme");
        let authn = Authn {
            id: AuthnId([proof; 32]),
            kind: AuthnKind::IdentityProvider,
            expires: None,
        };
        let grant = Arc::clone(world.caller("all").grant());
        let caller = Caller::new(Arc::new(Principal { org, subject }), grant, authn);
        admit[0].bucket(&caller, None).unwrap()
    };
    let ada = external("ada", "corp", 1);
    assert_eq!(external("ada", "corp", 2), ada);
    assert_ne!(external("bob", "corp", 1), ada);
    // The same text of another provider is another subject.
    assert_ne!(external("ada", "other", 1), ada);
}

#[test]
fn a_limit_per_tool_counts_each_tool_and_named_tools_only() {
    use RateLimitKey as Key;
    let few = RateLimit {
        tools: vec!["now".to_owned()],
        ..limit(Key::Server, 1)
    };
    let scope = || RateLimitScope::Binding(slug("weather"));
    let world = world(vec![
        scoped(scope(), limit(Key::Tool, 1)),
        scoped(scope(), few),
    ]);
    let filters = limits(world.gateway().policy.before_call(&slug("weather")));
    let [each, named] = filters[..] else {
        panic!("{filters:?}");
    };
    let caller = world.caller("all");
    let bucket = |limit: &RateLimitFilter, tool| limit.bucket(&caller, Some(&call(&world, tool)));
    // By the name at the server, which is not the exposed name.
    assert_eq!(
        bucket(each, "weather__now"),
        Some(BucketKey::Tool("now".into()))
    );
    assert_eq!(
        bucket(each, "weather__forecast"),
        Some(BucketKey::Tool("forecast".into()))
    );
    assert_eq!(bucket(named, "weather__now"), Some(BucketKey::Whole));
    assert_eq!(bucket(named, "weather__forecast"), None);
    assert_eq!(each.bucket(&caller, None), None);
}

#[test]
fn gateways_share_the_quotas_of_their_organization_and_servers_only() {
    use RateLimitKey as Key;
    let shared = [
        RateLimitScope::Organization,
        RateLimitScope::Server(slug("files")),
    ];
    let own = [
        RateLimitScope::Gateway,
        RateLimitScope::Binding(slug("files")),
    ];
    let all = shared.iter().chain(&own).cloned();
    let world = world(
        all.map(|scope| scoped(scope, limit(Key::Principal, 1)))
            .collect(),
    );
    let ids = |gateway: &str| -> Vec<_> {
        let policy = &world.view.gateway(gateway).unwrap().policy;
        policy
            .filters()
            .map(|Filter::RateLimit(limit)| limit.id)
            .collect()
    };
    let (main, second) = (ids("main"), ids("second"));
    let same = main.iter().filter(|id| second.contains(id)).count();
    assert_eq!((main.len(), same), (4, 2));
}

#[test]
fn a_changed_limit_has_a_new_quota_and_an_unchanged_one_keeps_it() {
    let id = |requests| {
        let world = world(vec![scoped(
            RateLimitScope::Gateway,
            limit(RateLimitKey::Gateway, requests),
        )]);
        limits(world.gateway().policy.admit())[0].id
    };
    assert_eq!(id(1), id(1));
    assert_ne!(id(1), id(2));
}

proptest! {
    /// With at least ten requests for each proxy, the fleet serves the limit within 10 %: the rate and the burst.
    #[test]
    fn the_parts_of_a_fleet_add_up_to_the_limit(
        proxies in 1u32..200,
        requests in 1u32..1_000_000,
        burst in proptest::option::of(1u32..1_000_000),
        seconds in 1u64..86_400,
    ) {
        let limit = RateLimit {
            burst: burst.and_then(|burst| NonZeroU32::new(burst % requests + 1)),
            interval: Duration::from_secs(seconds),
            ..limit(RateLimitKey::Gateway, requests)
        };
        let part = DividedQuota::new(&limit, NonZeroU32::new(proxies).unwrap());
        let total_burst = u64::from(part.burst.get()) * u64::from(proxies);
        let whole_burst = u64::from(limit.burst().get());
        prop_assert!(total_burst <= whole_burst.max(u64::from(proxies)));
        if whole_burst >= 10 * u64::from(proxies) {
            prop_assert!(total_burst * 10 >= whole_burst * 9);
        }
        // Requests of the whole fleet in an interval, in thousandths.
        let each = limit.interval.as_nanos() * 1_000 / part.period.as_nanos();
        let served = each * u128::from(proxies);
        let wanted = u128::from(requests) * 1_000;
        prop_assert!(served <= wanted);
        prop_assert!(served * 10 >= wanted * 9 || each < 10, "{served} of {wanted}");
    }
}

#[test]
fn every_proxy_permits_a_request_even_if_there_are_more_proxies_than_requests() {
    let part = DividedQuota::new(
        &limit(RateLimitKey::Gateway, 2),
        NonZeroU32::new(5).unwrap(),
    );
    assert_eq!(part.burst, NonZeroU32::MIN);
    assert_eq!(part.period, Duration::from_secs(150));
}
