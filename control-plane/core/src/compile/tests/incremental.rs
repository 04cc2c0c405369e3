//! Tests that compiling the changes and compiling the whole state have equal results, and that the work for changes does not
//! depend on the number of objects.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc, time::Duration};

use proptest::prelude::*;
use toolgate_model::{
    AllowList, Credential, CredentialHosts, DriftPolicy, Gateway, GatewayClaim, Organization,
    PrefixMode, RateLimit, RateLimitKey, Server, ServerBinding, ServerDefinitions, Slug, Timestamp,
    Token, Uid,
};

use super::*;
use crate::{
    ListedObject, ObjectEvent, ObjectKey, StateKind, VersionMarker, compile::dependents,
    fixture::organization,
};

const ORGS: &[&str] = &["aa", "bb"];
const IDS: &[&str] = &["x", "y", "z"];

/// Direct write to the store, without a decision.
#[derive(Debug, Clone)]
enum RawWrite {
    Put(ObjectKey, ControlObject),
    Delete(ObjectKey),
    /// Value that cannot be read.
    Garbage(ObjectKey),
}

fn one_of(items: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(items)
}

fn some_name() -> impl Strategy<Value = ObjectName> {
    (one_of(ORGS), one_of(IDS)).prop_map(|(org, id)| name(org, id))
}

fn limit() -> RateLimit {
    RateLimit {
        per: RateLimitKey::Principal,
        requests: NonZeroU32::MIN,
        interval: Duration::from_secs(60),
        burst: None,
        tools: Vec::new(),
    }
}

fn put<K: StateKind>(object: K) -> RawWrite {
    let object = Arc::new(object);
    RawWrite::Put(K::key(object.id().clone()), object.to_object())
}

fn some_organization() -> impl Strategy<Value = Organization> {
    (one_of(ORGS), any::<bool>()).prop_map(|(org, limited)| {
        let mut it = organization(org);
        it.rate_limits = limited.then(limit).into_iter().collect();
        it
    })
}

fn some_credential() -> impl Strategy<Value = Credential> {
    (some_name(), any::<bool>()).prop_map(|(name, elsewhere)| {
        let mut it = credential(name.org.as_str(), name.id.as_str());
        if elsewhere {
            it.hosts = CredentialHosts::new(vec!["https://elsewhere.example".parse().unwrap()]);
        }
        it
    })
}

fn some_server() -> impl Strategy<Value = Server> {
    let drift = prop_oneof![4 => Just(DriftPolicy::Follow), 1 => Just(DriftPolicy::Pin)];
    let credential = proptest::option::of(one_of(IDS));
    (some_name(), credential, drift, any::<bool>()).prop_map(
        |(name, credential, drift, limited)| {
            let mut it = server(name.org.as_str(), name.id.as_str(), credential);
            it.drift = drift;
            it.rate_limits = limited.then(limit).into_iter().collect();
            it
        },
    )
}

fn some_definitions() -> impl Strategy<Value = ServerDefinitions> {
    let tools = proptest::sample::subsequence(vec!["t1", "t2", "t3"], 0..3);
    (some_name(), tools, any::<bool>(), 0..3_u64).prop_map(|(name, tools, seen, probed)| {
        let mut it = catalogue(name.org.as_str(), name.id.as_str(), &tools);
        it.era = it.era.filter(|_| seen);
        it.probed = Timestamp(probed);
        it
    })
}

fn some_gateway() -> impl Strategy<Value = Gateway> {
    let mode = proptest::sample::select(vec![
        PrefixMode::Always,
        PrefixMode::Single,
        PrefixMode::Never,
    ]);
    let bindings = proptest::collection::vec(one_of(IDS), 0..4);
    (some_name(), mode, bindings, 0..2_u64).prop_map(|(name, mode, servers, uid)| {
        let mut it = gateway(name.org.as_str(), name.id.as_str(), mode, &[]);
        let all = servers.into_iter().map(slug).map(ServerBinding::all);
        it.bindings = all.collect();
        it.meta.uid = Uid::of(&uid);
        it
    })
}

fn some_token() -> impl Strategy<Value = Token> {
    let gateways = proptest::collection::btree_set(one_of(IDS), 0..3);
    let expires = proptest::option::of(1..6_u64);
    (some_name(), gateways, expires, any::<bool>(), 0..2_u64).prop_map(
        |(name, gateways, expires, revoked, uid)| {
            let mut it = token(name.org.as_str(), name.id.as_str());
            let listed: Vec<Slug> = gateways.into_iter().map(slug).collect();
            let uids = listed.iter().map(|id| (id.clone(), Uid::of(&uid)));
            it.gateway_uids = uids.collect();
            it.gateways = AllowList::of(listed);
            it.expires = expires.map(Timestamp);
            it.revoked = revoked.then_some(Timestamp(1));
            it
        },
    )
}

