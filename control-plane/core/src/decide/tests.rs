//! Tests of rejections and their messages, and a property test that accepted commands compile.

use std::sync::Arc;

use toolgate_model::{
    AdminRole, BindingSelection, Digest, DriftPolicy, Endpoint, EndpointList, GatewayClaim,
    PrefixMode, ProbeFailure, ProbeProblem, Server, ServerSource, Timestamp, Token,
};

use crate::{
    CallerIdentity, Command, CommandAuthor, CommandContext, ControlObject, ObjectKey,
    OperatorObject, Rejection, RequestId, decide,
    fixture::{
        StoreFixture, catalogue, context, credential, gateway, name, organization, sealed, server,
        slug, token,
    },
    limits,
    object::JoinToken,
};

mod concurrency;
mod credential_fields;
mod credential_use;
mod identities;
mod random;
mod rate_limits;
mod shapes;

fn world() -> StoreFixture {
    let mut world = StoreFixture::with(&["acme", "other"]);
    world
        .create(OperatorObject::Credential(credential("acme", "key")))
        .unwrap();
    world
        .create(OperatorObject::Server(server("acme", "one", Some("key"))))
        .unwrap();
    world
        .create(OperatorObject::Server(server("acme", "two", None)))
        .unwrap();
    world
        .run(Command::RecordDefinitions(catalogue(
            "acme",
            "one",
            &["a", "b"],
        )))
        .unwrap();
    world
        .run(Command::RecordDefinitions(catalogue(
            "acme",
            "two",
            &["b", "c"],
        )))
        .unwrap();
    world
        .create(OperatorObject::Gateway(gateway(
            "acme",
            "tools",
            PrefixMode::Always,
            &["one", "two"],
        )))
        .unwrap();
    world
}

fn field(rejection: Rejection) -> String {
    rejection
        .field()
        .unwrap_or_else(|| panic!("{rejection} names no field"))
        .to_owned()
}

#[test]
fn a_stale_write_is_rejected_with_the_current_revision() {
    let mut world = world();
    let key = ObjectKey::Server(name("acme", "two"));
    let read = world.modified(&key);
    let mut mine = server("acme", "two", None);
    mine.meta.description = "mine".to_owned();
    let theirs = server("acme", "two", Some("key"));
    world
        .run(Command::Update {
            object: OperatorObject::Server(theirs),
            expected: read,
        })
        .unwrap();
    let refused = world.run(Command::Update {
        object: OperatorObject::Server(mine),
        expected: read,
    });
    let current = world.modified(&key);
    assert_eq!(refused, Err(Rejection::Stale { key, current }));
}

#[test]
fn two_control_planes_cannot_both_commit_decisions_that_exclude_each_other() {
    let mut world = world();
    let delete = Command::Delete {
        key: ObjectKey::Server(name("other", "late")),
        expected: None,
    };
    world
        .create(OperatorObject::Server(server("other", "late", None)))
        .unwrap();
    let deleted = decide(&world.state, &delete, &context(1)).unwrap();
    let bind = gateway("other", "late", PrefixMode::Always, &["late"]);
    let bound = decide(
        &world.state,
        &Command::Create(OperatorObject::Gateway(bind)),
        &context(1),
    )
    .unwrap();
    let (base, mut other) = (world.state.clone(), world.clone());
    assert!(world.commit_decided_on(&base, &bound));
    let is_deleted = world.commit_decided_on(&base, &deleted);
    assert!(!is_deleted, "the gateway now needs the server");
    assert!(other.commit_decided_on(&base, &deleted));
    let is_bound = other.commit_decided_on(&base, &bound);
    assert!(!is_bound, "the server is gone");
}

#[test]
fn deleting_a_referenced_object_is_rejected_naming_its_users() {
    let mut world = world();
    for (key, user) in [
        (
            ObjectKey::Server(name("acme", "one")),
            ObjectKey::Gateway(name("acme", "tools")),
        ),
        (
            ObjectKey::Credential(name("acme", "key")),
            ObjectKey::Server(name("acme", "one")),
        ),
    ] {
        let refused = world.run(Command::Delete {
            key: key.clone(),
            expected: None,
        });
        assert_eq!(
            refused,
            Err(Rejection::InUse {
                key,
                by: vec![user]
            })
        );
    }
    let key = ObjectKey::Organization(slug("acme"));
    let refused = world
        .run(Command::Delete {
            key,
            expected: None,
        })
        .unwrap_err()
        .to_string();
    assert!(refused.contains("gateway acme/tools"), "{refused}");
}

