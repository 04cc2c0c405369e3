//! Tests of pushes: reassembly from parts, and invalid resources that affect no other resource.

use std::collections::BTreeMap;

use proptest::{collection, option, prelude::*};
use toolgate_model::{
    AllowList, CallTimeouts, CredentialScope, Delta, Endpoint, EndpointList, ObjectName,
    ResourceKey, Snapshot, SnapshotResource, SnapshotResourceKind, Timestamp, TokenHash,
    TokenSubject, Uid,
    snapshot::{
        CredentialRef, DefinitionsResource, ExposedPrompt, ExposedTool, GatewayResource,
        RateLimitScope, ScopedRateLimit, ServerResource, SnapshotEntry, TokenResource, ToolShape,
        UriMode,
    },
};

use super::*;
use crate::{ProtoConversion as _, strategies as s};

fn gateway() -> impl Strategy<Value = SnapshotResource> {
    let shape =
        (option::of(".{0,20}"), s::arguments()).prop_map(|(description, (fixed, hidden))| {
            ToolShape {
                description,
                fixed,
                hidden,
            }
        });
    let tool = (
        ".{1,20}",
        s::slug(),
        ".{1,20}",
        s::digest(),
        option::of(shape),
    )
        .prop_map(|(exposed, server, original, digest, shape)| ExposedTool {
            exposed,
            server,
            original,
            digest,
            shape,
        });
    let prompt = (".{1,20}", s::slug(), ".{1,20}", s::digest()).prop_map(
        |(exposed, server, original, digest)| ExposedPrompt {
            exposed,
            server,
            original,
            digest,
        },
    );
    let slugs = || collection::vec(s::slug(), 0..4);
    let lists = (
        collection::vec(tool, 0..4),
        collection::vec(prompt, 0..4),
        slugs(),
        slugs(),
        collection::btree_map(s::slug(), s::timeout(), 0..4),
        collection::vec(scoped_rate_limit(), 0..3),
    );
    let uris = prop_oneof![Just(UriMode::Prefixed), Just(UriMode::Through)];
    let uid = option::of(any::<u64>().prop_map(|unique| Uid::of(&unique)));
    let providers = collection::vec(s::trusted_issuer(), 0..3);
    let shown = (uris, s::listing(), uid, providers);
    (".{0,20}", ".{0,40}", lists, shown).prop_map(
        |(
            display_name,
            instructions,
            (tools, prompts, resources, servers, timeouts, rate_limits),
            (uris, listing, uid, identity_providers),
        )| {
            let timeouts = timeouts.into_iter();
            let timeouts = timeouts.filter_map(|(server, most)| Some((server, most?)));
            SnapshotResource::Gateway(GatewayResource {
                uid,
                display_name,
                instructions,
                tools,
                prompts,
                resources,
                uris,
                listing,
                servers,
                timeouts: timeouts.collect(),
                rate_limits,
                identity_providers,
                must_understand: Vec::new(),
            })
        },
    )
}

fn scoped_rate_limit() -> impl Strategy<Value = ScopedRateLimit> {
    let scope = prop_oneof![
        Just(RateLimitScope::Organization),
        Just(RateLimitScope::Gateway),
        s::slug().prop_map(RateLimitScope::Server),
        s::slug().prop_map(RateLimitScope::Binding),
    ];
    (scope, s::rate_limit()).prop_map(|(scope, limit)| ScopedRateLimit { scope, limit })
}

fn server() -> impl Strategy<Value = SnapshotResource> {
    let credential = (s::slug(), any::<u64>());
    let credential = credential.prop_map(|(id, revision)| CredentialRef {
        id,
        revision,
        scope: if revision % 2 == 0 {
            CredentialScope::Shared
        } else {
            CredentialScope::PerPrincipal
        },
    });
    let policy = (s::timeouts(), s::relay(), s::sharing(), s::max_answer());
    (
        s::endpoints(),
        option::of(credential),
        s::era(),
        "\\PC{0,10}",
        policy,
    )
        .prop_map(
            |(
                endpoints,
                credential,
                era,
                protocol_version,
                (timeouts, relay, sharing, max_answer),
            )| {
                SnapshotResource::Server(ServerResource {
                    endpoints,
                    credential,
                    era,
                    legacy_version: protocol_version.clone(),
                    protocol_version,
                    timeouts,
                    relay,
                    sharing,
                    max_answer,
                })
            },
        )
}