fn some_put() -> impl Strategy<Value = RawWrite> {
    let marker = (1..3_u64, 0..6_u64).prop_map(|(epoch, at)| {
        let last_change = Timestamp(at);
        let marker = VersionMarker { epoch, last_change };
        RawWrite::Put(ObjectKey::Marker, ControlObject::Marker(marker))
    });
    let claim = (one_of(IDS), one_of(ORGS)).prop_map(|(id, org)| {
        let key = ObjectKey::GatewayId(slug(id));
        RawWrite::Put(
            key,
            ControlObject::GatewayId(GatewayClaim {
                org: slug(org),
                uid: None,
            }),
        )
    });
    prop_oneof![
        2 => some_organization().prop_map(put),
        3 => some_credential().prop_map(put),
        6 => some_server().prop_map(put),
        6 => some_definitions().prop_map(put),
        8 => some_gateway().prop_map(put),
        4 => some_token().prop_map(put),
        2 => marker,
        2 => claim,
    ]
}

fn some_write() -> impl Strategy<Value = RawWrite> {
    (some_put(), 0..10_u8).prop_map(|(write, choice)| match (write, choice) {
        (RawWrite::Put(key, _), 0..2) => RawWrite::Delete(key),
        (RawWrite::Put(key, _), 2) => RawWrite::Garbage(key),
        (write, _) => write,
    })
}