#[test]
fn deleting_a_gateway_frees_its_id_and_deleting_a_server_removes_its_definitions() {
    let mut world = world();
    let key = ObjectKey::Gateway(name("acme", "tools"));
    world
        .run(Command::Delete {
            key,
            expected: None,
        })
        .unwrap();
    world
        .create(OperatorObject::Gateway(gateway(
            "other",
            "tools",
            PrefixMode::Always,
            &[],
        )))
        .unwrap();
    let key = ObjectKey::Server(name("acme", "two"));
    world
        .run(Command::Delete {
            key,
            expected: None,
        })
        .unwrap();
    assert!(!world.state.definitions.contains(&name("acme", "two")));
}

#[test]
fn a_gateway_id_is_unique_in_the_deployment() {
    let mut world = world();
    let taken = world.create(OperatorObject::Gateway(gateway(
        "other",
        "tools",
        PrefixMode::Always,
        &[],
    )));
    assert_eq!(field(taken.unwrap_err()), "gateway_id");
}

#[test]
fn an_uncompilable_gateway_is_rejected_with_field_and_reason() {
    let mut world = world();
    let twice = gateway("acme", "g", PrefixMode::Always, &["one", "one"]);
    let mut pinned = server("acme", "p", None);
    pinned.drift = DriftPolicy::Pin;
    let cases = [
        (
            OperatorObject::Gateway(gateway("acme", "g", PrefixMode::Never, &["one", "two"])),
            "spec.bindings[1]",
        ),
        (
            OperatorObject::Gateway(gateway("acme", "g", PrefixMode::Single, &["one", "two"])),
            "spec.bindings",
        ),
        (
            OperatorObject::Gateway(gateway("acme", "g", PrefixMode::Always, &["gone"])),
            "spec.bindings[0].server",
        ),
        (OperatorObject::Gateway(twice), "spec.bindings[1].server"),
        (
            OperatorObject::Server(server("acme", "s", Some("gone"))),
            "spec.credential",
        ),
        (OperatorObject::Server(pinned), "spec.drift"),
    ];
    for (object, at) in cases {
        assert_eq!(field(world.create(object).unwrap_err()), at);
    }
}

#[test]
fn an_existing_problem_does_not_block_other_changes() {
    let mut world = world();
    let mut never = gateway("acme", "never", PrefixMode::Never, &["one", "two"]);
    let only = BindingSelection::Only(vec!["c".to_owned()]);
    never.bindings[1].tools = only;
    world
        .create(OperatorObject::Gateway(never.clone()))
        .unwrap();
    world
        .run(Command::RecordDefinitions(catalogue(
            "acme",
            "one",
            &["a", "c"],
        )))
        .unwrap();
    never.meta.description = "still editable".to_owned();
    let expected = world.modified(&ObjectKey::Gateway(never.name.clone()));
    world
        .run(Command::Update {
            object: OperatorObject::Gateway(never),
            expected,
        })
        .unwrap();
}

#[test]
fn every_limit_holds_at_its_edge() {
    let world = world();
    let create = |object| decide(&world.state, &Command::Create(object), &context(1)).map(drop);
    for (length, fits) in [
        (limits::DISPLAY_NAME, true),
        (limits::DISPLAY_NAME + 1, false),
    ] {
        let mut it = organization("new");
        it.meta.display_name = "é".repeat(length);
        assert_eq!(
            create(OperatorObject::Organization(it)).is_ok(),
            fits,
            "{length}"
        );
    }
    for (count, fits) in [
        (limits::LABELS, true),
        (limits::LABELS + 1, false),
        (limits::LABELS * 10, false),
    ] {
        let mut it = organization("new");
        it.meta.labels = (0..count)
            .map(|n| (format!("k{n}"), String::new()))
            .collect();
        assert_eq!(
            create(OperatorObject::Organization(it)).is_ok(),
            fits,
            "{count}"
        );
    }
    for (count, fits) in [
        (limits::BINDING_TOOLS, true),
        (limits::BINDING_TOOLS + 1, false),
    ] {
        let mut it = gateway("acme", "new", PrefixMode::Always, &["one"]);
        it.bindings[0].tools =
            BindingSelection::Only((0..count).map(|n| format!("t{n}")).collect());
        assert_eq!(create(OperatorObject::Gateway(it)).is_ok(), fits, "{count}");
    }
    let many: Vec<String> = (0..=limits::GATEWAY_BINDINGS)
        .map(|n| format!("s{n}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = create(OperatorObject::Gateway(gateway(
        "acme",
        "new",
        PrefixMode::Always,
        &many,
    )));
    assert_eq!(field(refused.unwrap_err()), "spec.bindings");
}