fn catalogue() -> impl Strategy<Value = SnapshotResource> {
    (s::lists(), ".{0,40}", ".{0,40}").prop_map(
        |([tools, prompts, resources, templates], instructions, capabilities)| {
            SnapshotResource::Catalogue(DefinitionsResource {
                tools,
                prompts,
                resources,
                templates,
                instructions,
                capabilities,
            })
        },
    )
}

fn token() -> impl Strategy<Value = SnapshotResource> {
    let reach = (s::reach(s::slug()), s::reach(".{1,20}".boxed()));
    let expires = option::of((1..=u64::MAX).prop_map(Timestamp));
    let rest = (expires, s::rate_limits());
    (s::digest(), s::subject(), reach, rest).prop_map(
        |(hash, subject, (gateways, tools), (expires, rate_limits))| {
            SnapshotResource::Token(TokenResource {
                hash: TokenHash(hash.0),
                subject,
                gateways,
                tools,
                expires,
                rate_limits,
            })
        },
    )
}

fn pair() -> impl Strategy<Value = (ResourceKey, SnapshotEntry)> {
    let resource = prop_oneof![gateway(), server(), catalogue(), token()];
    (s::name(), resource).prop_map(|(name, resource)| {
        let kind = match &resource {
            SnapshotResource::Gateway(_) => SnapshotResourceKind::Gateway,
            SnapshotResource::Server(_) => SnapshotResourceKind::Server,
            SnapshotResource::Catalogue(_) => SnapshotResourceKind::Catalogue,
            SnapshotResource::Token(_) => SnapshotResourceKind::Token,
        };
        (ResourceKey { kind, name }, SnapshotEntry::new(resource))
    })
}

proptest! {
    #[test]
    fn a_delta_round_trips_through_its_messages(
        puts in collection::vec(pair(), 0..8),
        removes in collection::btree_set(s::key(), 0..4),
        version in s::version(),
        nonce in any::<u64>(),
    ) {
        let puts: BTreeMap<_, _> = puts.into_iter().filter(|(key, _)| !removes.contains(key)).collect();
        let delta = Delta {
            version,
            puts: puts.into_iter().collect(),
            removes: removes.into_iter().collect(),
        };
        let mut assembly = UpdateAssembler::default();
        let mut incoming = None;
        for message in updates(nonce, delta.clone()) {
            prop_assert!(incoming.is_none());
            incoming = assembly.add_part(message).unwrap();
        }
        let incoming = incoming.unwrap();
        prop_assert_eq!((incoming.nonce, incoming.version), (nonce, version));
        prop_assert_eq!(incoming.puts, delta.puts);
        prop_assert_eq!(incoming.removes, delta.removes);
        prop_assert!(incoming.rejected.is_empty() && incoming.denied.is_empty());
    }

    #[test]
    fn the_held_state_round_trips(held in collection::btree_map(s::key(), s::digest(), 0..8)) {
        prop_assert_eq!(digests(&digests_to_proto(&held)), held);
    }
}

proptest! {
    #[test]
    fn a_hello_round_trips_through_its_message(
        proxy in s::slug(),
        texts in ("\\PC{0,20}", "\\PC{0,20}", "\\PC{0,20}"),
        started in any::<u64>(),
        held in s::version(),
        resources in collection::btree_map(s::key(), s::digest(), 0..4),
    ) {
        let hello = ProxyHello {
            proxy,
            region: texts.0,
            build: texts.1,
            listen: texts.2,
            started: Timestamp(started),
            held,
            resources,
            reads_continued: started % 2 == 1,
        };
        prop_assert_eq!(ProxyHello::from_proto(&hello.to_proto()), Ok(hello));
    }
}

fn key_of(kind: SnapshotResourceKind) -> ResourceKey {
    let name = ObjectName::new("acme".parse().unwrap(), "x".parse().unwrap());
    ResourceKey { kind, name }
}

fn plain_server() -> pb::Resource {
    let resource = SnapshotResource::Server(ServerResource {
        endpoints: "https://example.com/mcp".parse().unwrap(),
        credential: None,
        era: None,
        protocol_version: String::new(),
        legacy_version: String::new(),
        timeouts: CallTimeouts::default(),
        relay: toolgate_model::RelayPolicy::default(),
        sharing: toolgate_model::SessionSharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
    });
    resource_to_proto(
        &key_of(SnapshotResourceKind::Server),
        &SnapshotEntry::new(resource),
    )
}