fn event(write: RawWrite, revision: u64) -> ObjectEvent {
    match write {
        RawWrite::Put(key, object) => ObjectEvent::Put {
            key: key.to_string(),
            modified: revision,
            object: Ok(object),
        },
        RawWrite::Garbage(key) => ObjectEvent::Put {
            key: key.to_string(),
            modified: revision,
            object: Err("garbage".to_owned()),
        },
        RawWrite::Delete(key) => ObjectEvent::Delete {
            key: key.to_string(),
            revision,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_compilation_of_changes_equals_that_of_the_whole_state(
        batches in proptest::collection::vec(proptest::collection::vec(some_write(), 1..4), 1..25),
    ) {
        let mut state = StoreState::default();
        let mut compiled = CompileOutput::default();
        let mut shown: CompileOutput = compiled.clone();
        for batch in batches {
            for write in batch {
                let revision = state.revision() + 1;
                state.apply([event(write, revision)], revision);
            }
            let next = recompile(&state, &compiled);
            prop_assert_eq!(&next, &compile(&state));

            // The log of the output names every difference.
            let changed: Option<BTreeSet<_>> = next.changes_since(&shown).map(|keys| keys.cloned().collect());
            let changed = changed.unwrap();
            let keys = next.snapshot.entries.keys().chain(shown.snapshot.entries.keys());
            for key in keys.chain(next.problems.keys()).chain(shown.problems.keys()) {
                let differs = next.snapshot.entries.get(key) != shown.snapshot.entries.get(key)
                    || next.problems_of(key) != shown.problems_of(key);
                prop_assert!(!differs || changed.contains(key), "{key:?}");
            }
            if next.snapshot.entries.len().is_multiple_of(2) {
                shown = next.clone();
            }
            compiled = next;
        }
    }
}

/// Number of gateways that bind one server.
const GATEWAYS_PER_SERVER: usize = 10;
const BINDINGS: usize = 5;

fn server_id(number: usize, servers: usize) -> String {
    format!("server-{}", number % servers)
}

/// Returns the state of an organization with this many gateways, each with a token, and servers in proportion.
fn large_state(gateways: usize) -> StoreState {
    let servers = gateways * BINDINGS / GATEWAYS_PER_SERVER;
    let mut writes = vec![
        RawWrite::Put(
            ObjectKey::Marker,
            ControlObject::Marker(VersionMarker {
                epoch: 1,
                last_change: Timestamp(1),
            }),
        ),
        put(organization("acme")),
        put(credential("acme", "key")),
    ];
    for number in 0..servers {
        let id = server_id(number, servers);
        writes.push(put(server("acme", &id, (number == 0).then_some("key"))));
        writes.push(put(catalogue("acme", &id, &["read", "write"])));
    }
    for number in 0..gateways {
        let (id, first) = (format!("gateway-{number}"), number * BINDINGS);
        let bound: Vec<String> = (first..first + BINDINGS)
            .map(|number| server_id(number, servers))
            .collect();
        let bound: Vec<&str> = bound.iter().map(String::as_str).collect();
        let made = gateway("acme", &id, PrefixMode::Always, &bound);
        let claim = ObjectKey::GatewayId(slug(&id));
        writes.push(RawWrite::Put(
            claim,
            ControlObject::GatewayId(GatewayClaim {
                org: slug("acme"),
                uid: None,
            }),
        ));
        writes.push(put(made));
        let mut token = token("acme", &format!("token-{number}"));
        token.gateways = AllowList::of(vec![slug(&id)]);
        token.expires = Some(Timestamp(1_000_000 + number as u64));
        writes.push(put(token));
    }
    let listed = writes.into_iter().enumerate().map(|(at, write)| {
        let RawWrite::Put(key, object) = write else {
            unreachable!()
        };
        ListedObject {
            key: key.to_string(),
            mod_revision: at as u64 + 1,
            object: Some(Ok(object)),
        }
    });
    let listed: Vec<_> = listed.collect();
    let revision = listed.len() as u64;
    StoreState::from_listing(listed, revision)
}

/// Returns the resources that are compiled again after a write, by the write.
fn compiled_after_each_write(gateways: usize) -> Vec<(&'static str, Vec<ResourceKey>)> {
    let state = large_state(gateways);
    let servers = gateways * BINDINGS / GATEWAYS_PER_SERVER;
    let bound = |number| server_id(number, servers);
    let mut described = server("acme", "server-7", None);
    described.meta.description = "new".to_owned();
    let mut rebound = gateway("acme", "gateway-3", PrefixMode::Always, &[]);
    let all = (1..=BINDINGS).map(|number| ServerBinding::all(slug(&bound(number * 7))));
    rebound.bindings = all.collect();
    let mut probed = catalogue("acme", "server-9", &["read", "write"]);
    probed.probed = Timestamp(99);
    let mut named = organization("acme");
    named.meta.display_name = "Acme".to_owned();
    let mut revoked = token("acme", "token-5");
    revoked.revoked = Some(Timestamp(5));
    let writes = [
        ("a new token", put(token("acme", "new"))),
        ("a revoked token", put(revoked)),
        (
            "a new gateway",
            put(gateway(
                "acme",
                "new",
                PrefixMode::Always,
                &["server-1", "server-2"],
            )),
        ),
        ("other bindings of a gateway", put(rebound)),
        (
            "a deleted gateway",
            RawWrite::Delete(ObjectKey::Gateway(name("acme", "gateway-4"))),
        ),
        ("a new server", put(server("acme", "new", None))),
        ("another description of a server", put(described)),
        (
            "other tools of a server",
            put(catalogue("acme", "server-8", &["read"])),
        ),
        ("a probe without a change", put(probed)),
        (
            "another value of a credential",
            put(credential("acme", "key")),
        ),
        ("another name of the organization", put(named)),
    ];
    let compiled = |(what, write): (&'static str, RawWrite)| {
        let mut after = state.clone();
        let revision = after.revision() + 1;
        after.apply([event(write, revision)], revision);
        let affected = dependents::affected(&state, &after).unwrap();
        (what, affected.into_iter().collect())
    };
    writes.into_iter().map(compiled).collect()
}

#[test]
fn a_write_compiles_the_same_number_of_resources_at_200_and_at_5000_gateways() {
    let (small, large) = (
        compiled_after_each_write(200),
        compiled_after_each_write(5_000),
    );
    for ((what, few), (_, many)) in small.iter().zip(&large) {
        assert_eq!(few.len(), many.len(), "{what}: {few:?} {many:?}");
        // A server with other tools has the most dependents: its gateways, itself and its definitions.
        assert!(few.len() <= GATEWAYS_PER_SERVER + 2, "{what}: {few:?}");
    }
    let of = |wanted: &str| {
        let found = large.iter().find(|(what, _)| *what == wanted);
        found.map(|(_, keys)| keys.len())
    };
    assert_eq!(of("a new token"), Some(1));
    assert_eq!(of("a new gateway"), Some(1));
    assert_eq!(of("another description of a server"), Some(1));
    assert_eq!(of("a probe without a change"), Some(0));
    assert_eq!(of("another value of a credential"), Some(1));
    assert_eq!(of("another name of the organization"), Some(0));
    assert_eq!(of("other tools of a server"), Some(GATEWAYS_PER_SERVER + 2));
}

#[test]
fn an_unchanged_resource_is_shared_with_the_previous_snapshot() {
    let state = large_state(20);
    let before = compile(&state);
    let mut after = state.clone();
    let revision = after.revision() + 1;
    after.apply([event(put(token("acme", "new")), revision)], revision);
    let next = recompile(&after, &before);
    assert_eq!(
        next.snapshot.entries.len(),
        before.snapshot.entries.len() + 1
    );
    for (key, entry) in &before.snapshot.entries {
        let kept = &next.snapshot.entries[key];
        assert!(Arc::ptr_eq(&entry.resource, &kept.resource), "{key:?}");
    }
    assert_eq!(next, compile(&after));
}

#[test]
fn a_state_of_another_lineage_is_compiled_as_a_whole() {
    let compiled = compile(&large_state(20));
    let restored = large_state(10);
    let next = recompile(&restored, &compiled);
    assert_eq!(next, compile(&restored));
    assert!(dependents::affected(&large_state(20), &restored).is_none());
}