#[test]
fn a_gateway_exposes_no_more_tools_than_its_limit() {
    let mut world = StoreFixture::with(&["acme"]);
    let tools: Vec<String> = (0..limits::GATEWAY_TOOLS)
        .map(|n| format!("t{n}"))
        .collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    for (id, tools) in [("big", tools.as_slice()), ("small", &["x"])] {
        world
            .create(OperatorObject::Server(server("acme", id, None)))
            .unwrap();
        let record = Command::RecordDefinitions(catalogue("acme", id, tools));
        while world.run(record.clone()).unwrap().is_preparation() {}
    }
    world
        .create(OperatorObject::Gateway(gateway(
            "acme",
            "full",
            PrefixMode::Always,
            &["big"],
        )))
        .unwrap();
    let over = world.create(OperatorObject::Gateway(gateway(
        "acme",
        "over",
        PrefixMode::Always,
        &["big", "small"],
    )));
    assert_eq!(field(over.unwrap_err()), "spec.bindings");
}

#[test]
fn urls_with_secrets_and_protocol_headers_are_rejected() {
    let mut world = world();
    for url in ["http://user:secret@h/mcp", "ftp://h/mcp", "http://h/mcp#x"] {
        let mut bad = server("acme", "s", None);
        bad.source = ServerSource::remote(url.parse().unwrap());
        let refused = world.create(OperatorObject::Server(bad)).unwrap_err();
        assert!(!refused.to_string().contains("secret"), "{refused}");
        assert_eq!(field(refused), "spec.url");
    }
    let listed = |endpoints: &[(&str, &str)]| {
        let endpoint = |(url, region): &(&str, &str)| Endpoint {
            url: url.parse().unwrap(),
            region: Some((*region).to_owned()),
        };
        let endpoints = EndpointList::new(endpoints.iter().map(endpoint).collect()).unwrap();
        let source = ServerSource::Remote { endpoints };
        OperatorObject::Server(Server {
            source,
            ..server("acme", "s", None)
        })
    };
    let (good, many) = (
        ("https://a.example/", "eu"),
        [("https://a.example/", "eu"); 17],
    );
    for (endpoints, at) in [
        (
            &[good, ("http://u:p@h/", "eu")][..],
            "spec.endpoints[1].url",
        ),
        (&[good, ("http://h/", "e u")], "spec.endpoints[1].region"),
        (
            &[good, ("https://a.example/", "us")],
            "spec.endpoints[1].url",
        ),
        (&many, "spec.endpoints"),
    ] {
        let refused = world.create(listed(endpoints)).unwrap_err();
        assert_eq!(field(refused), at);
    }
    world
        .create(listed(&[good, ("https://b.example/", "us")]))
        .unwrap();
    let mut bad = credential("acme", "c");
    bad.kind = toolgate_model::CredentialKind::StaticHeader {
        header: "mcp-session-id".to_owned(),
        value: sealed(),
    };
    assert_eq!(
        field(world.create(OperatorObject::Credential(bad)).unwrap_err()),
        "spec.static_header.header"
    );
}

#[test]
fn a_retry_with_the_same_request_id_writes_once_and_returns_the_same_result() {
    let mut world = world();
    let create = Command::Create(OperatorObject::Token(token("acme", "ci")));
    let with = |digest: &[u8], now| CommandContext {
        request: Some(RequestId {
            id: "r1".to_owned(),
            digest: Digest::of_bytes(digest),
        }),
        ..context(now)
    };
    let first = world.run_as(&create, &with(b"one", 5_000)).unwrap();
    let revision = world.revision;
    let again = world.run_as(&create, &with(b"one", 6_000)).unwrap();
    assert!(again.replayed && again.is_empty());
    assert_eq!(again.subject, first.subject);
    assert_eq!(world.revision, revision);

    let reused = world.run_as(&create, &with(b"two", 6_000));
    assert_eq!(reused, Err(Rejection::RequestReused("r1".to_owned())));
    let later = 5_000 + 3_600_000;
    let forgotten = world.run_as(&create, &with(b"two", later));
    assert_eq!(
        forgotten,
        Err(Rejection::AlreadyExists(ObjectKey::Token(name(
            "acme", "ci"
        ))))
    );
}