fn endpoint(url: &str, region: &str) -> pb::Endpoint {
    pb::Endpoint {
        url: url.into(),
        region: region.into(),
    }
}

#[test]
fn a_server_with_one_plain_endpoint_is_read_by_builds_that_know_its_url_alone() {
    let message = plain_server();
    let Some(pb::resource::Body::Server(server)) = &message.body else {
        panic!("no server");
    };
    // Neither the message nor the digest has anything that such a build does not read.
    assert_eq!(server.url, "https://example.com/mcp");
    assert!(server.endpoints.is_empty() && server.credential_scope.is_empty());
    let known = r#"{"Server":{"url":"https://example.com/mcp","credential":null,"era":null,"protocol_version":"","timeouts":{"connect":{"secs":5,"nanos":0},"first_byte":{"secs":60,"nanos":0},"idle":{"secs":60,"nanos":0},"total":{"secs":300,"nanos":0}}}}"#;
    let known = toolgate_model::Digest::of_bytes(known.as_bytes());
    assert_eq!(message.digest, known.0);
}

#[test]
fn a_server_with_several_endpoints_fills_the_old_url_too() {
    let endpoints = [
        ("https://a.example/mcp", Some("eu")),
        ("https://b.example/mcp", None),
    ];
    let endpoints = endpoints.map(|(url, region)| Endpoint {
        url: url.parse().unwrap(),
        region: region.map(str::to_owned),
    });
    let endpoints = EndpointList::new(endpoints.to_vec()).unwrap();
    let key = key_of(SnapshotResourceKind::Server);
    let ReceivedResource::Accepted(_, plain) = check_resource(&plain_server()) else {
        panic!("rejected");
    };
    let SnapshotResource::Server(mut resource) = SnapshotResource::clone(&plain.resource) else {
        panic!("no server");
    };
    resource.endpoints = endpoints;
    let entry = SnapshotEntry::new(SnapshotResource::Server(resource));
    let message = resource_to_proto(&key, &entry);
    assert_eq!(
        check_resource(&message),
        ReceivedResource::Accepted(key, entry)
    );
    let Some(pb::resource::Body::Server(listed)) = message.body else {
        panic!("no server");
    };
    assert_eq!(
        (listed.url.as_str(), listed.endpoints.len()),
        ("https://a.example/mcp", 2)
    );
}

#[test]
fn a_gateway_with_an_identity_is_read_by_builds_that_know_none() {
    let key = key_of(SnapshotResourceKind::Gateway);
    let entry = |unique: Option<&str>| {
        SnapshotEntry::new(SnapshotResource::Gateway(GatewayResource {
            uid: unique.map(|unique| Uid::of(&unique)),
            display_name: "Tools".into(),
            ..GatewayResource::default()
        }))
    };
    let (without, first) = (entry(None), entry(Some("first")));
    let second = entry(Some("second"));
    let message = resource_to_proto(&key, &first);
    // Such a build computes the digest of what it reads.
    assert_eq!(message.digest, without.digest.0);
    let accepted = ReceivedResource::Accepted(key.clone(), first.clone());
    assert_eq!(check_resource(&message), accepted);
    // A gateway made later under the same name with the same content is sent.
    let snapshot = |entry: SnapshotEntry| Snapshot {
        version: Version::default(),
        entries: [(key.clone(), entry)].into_iter().collect(),
    };
    let (before, after) = (snapshot(first), snapshot(second));
    assert_eq!(after.since(&before.digests()).puts.len(), 1);
    assert_eq!(after.changes_from(&before).puts.len(), 1);
}

fn plain_gateway() -> pb::Resource {
    let resource = SnapshotResource::Gateway(GatewayResource {
        display_name: "Tools".into(),
        instructions: String::new(),
        tools: Vec::new(),
        servers: Vec::new(),
        must_understand: Vec::new(),
        ..GatewayResource::default()
    });
    resource_to_proto(
        &key_of(SnapshotResourceKind::Gateway),
        &SnapshotEntry::new(resource),
    )
}