#[test]
fn two_concurrent_retries_write_once() {
    let mut world = world();
    let asked = CommandContext {
        request: Some(RequestId {
            id: "r".to_owned(),
            digest: Digest::of_bytes(b"r"),
        }),
        ..context(9)
    };
    let create = Command::CreateSystemKey {
        name: slug("k"),
        sealed: sealed(),
    };
    let one = decide(&world.state, &create, &asked).unwrap();
    let two = decide(&world.state, &create, &asked).unwrap();
    assert!(world.commit(&one));
    assert!(!world.commit(&two));
}

#[test]
fn an_update_keeps_immutable_fields() {
    let mut world = world();
    world
        .create(OperatorObject::Token(token("acme", "ci")))
        .unwrap();
    world.run(Command::RevokeToken(name("acme", "ci"))).unwrap();
    let key = ObjectKey::Token(name("acme", "ci"));
    let before = world.state.tokens.get(&name("acme", "ci")).unwrap().clone();
    let mut forged = token("acme", "ci");
    forged.hash = token("acme", "else").hash;
    forged.system = true;
    forged.meta.display_name = "new".to_owned();
    let expected = world.modified(&key);
    world
        .run(Command::Update {
            object: OperatorObject::Token(forged),
            expected,
        })
        .unwrap();
    let after = world.state.tokens.get(&name("acme", "ci")).unwrap();
    assert_eq!(after.meta.display_name, "new");
    assert_eq!(
        (after.hash, after.revoked, after.system),
        (before.hash, before.revoked, false)
    );
    assert_eq!(after.meta.created, before.meta.created);
}

#[test]
fn an_update_that_changes_nothing_writes_nothing() {
    let mut world = world();
    let key = ObjectKey::Server(name("acme", "two"));
    let expected = world.modified(&key);
    let same = Command::Update {
        object: OperatorObject::Server(server("acme", "two", None)),
        expected,
    };
    assert!(world.run(same).unwrap().is_empty());
    assert_eq!(world.modified(&key), expected);
}

#[test]
fn an_organization_admin_cannot_change_a_deployment_token() {
    let mut world = world();
    let mut boot = token("acme", "boot");
    boot.system = true;
    boot.role = AdminRole::Admin;
    let admin = CommandContext {
        author: CommandAuthor::Caller(CallerIdentity::Token {
            org: slug("acme"),
            role: AdminRole::Admin,
            name: slug("admin"),
        }),
        ..context(1)
    };
    let forged = Command::Create(OperatorObject::Token(boot.clone()));
    assert!(world.run_as(&forged, &admin).is_err());
    world.create(OperatorObject::Token(boot)).unwrap();
    let key = ObjectKey::Token(name("acme", "boot"));
    let delete = Command::Delete {
        key,
        expected: None,
    };
    assert!(world.run_as(&delete, &admin).is_err());
    assert!(
        world
            .run_as(&Command::RevokeToken(name("acme", "boot")), &admin)
            .is_err()
    );
    world
        .run(Command::RevokeToken(name("acme", "boot")))
        .unwrap();
}

#[test]
fn the_bootstrap_token_gets_no_expiry_but_may_lose_one() {
    let mut world = world();
    let boot = |expires| Token {
        system: true,
        expires,
        ..token("acme", "boot")
    };
    let update = |world: &StoreFixture, expires| Command::Update {
        object: boot(expires).into(),
        expected: world.modified(&ObjectKey::Token(name("acme", "boot"))),
    };
    world.create(boot(None).into()).unwrap();
    for at in [Timestamp(1), Timestamp(u64::MAX)] {
        let command = update(&world, Some(at));
        let rejection = world.run(command).unwrap_err();
        assert_eq!(rejection.field(), Some("spec.expire_time"));
        let told = rejection.to_string();
        for words in ["does not expire", "`admin-token`", "`--reset-admin-token`"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
    // As an earlier build wrote it.
    let stored = boot(Some(Timestamp(u64::MAX)));
    let key = ObjectKey::Token(name("acme", "boot")).to_string();
    world.force(&key, ControlObject::Token(Arc::new(stored)));
    let mut described = boot(Some(Timestamp(u64::MAX)));
    described.meta.description = "changed".to_owned();
    let expected = world.modified(&ObjectKey::Token(name("acme", "boot")));
    let object = described.into();
    world.run(Command::Update { object, expected }).unwrap();
    let endless = update(&world, None);
    world.run(endless).unwrap();
}

#[test]
fn a_join_token_works_once_and_not_after_expiry() {
    let mut world = world();
    let make = |seed: &[u8], expires| JoinToken {
        hash: toolgate_model::TokenHash(Digest::of_bytes(seed).0),
        region: "eu-1".to_owned(),
        expires: Timestamp(expires),
    };
    let (one, two) = (make(b"1", 50_000), make(b"2", 50_000));
    for token in [&one, &two] {
        world.run(Command::CreateJoinToken(token.clone())).unwrap();
    }
    let version = world.state.version();
    world.run(Command::UseJoinToken(one.hash)).unwrap();
    assert!(world.run(Command::UseJoinToken(one.hash)).is_err());
    assert!(
        world
            .run_as(&Command::UseJoinToken(two.hash), &context(50_000))
            .is_err()
    );
    assert_eq!(
        world.state.version(),
        version,
        "joining is no configuration"
    );
    let forever = world.run(Command::CreateJoinToken(make(b"3", u64::MAX)));
    assert_eq!(field(forever.unwrap_err()), "valid_seconds");
}

fn unreachable(text: &str) -> ProbeProblem {
    ProbeProblem::failed(text, ProbeFailure::Unreachable)
}

#[test]
fn a_failed_probe_keeps_earlier_definitions_and_a_huge_result_is_cut() {
    let mut world = world();
    let mut failed = catalogue("acme", "one", &[]);
    failed.problem = Some(unreachable("connection refused"));
    failed.era = None;
    world.run(Command::RecordDefinitions(failed)).unwrap();
    let kept = world
        .state
        .definitions
        .get(&name("acme", "one"))
        .unwrap()
        .clone();
    assert_eq!(kept.tools.len(), 2);
    assert!(kept.problem.is_some() && kept.era.is_some());

    let mut huge = catalogue("acme", "one", &["a", "b", "c"]);
    huge.tools[1].json = "x".repeat(limits::SERVER_DEFINITIONS_BYTES).into();
    world.run(Command::RecordDefinitions(huge)).unwrap();
    let cut = world.state.definitions.get(&name("acme", "one")).unwrap();
    assert_eq!(cut.tools.len(), 1);
    assert_eq!(cut.problem, None);
    assert!(
        cut.omissions[0].starts_with("1 of 3 tools: limit of 32 MiB"),
        "{:?}",
        cut.omissions
    );
}

#[test]
fn proxy_reports_are_bounded() {
    let mut world = world();
    let rejection = toolgate_model::ResourceRejection {
        resource: toolgate_model::ResourceKey {
            kind: toolgate_model::SnapshotResourceKind::Gateway,
            name: name("acme", "tools"),
        },
        reason: "é".repeat(limits::DESCRIPTION),
    };
    let proxy = toolgate_model::ProxyStatus {
        rejections: vec![rejection; limits::PROXY_REFUSALS * 10],
        clock: None,
        servers: Vec::new(),
        ..proxy("p1", Timestamp(2))
    };
    world.run(Command::RecordProxy(proxy)).unwrap();
    let kept = world.state.proxies.get(&slug("p1")).unwrap();
    assert_eq!(kept.rejections.len(), limits::PROXY_REFUSALS);
    assert!(
        kept.rejections
            .iter()
            .all(|it| it.reason.len() <= limits::DESCRIPTION)
    );
}

#[test]
fn a_probe_without_changes_does_not_advance_the_version() {
    let mut world = world();
    let mut same = catalogue("acme", "one", &["a", "b"]);
    same.probed = Timestamp(60_000);
    assert!(
        world
            .run(Command::RecordDefinitions(same.clone()))
            .unwrap()
            .is_empty()
    );
    let (version, entries) = (world.state.version(), world.state.history.len());
    same.probed = Timestamp(3_600_000);
    let later = world.run(Command::RecordDefinitions(same.clone())).unwrap();
    assert!(!later.is_empty());
    // A failed probe is no change of the compile input either.
    same.probed = Timestamp(7_200_000);
    same.problem = Some(unreachable("no answer"));
    world.run(Command::RecordDefinitions(same.clone())).unwrap();
    assert_eq!(world.state.version(), version);
    assert_eq!(world.state.history.len(), entries);
    let kept = world.state.definitions.get(&name("acme", "one")).unwrap();
    assert_eq!(kept.problem, Some(unreachable("no answer")));
    assert_eq!(kept.problem_since, Some(Timestamp(7_200_000)));
    // The start of a problem is kept while it lasts. Another problem starts when it is found, and the first successful probe
    // clears the start.
    for (probed, problem, since) in [
        (9_000_000, "no answer", 7_200_000),
        (10_000_000, "another answer", 10_000_000),
        (11_000_000, "another answer", 10_000_000),
        (12_000_000, "no answer", 12_000_000),
    ] {
        same.probed = Timestamp(probed);
        same.problem = Some(unreachable(problem));
        world.run(Command::RecordDefinitions(same.clone())).unwrap();
        let kept = world.state.definitions.get(&name("acme", "one")).unwrap();
        assert_eq!(kept.problem_since, Some(Timestamp(since)));
    }
    same.problem = None;
    world.run(Command::RecordDefinitions(same.clone())).unwrap();
    let kept = world.state.definitions.get(&name("acme", "one")).unwrap();
    assert_eq!(kept.problem_since, None);

    let more = catalogue("acme", "one", &["a", "b", "c"]);
    world.run(Command::RecordDefinitions(more)).unwrap();
    assert!(world.state.version() > version);
    assert_eq!(world.state.history.len(), entries + 1);
}

#[test]
fn the_version_log_is_bounded_and_names_author_and_change() {
    let mut world = world();
    for n in 0..limits::VERSION_LOG_ENTRIES + 50 {
        let id = format!("t{n}");
        world
            .create(OperatorObject::Token(token("acme", &id)))
            .unwrap();
    }
    let kept = world.state.history.len();
    assert!(kept <= limits::VERSION_LOG_ENTRIES, "{kept}");
    let (_, last) = world.state.history.iter().next_back().unwrap();
    assert_eq!(last.changes, ["create token acme/t549"]);
    assert_eq!(last.mod_revision, world.state.version().revision);
}

#[test]
fn a_poisoned_object_can_be_deleted_and_recreated() {
    let mut world = world();
    let key = ObjectKey::Token(name("acme", "bad"));
    world.force(
        &key.to_string(),
        ControlObject::GatewayId(GatewayClaim {
            org: slug("acme"),
            uid: None,
        }),
    );
    let create = Command::Create(OperatorObject::Token(token("acme", "bad")));
    assert!(matches!(
        world.run(create.clone()),
        Err(Rejection::Quarantined { .. })
    ));
    world
        .run(Command::Delete {
            key,
            expected: None,
        })
        .unwrap();
    world.run(create).unwrap();
    assert!(world.state.quarantine.is_empty());
}

fn proxy(id: &str, last_seen: Timestamp) -> toolgate_model::ProxyStatus {
    toolgate_model::ProxyStatus {
        id: slug(id),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: Timestamp(1),
        last_seen,
        connected: true,
        stream_started: Timestamp(0),
        held: toolgate_model::Version::default(),
        acked: toolgate_model::Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    }
}

fn stream(started: u64, last_seen: u64, connected: bool) -> Command {
    Command::RecordProxy(toolgate_model::ProxyStatus {
        connected,
        stream_started: Timestamp(started),
        ..proxy("p1", Timestamp(last_seen))
    })
}

#[test]
fn the_late_end_of_an_old_stream_does_not_disconnect_the_new_one() {
    let mut world = StoreFixture::with(&["acme"]);
    let record = |world: &mut StoreFixture, command: &Command, now: u64| {
        let change = decide(&world.state, command, &context(now)).unwrap();
        assert!(world.commit(&change));
    };
    record(&mut world, &stream(1_000, 1_000, true), 1_000);
    // Decided before the new stream was recorded and committed after it.
    let old_end = stream(1_000, 2_100, false);
    let late = decide(&world.state, &old_end, &context(2_100)).unwrap();
    record(&mut world, &stream(2_000, 2_000, true), 2_000);
    assert!(!world.commit(&late), "the record was read");
    // The old control plane notices nothing for a while, and then the end.
    for old in [stream(1_000, 2_050, true), old_end] {
        let change = decide(&world.state, &old, &context(2_100)).unwrap();
        assert!(change.is_empty(), "{change:?}");
    }
    let recorded = world.state.proxies.get(&slug("p1")).unwrap();
    assert!(crate::push::is_connected(recorded, Timestamp(2_100)));
    // The new stream itself ends.
    record(&mut world, &stream(2_000, 3_000, false), 3_000);
    assert!(!world.state.proxies.get(&slug("p1")).unwrap().connected);
}

#[test]
fn a_record_that_is_not_renewed_yields_to_a_stream_with_an_earlier_start() {
    let mut world = StoreFixture::with(&["acme"]);
    // The clock of a control plane that is gone was ahead.
    let ahead = stream(500_000, 1_000, true);
    let change = decide(&world.state, &ahead, &context(1_000)).unwrap();
    world.commit(&change);
    let stale = Timestamp(1_000).after(crate::push::STALE_AFTER).0;
    let current = stream(2_000, stale, true);
    let dropped = decide(&world.state, &current, &context(stale)).unwrap();
    assert!(dropped.is_empty());
    let change = decide(&world.state, &current, &context(stale + 1)).unwrap();
    assert!(!change.is_empty());
}

#[test]
fn proxies_silent_for_long_are_removed() {
    let mut world = StoreFixture::with(&["acme"]);
    let now = Timestamp(1).after(limits::PROXY_RETENTION * 3);
    let lately = Timestamp(now.0 - 1_000);
    for (id, seen) in [("gone", Timestamp(1)), ("alive", lately)] {
        let command = Command::RecordProxy(proxy(id, seen));
        let change = decide(&world.state, &command, &context(2)).unwrap();
        world.commit(&change);
    }
    let command = Command::RecordProxy(proxy("alive", now));
    let change = decide(&world.state, &command, &context(now.0)).unwrap();
    let gone = ObjectKey::Proxy(slug("gone"));
    assert_eq!(change.deletes, std::slice::from_ref(&gone));
    // The proxy may report again concurrently.
    assert!(change.guards.iter().any(|guard| guard.key == gone));
    world.commit(&change);
    assert!(!world.state.proxies.contains(&slug("gone")));
    assert!(world.state.proxies.contains(&slug("alive")));
}

#[test]
fn records_of_temporary_tokens_are_deleted_a_day_after_their_end_and_those_of_others_stay() {
    let mut world = StoreFixture::with(&["acme"]);
    let made = Timestamp(1_000);
    let minutes = |count: u64| std::time::Duration::from_secs(count * 60);
    let expiring = |id: &str, after| {
        Command::Create(OperatorObject::Token(Token {
            expires: Some(made.after(after)),
            ..token("acme", id)
        }))
    };
    for create in [expiring("cli-1", minutes(2)), expiring("ci", minutes(61))] {
        world.run_as(&create, &context(made.0)).unwrap();
    }
    // The end counts, and not the revocation: until then proxies need to know it.
    let revoke = Command::RevokeToken(name("acme", "cli-1"));
    world.run_as(&revoke, &context(made.0 + 1)).unwrap();
    let write = Command::Create(OperatorObject::Server(server("acme", "git", None)));
    let due = made
        .after(minutes(2))
        .after(limits::TEMPORARY_TOKEN_RETENTION);
    let kept = decide(&world.state, &write, &context(due.0 - 1)).unwrap();
    assert!(kept.deletes.is_empty(), "{kept:?}");
    // A change that makes no version leaves the tokens that proxies hold.
    let observed = Command::RecordProxy(proxy("p1", due));
    let kept = decide(&world.state, &observed, &context(due.0)).unwrap();
    assert!(kept.deletes.is_empty(), "{kept:?}");
    let ended = ObjectKey::Token(name("acme", "cli-1"));
    let change = decide(&world.state, &write, &context(due.0)).unwrap();
    assert_eq!(change.deletes, std::slice::from_ref(&ended));
    // The token may get another end concurrently.
    assert!(change.guards.iter().any(|guard| guard.key == ended));
    assert!(change.puts.iter().any(|(key, _)| *key == ObjectKey::Marker));
    world.commit(&change);
    assert!(!world.state.tokens.contains(&name("acme", "cli-1")));
    assert!(world.state.tokens.contains(&name("acme", "ci")));
}

#[test]
fn a_temporary_token_that_is_renewed_for_long_is_temporary_no_more() {
    let mut world = StoreFixture::with(&["acme"]);
    let hour = limits::TEMPORARY_TOKEN_LIFETIME;
    let lasting = |after| Token {
        expires: Some(Timestamp(1_000).after(after)),
        ..token("acme", "ci")
    };
    let create = Command::Create(OperatorObject::Token(lasting(hour)));
    world.run_as(&create, &context(1_000)).unwrap();
    let key = ObjectKey::Token(name("acme", "ci"));
    let renew = Command::Update {
        object: OperatorObject::Token(lasting(hour * 48)),
        expected: world.state.mod_revision_at(&key).unwrap(),
    };
    world.run_as(&renew, &context(2_000)).unwrap();
    let later = Timestamp(1_000).after(hour * 1_000);
    let write = Command::Create(OperatorObject::Server(server("acme", "git", None)));
    let change = decide(&world.state, &write, &context(later.0)).unwrap();
    assert!(change.deletes.is_empty(), "{change:?}");
}

#[test]
fn an_expelled_proxy_leaves_no_record_and_its_id_is_reusable_after_expiry() {
    let mut world = StoreFixture::with(&["acme"]);
    let p1 = slug("p1");
    let unknown = world.run(Command::ForgetProxy(p1.clone()));
    assert!(matches!(unknown, Err(Rejection::NotFound(_))));
    world
        .run(Command::RecordProxy(proxy("p1", Timestamp(2))))
        .unwrap();
    // Decided before the expulsion and committed after it.
    let record = Command::RecordProxy(proxy("p1", Timestamp(3)));
    let late = decide(&world.state, &record, &context(3)).unwrap();
    let expel = decide(&world.state, &Command::ForgetProxy(p1.clone()), &context(4)).unwrap();
    assert!(world.commit(&expel));
    assert!(!world.commit(&late));
    assert!(world.state.is_expelled(&p1, Timestamp(5)));
    let refused = decide(&world.state, &record, &context(5));
    assert!(matches!(refused, Err(Rejection::NotFound(_))));

    // An id that is admitted before that time is usable at once.
    let admit = Command::AdmitProxy(p1.clone());
    let change = decide(&world.state, &admit, &context(5)).unwrap();
    assert!(
        !world
            .state
            .after_change(&change)
            .is_expelled(&p1, Timestamp(5))
    );

    let open = Timestamp(4).after(limits::EXPULSION_PERIOD);
    assert!(!world.state.is_expelled(&p1, open));
    let change = decide(&world.state, &record, &context(open.0)).unwrap();
    assert_eq!(change.deletes, [ObjectKey::Expelled(p1.clone())]);
    assert!(world.commit(&change));
    assert!(world.state.proxies.contains(&p1));
    let unknown = world.run(admit);
    assert!(matches!(unknown, Err(Rejection::NotFound(_))));
}

/// Special times: milliseconds since 1970, as in RFC 3339, and the reason.
const SPECIAL_TIMES: &str = include_str!("../../../../tests/fixtures/special-times.txt");

#[test]
fn se_15_a_join_token_ends_at_its_expiry_at_special_times() {
    for (index, line) in SPECIAL_TIMES.lines().enumerate() {
        let (millis, why) = line.split_once(' ').unwrap();
        let at: u64 = millis.parse().unwrap();
        let mut world = world();
        let token = |number: u8| JoinToken {
            hash: toolgate_model::TokenHash(Digest::of_bytes(&[number]).0),
            region: "eu-1".to_owned(),
            expires: Timestamp(at),
        };
        let before = context(at - 60_000);
        for number in 0..2 {
            let create = Command::CreateJoinToken(token(number));
            world.run_as(&create, &before).unwrap();
        }
        let used = |world: &mut StoreFixture, number, now| {
            let use_it = Command::UseJoinToken(token(number).hash);
            world.run_as(&use_it, &context(now)).is_ok()
        };
        assert!(used(&mut world, 0, at - 1), "{index} {why}");
        assert!(!used(&mut world, 1, at), "{index} {why}");
    }
}