fn with_gateway(change: impl Fn(&mut pb::Gateway)) -> pb::Resource {
    let mut resource = plain_gateway();
    if let Some(pb::resource::Body::Gateway(gateway)) = &mut resource.body {
        change(gateway);
    }
    resource
}

fn with_server(change: impl Fn(&mut pb::Server)) -> pb::Resource {
    let mut resource = plain_server();
    if let Some(pb::resource::Body::Server(server)) = &mut resource.body {
        change(server);
    }
    resource
}

/// Returns servers with invalid endpoints or references, each with the field that the error names.
fn endpoint_poisons() -> Vec<(pb::Resource, &'static str)> {
    vec![
        (
            with_server(|s| s.endpoints = vec![endpoint("gopher://x", "eu")]),
            "server.endpoints[0].url",
        ),
        (
            with_server(|s| s.endpoints = vec![endpoint("https://x", "e\nu")]),
            "server.endpoints[0].region",
        ),
        (
            with_server(|s| s.endpoints = vec![endpoint("https://x", ""); 17]),
            "server.endpoints",
        ),
        (
            with_server(|s| {
                s.credential = "key".into();
                s.credential_scope = "team".into();
            }),
            "server.credential_scope",
        ),
        // An altered list makes another server.
        (
            with_server(|s| s.endpoints = vec![endpoint("https://x", "")]),
            "digest",
        ),
    ]
}

/// Returns invalid resources, each with the field that the error names.
fn poisons() -> Vec<(pb::Resource, &'static str)> {
    let mut no_key = plain_server();
    no_key.key = None;
    let mut unknown_kind = plain_server();
    unknown_kind.key = Some(pb::ResourceKey {
        kind: 77,
        org: "acme".into(),
        id: "x".into(),
    });
    let mut no_body = plain_server();
    no_body.body = None;
    let mut other_body = plain_server();
    other_body.body = plain_gateway().body;
    let mut short_digest = plain_server();
    short_digest.digest.pop();
    let mut wrong_digest = plain_server();
    wrong_digest.digest[0] ^= 1;
    let tool = pb::Tool {
        exposed: "t".into(),
        server: "git".into(),
        original: "t".into(),
        digest: vec![0; 32],
        shape: None,
    };
    let blank_tool = pb::Tool::default();
    vec![
        (no_key, "key"),
        (unknown_kind, "key.kind"),
        (no_body, "body"),
        (other_body, "body"),
        (short_digest, "digest"),
        (wrong_digest, "digest"),
        (with_server(|s| s.url.clear()), "server.url"),
        (with_server(|s| s.url = "gopher://x".into()), "server.url"),
        (
            with_server(|s| s.url = "https://u:p@x".into()),
            "server.url",
        ),
        (with_server(|s| s.era = "future".into()), "server.era"),
        (with_server(|s| s.total_ms = 0), "server.total_ms"),
        (with_server(|s| s.idle_ms = u64::MAX), "server.idle_ms"),
        (
            with_server(|s| s.credential = "NOT AN ID".into()),
            "server.credential",
        ),
        (
            with_gateway(|g| g.tools = vec![blank_tool.clone()]),
            "gateway.tools[0].exposed",
        ),
        (
            with_gateway(|g| g.tools = vec![tool.clone(); 10_001]),
            "gateway.tools",
        ),
        (
            with_gateway(|g| g.tools = vec![tool.clone(); 100_000]),
            "gateway.tools",
        ),
        (
            with_gateway(|g| g.servers = vec!["a/b".into()]),
            "gateway.servers[0]",
        ),
        (
            with_gateway(|g| g.instructions = "x".repeat(1 << 20)),
            "gateway.instructions",
        ),
        (
            with_gateway(|g| g.display_name = "altered".into()),
            "digest",
        ),
        // Another listing makes another gateway. A proxy that does not read the field keeps the last gateway it could
        // read.
        (with_gateway(|g| g.progressive = true), "digest"),
        (with_gateway(|g| g.uid = "tools".into()), "gateway.uid"),
    ]
}

#[test]
fn each_poisoned_resource_is_rejected_alone() {
    let mut update = pb::Update {
        version: Some(pb::Version::default()),
        puts: vec![plain_server()],
        ..Default::default()
    };
    for (poison, field) in poisons().into_iter().chain(endpoint_poisons()) {
        update.puts.push(poison.clone());
        match check_resource(&poison) {
            ReceivedResource::Rejected(rejected) => assert!(
                rejected.reason.contains(&format!("{field}: ")),
                "{field}: {}",
                rejected.reason
            ),
            taken @ (ReceivedResource::Accepted(..) | ReceivedResource::Denied(..)) => {
                panic!("{field} was taken: {taken:?}")
            }
        }
    }
    let poisons = update.puts.len() - 1;
    let incoming = UpdateAssembler::default()
        .add_part(update)
        .unwrap()
        .unwrap();
    assert_eq!((incoming.puts.len(), incoming.rejected.len()), (1, poisons));
}

#[test]
fn a_gateway_with_an_unknown_security_field_is_denied() {
    let message = with_gateway(|gateway| {
        gateway.must_understand = vec!["geo_fence".into()];
        gateway.display_name = "x".repeat(1 << 20);
        gateway.uid = Uid::of(&"tools").to_string();
    });
    match check_resource(&message) {
        ReceivedResource::Denied(key, placeholder, rejected) => {
            let expected = GatewayResource::denied("geo_fence".into(), Some(Uid::of(&"tools")));
            assert_eq!(*placeholder, expected);
            assert_eq!(key, key_of(SnapshotResourceKind::Gateway));
            assert!(rejected.reason.contains("geo_fence"), "{}", rejected.reason);
        }
        other @ (ReceivedResource::Accepted(..) | ReceivedResource::Rejected(_)) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn a_large_delta_is_split_and_an_interleaved_part_is_an_error() {
    let mut snapshot = Snapshot::default();
    for at in 0..6 {
        let name = ObjectName::new("acme".parse().unwrap(), format!("c{at}").parse().unwrap());
        let kind = SnapshotResourceKind::Catalogue;
        let catalogue = DefinitionsResource {
            tools: Vec::new(),
            instructions: "x".repeat(60_000),
            capabilities: String::new(),
            ..DefinitionsResource::default()
        };
        for copy in 0..10 {
            let id = format!("{}-{copy}", name.id).parse().unwrap();
            let name = ObjectName::new(name.org.clone(), id);
            let entry = SnapshotEntry::new(SnapshotResource::Catalogue(catalogue.clone()));
            snapshot.entries.insert(ResourceKey { kind, name }, entry);
        }
    }
    let parts: Vec<_> = updates(7, snapshot.since(&BTreeMap::new())).collect();
    assert!(parts.len() > 2, "{} parts", parts.len());
    let mut assembly = UpdateAssembler::default();
    assert_eq!(assembly.add_part(parts[0].clone()), Ok(None));
    let mut foreign = parts[1].clone();
    foreign.nonce = 8;
    assert!(assembly.add_part(foreign).is_err());
}

/// Returns a snapshot of one server with many definitions in each list.
fn large_definitions() -> Snapshot {
    let definition = |kind: &str, n: usize| toolgate_model::Definition {
        name: format!("{kind}{n}"),
        digest: toolgate_model::Digest::of_bytes(format!("{kind}{n}").as_bytes()),
        json: format!("{{\"x\":\"{}\"}}", "y".repeat(1_000)).into(),
    };
    let list = |kind: &str, count: usize| (0..count).map(|n| definition(kind, n)).collect();
    let catalogue = DefinitionsResource {
        tools: list("tool", 10_000),
        prompts: list("prompt", 500),
        resources: list("memo:", 2_000),
        templates: list("memo:{a}", 100),
        instructions: "x".to_owned(),
        capabilities: "{}".to_owned(),
    };
    let mut snapshot = Snapshot::default();
    let entry = SnapshotEntry::new(SnapshotResource::Catalogue(catalogue));
    snapshot
        .entries
        .insert(key_of(SnapshotResourceKind::Catalogue), entry);
    let entry = SnapshotEntry::new(SnapshotResource::Catalogue(DefinitionsResource::default()));
    let name = ObjectName::new("acme".parse().unwrap(), "y".parse().unwrap());
    let kind = SnapshotResourceKind::Catalogue;
    snapshot.entries.insert(ResourceKey { kind, name }, entry);
    snapshot
}

#[test]
fn large_definitions_are_pushed_in_messages_of_bounded_size() {
    let snapshot = large_definitions();
    let mut assembly = UpdateAssembler::default();
    let (mut received, mut count) = (None, 0);
    for message in continued_updates(7, snapshot.since(&BTreeMap::new())) {
        assert!(received.is_none());
        let size = prost::Message::encoded_len(&message);
        assert!(size < 4 * 1024 * 1024, "{size} bytes in one message");
        received = assembly.add_part(message).unwrap();
        count += 1;
    }
    let received = received.unwrap();
    assert!(count > 10, "{count} messages");
    assert_eq!(received.rejected, []);
    assert_eq!(received.puts, snapshot.since(&BTreeMap::new()).puts);
}

#[test]
fn a_resource_that_does_not_continue_as_it_says_is_rejected() {
    let snapshot = large_definitions();
    let delta = snapshot.since(&BTreeMap::new());
    let mut messages: Vec<_> = continued_updates(7, delta).collect();
    let lost = messages.remove(3);
    assert!(lost.more);
    let mut assembly = UpdateAssembler::default();
    let received = messages
        .into_iter()
        .find_map(|it| assembly.add_part(it).unwrap());
    let received = received.unwrap();
    assert_eq!((received.puts.len(), received.rejected.len()), (1, 1));
    assert!(received.rejected[0].reason.starts_with("digest"));
}

#[test]
fn proxies_of_earlier_builds_get_a_resource_in_one_message() {
    let snapshot = large_definitions();
    let messages = updates(7, snapshot.since(&BTreeMap::new()));
    let puts: Vec<_> = messages.flat_map(|it| it.puts).collect();
    assert_eq!(puts.len(), snapshot.entries.len());
    assert!(puts.iter().all(|it| !it.continues));
}

#[test]
fn an_expiry_at_the_unix_epoch_does_not_become_never() {
    let resource = SnapshotResource::Token(TokenResource {
        hash: TokenHash([1; 32]),
        subject: TokenSubject::Organization,
        gateways: AllowList::All,
        tools: AllowList::All,
        expires: Some(Timestamp(0)),
        rate_limits: Vec::new(),
    });
    let message = resource_to_proto(
        &key_of(SnapshotResourceKind::Token),
        &SnapshotEntry::new(resource),
    );
    // The digest no longer matches, so the token is rejected: an expired token stays rejected.
    assert!(matches!(
        check_resource(&message),
        ReceivedResource::Rejected(_)
    ));
}

#[test]
fn the_times_of_a_report_are_those_of_the_clock_that_receives_it() {
    let failing = toolgate_model::ServerHealth {
        server: toolgate_model::ObjectName::new("acme".parse().unwrap(), "git".parse().unwrap()),
        state: toolgate_model::HealthState::Available,
        failing_since: Timestamp(940_000),
        recovered: Some(Timestamp(1_000_000)),
        failure: "upstream_timeout".to_owned(),
        detail: "the server took too long".to_owned(),
        outages: 3,
        endpoints: vec![toolgate_model::EndpointFailure {
            endpoint: toolgate_model::Endpoint {
                url: "https://a.example/mcp".parse().unwrap(),
                region: Some("eu".to_owned()),
            },
            failing_since: Timestamp(950_000),
            failure: "upstream_unreachable".to_owned(),
            detail: String::new(),
        }],
    };
    let report = super::ProxyReport {
        proxy: "p1".parse().unwrap(),
        sent: Timestamp(1_000_000),
        round_trip: None,
        servers: vec![failing.clone()],
        replaces_servers: true,
    };
    let received = super::ProxyReport::from_proto(&report.to_proto()).unwrap();
    assert_eq!(received.clock(Timestamp(5_000_000)), None, "not known yet");
    let [moved] = &received.servers_at(Timestamp(5_000_000))[..] else {
        panic!("{received:?}");
    };
    assert_eq!(moved.failing_since, Timestamp(4_940_000));
    assert_eq!(moved.endpoints[0].failing_since, Timestamp(4_950_000));
    assert_eq!(moved.endpoints[0].endpoint, failing.endpoints[0].endpoint);
    // A failure that has ended at once differs from one that lasts.
    assert_eq!(moved.recovered, Some(Timestamp(4_999_999)));
    assert_eq!(
        (moved.outages, moved.detail.as_str()),
        (3, failing.detail.as_str())
    );
}
