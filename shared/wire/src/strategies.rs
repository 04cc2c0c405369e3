//! Proptest strategies for domain values, used by the round-trip tests.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use proptest::{collection, option, prelude::*};
use toolgate_model::*;

mod identity;

use identity::admitted;
pub(crate) use identity::{identity_provider, trusted_issuer};

/// Generates times that a protobuf timestamp can represent.
pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    (0..=253_402_300_799_999u64).prop_map(Timestamp)
}

pub(crate) fn slug() -> impl Strategy<Value = Slug> {
    "[a-z]([a-z0-9-]{0,38}[a-z0-9])?".prop_map(|text| text.parse().unwrap())
}

pub(crate) fn name() -> impl Strategy<Value = ObjectName> {
    (slug(), slug()).prop_map(|(org, id)| ObjectName::new(org, id))
}

pub(crate) fn meta() -> impl Strategy<Value = ObjectMeta> {
    let labels = collection::btree_map("[A-Za-z0-9_./-]{1,20}", "\\PC{0,20}", 0..4);
    let texts = ("\\PC{0,30}", "[\\PC\n\t]{0,60}");
    (texts, labels, timestamp(), timestamp()).prop_map(|(texts, labels, created, updated)| {
        ObjectMeta {
            uid: Uid::of(&created),
            display_name: texts.0,
            description: texts.1,
            labels,
            created,
            updated,
        }
    })
}

pub(crate) fn organization() -> impl Strategy<Value = Organization> {
    (slug(), meta(), rate_limits()).prop_map(|(id, meta, rate_limits)| Organization {
        id,
        meta,
        rate_limits,
    })
}

pub(crate) fn gateway() -> impl Strategy<Value = Gateway> {
    let prefix = prop_oneof![
        Just(PrefixMode::Always),
        Just(PrefixMode::Single),
        Just(PrefixMode::Never)
    ];
    let modes = (prefix, listing(), rate_limits());
    let names = || {
        prop_oneof![
            Just(BindingSelection::All),
            collection::vec("\\PC{1,20}", 0..4).prop_map(BindingSelection::Only)
        ]
    };
    let shapes = collection::btree_map("\\PC{1,20}", shape(), 0..3);
    let bounds = (timeout(), rate_limits());
    let binding = (slug(), names(), names(), any::<bool>(), shapes, bounds);
    let binding = binding.prop_map(
        |(server, tools, prompts, resources, shapes, (timeout, rate_limits))| ServerBinding {
            server,
            tools,
            prompts,
            resources,
            shapes,
            timeout,
            rate_limits,
        },
    );
    let bindings = collection::vec(binding, 0..4);
    let providers = collection::btree_map(slug(), admitted(), 0..3);
    let providers = providers.prop_map(|it| {
        it.into_iter()
            .map(|(provider, it)| AdmittedProvider { provider, ..it })
    });
    let texts = ("[\\PC\n]{0,60}", providers.prop_map(Iterator::collect));
    (name(), meta(), modes, bindings, texts).prop_map(
        |(
            name,
            meta,
            (prefix, listing, rate_limits),
            bindings,
            (instructions, identity_providers),
        )| Gateway {
            name,
            meta,
            prefix,
            listing,
            bindings,
            instructions,
            rate_limits,
            identity_providers,
        },
    )
}

pub(crate) fn rate_limits() -> impl Strategy<Value = Vec<RateLimit>> {
    collection::vec(rate_limit(), 0..3)
}

pub(crate) fn rate_limit() -> impl Strategy<Value = RateLimit> {
    let per = proptest::sample::select(RateLimitKey::ALL.to_vec());
    let requests = 1..=RateLimit::MAX_REQUESTS;
    let interval = (1_000..=86_400_000u64).prop_map(Duration::from_millis);
    let tools = collection::vec("\\PC{1,20}", 0..3);
    let burst = option::of(1..=u32::MAX);
    (per, requests, interval, burst, tools).prop_map(|(per, requests, interval, burst, tools)| {
        RateLimit {
            per,
            requests: NonZeroU32::new(requests).unwrap(),
            interval,
            burst: burst.and_then(|burst| NonZeroU32::new(burst % requests + 1)),
            tools,
        }
    })
}

pub(crate) fn listing() -> impl Strategy<Value = ToolListing> {
    prop_oneof![Just(ToolListing::All), Just(ToolListing::Progressive)]
}

pub(crate) fn shape() -> impl Strategy<Value = ToolShapeSpec> {
    let texts = (option::of("\\PC{1,20}"), option::of("\\PC{0,20}"));
    (texts, arguments()).prop_map(|((alias, description), (fixed, hidden))| ToolShapeSpec {
        alias,
        description,
        fixed,
        hidden,
    })
}

/// Generates fixed and hidden arguments.
pub(crate) fn arguments() -> impl Strategy<Value = (BTreeMap<String, String>, Vec<String>)> {
    let fixed = collection::btree_map(".{1,10}", ".{1,10}", 0..3);
    (fixed, collection::vec(".{1,10}", 0..3))
}

pub(crate) fn timeout() -> impl Strategy<Value = Option<Duration>> {
    option::of((1..=86_400_000u64).prop_map(Duration::from_millis))
}

pub(crate) fn timeouts() -> impl Strategy<Value = CallTimeouts> {
    let one = || (1..=86_400_000u64).prop_map(Duration::from_millis);
    (one(), one(), one(), one()).prop_map(|(connect, first_byte, idle, total)| CallTimeouts {
        connect,
        first_byte,
        idle,
        total,
    })
}

pub(crate) fn server() -> impl Strategy<Value = Server> {
    let era = prop_oneof![
        Just(EraPolicy::Probe),
        Just(EraPolicy::Legacy),
        Just(EraPolicy::Modern)
    ];
    let version = option::of(proptest::sample::select(ProtocolVersion::ALL.to_vec()));
    let protocol = (era, version).prop_map(|(era, version)| {
        let fits = |version: &ProtocolVersion| match era {
            EraPolicy::Probe => true,
            EraPolicy::Legacy => version.era() == Era::Legacy,
            EraPolicy::Modern => version.era() == Era::Modern,
        };
        (era, version.filter(fits))
    });
    let drift = prop_oneof![
        Just(DriftPolicy::Follow),
        Just(DriftPolicy::Pin),
        Just(DriftPolicy::Block)
    ];
    let credential = option::of(slug());
    let bounds = (max_answer(), rate_limits());
    let policy = (timeouts(), drift, relay(), sharing(), bounds);
    (name(), meta(), endpoints(), credential, protocol, policy).prop_map(
        |(
            name,
            meta,
            endpoints,
            credential,
            (era, protocol_version),
            (timeouts, drift, relay, sharing, bounds),
        )| {
            let (max_answer, rate_limits) = bounds;
            Server {
                name,
                meta,
                source: ServerSource::Remote { endpoints },
                credential,
                era,
                protocol_version,
                timeouts,
                drift,
                relay,
                sharing,
                max_answer,
                rate_limits,
            }
        },
    )
}

pub(crate) fn endpoints() -> impl Strategy<Value = EndpointList> {
    let url = "https?://[a-z]{1,9}(:[1-9][0-9]{3})?/[a-z0-9/]{0,9}(\\?[a-z]=[0-9]{1,3})?";
    let url = url.prop_map(|text| text.parse().unwrap());
    let endpoint = (url, option::of("[a-z0-9-]{1,9}"));
    let endpoint = endpoint.prop_map(|(url, region)| Endpoint { url, region });
    collection::vec(endpoint, 1..4).prop_map(|list| EndpointList::new(list).unwrap())
}

pub(crate) fn relay() -> impl Strategy<Value = RelayPolicy> {
    any::<[bool; 3]>().prop_map(|[elicitation, sampling, roots]| RelayPolicy {
        elicitation,
        sampling,
        roots,
    })
}

pub(crate) fn sharing() -> impl Strategy<Value = SessionSharing> {
    prop_oneof![
        Just(SessionSharing::PerPrincipal),
        Just(SessionSharing::PerSession),
        Just(SessionSharing::Shared)
    ]
}

pub(crate) fn max_answer() -> impl Strategy<Value = MaxAnswer> {
    (1..=MaxAnswer::MAX_MEBIBYTES).prop_map(|mebibytes| MaxAnswer::new(mebibytes).unwrap())
}

pub(crate) fn sealed() -> impl Strategy<Value = SealedBlob> {
    let bytes = || collection::vec(any::<u8>(), 1..40);
    ("[a-z0-9]{1,12}", bytes(), bytes()).prop_map(|(key_id, wrapped_key, ciphertext)| SealedBlob {
        key_id,
        wrapped_key,
        ciphertext,
    })
}

pub(crate) fn credential() -> impl Strategy<Value = Credential> {
    let header = ("x-[a-z]{1,10}", sealed());
    let header = header.prop_map(|(header, value)| CredentialKind::StaticHeader { header, value });
    let names = |name| collection::btree_map(name, sealed(), 1..4);
    let several = (names("x-[a-z]{1,10}"), names("[a-z_ é&=]{1,10}"));
    let several = several.prop_map(|(headers, query)| {
        let field = |place| move |(name, value)| SealedField { place, name, value };
        let headers = headers.into_iter().map(field(FieldPlace::Header));
        let query = query.into_iter().map(field(FieldPlace::Query));
        CredentialKind::RequestFields(headers.chain(query).collect())
    });
    let kind = prop_oneof![header, several];
    let fields = (name(), meta(), hosts(), kind);
    fields.prop_map(|(name, meta, hosts, kind)| Credential {
        name,
        meta,
        hosts,
        kind,
    })
}

pub(crate) fn hosts() -> impl Strategy<Value = CredentialHosts> {
    let origin = "https?://(\\*\\.)?[a-z]{1,5}\\.[a-z]{1,5}(:[1-9][0-9]{0,3})?";
    let origin = origin.prop_map(|origin: String| origin.parse().unwrap());
    collection::vec(origin, 0..3).prop_map(CredentialHosts::new)
}

pub(crate) fn subject() -> impl Strategy<Value = TokenSubject> {
    prop_oneof![
        Just(TokenSubject::Organization),
        slug().prop_map(TokenSubject::Team),
        slug().prop_map(TokenSubject::User)
    ]
}

pub(crate) fn reach<T: Ord + std::fmt::Debug + Clone>(
    item: impl Strategy<Value = T>,
) -> impl Strategy<Value = AllowList<T>> {
    // An empty set is still a set: it must not be read back as everything.
    option::of(collection::btree_set(item, 0..4)).prop_map(|items| match items {
        None => AllowList::All,
        Some(items) => AllowList::Only(items.into_iter().collect()),
    })
}

pub(crate) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

/// Returns a uid for each gateway that a token lists.
pub(crate) fn listed(gateways: &AllowList<Slug>) -> BTreeMap<Slug, Uid> {
    match gateways {
        AllowList::All => BTreeMap::new(),
        AllowList::Only(ids) => ids.iter().map(|id| (id.clone(), Uid::of(id))).collect(),
    }
}

pub(crate) fn token() -> impl Strategy<Value = Token> {
    let role = prop_oneof![
        Just(AdminRole::None),
        Just(AdminRole::Viewer),
        Just(AdminRole::Editor),
        Just(AdminRole::Admin)
    ];
    let reach = (subject(), reach(slug()), reach("\\PC{1,20}"));
    let times = (option::of(timestamp()), option::of(timestamp()));
    let ours = (digest(), "[a-z_]{0,12}", any::<bool>(), rate_limits());
    (name(), meta(), reach, times, role, ours).prop_map(
        |(name, meta, reach, times, role, (hash, hint, system, rate_limits))| Token {
            meta: ObjectMeta {
                uid: Uid::of_token(&name, &TokenHash(hash.0)),
                ..meta
            },
            name,
            scope: reach.0,
            gateway_uids: listed(&reach.1),
            gateways: reach.1,
            tools: reach.2,
            expires: times.0,
            role,
            hash: TokenHash(hash.0),
            revoked: times.1,
            hint,
            system,
            rate_limits,
        },
    )
}

pub(crate) fn definition() -> impl Strategy<Value = Definition> {
    (".{1,20}", digest(), ".{1,60}").prop_map(|(name, digest, json)| Definition {
        name,
        digest,
        json: Arc::from(json),
    })
}

pub(crate) fn era() -> impl Strategy<Value = Option<Era>> {
    option::of(prop_oneof![Just(Era::Legacy), Just(Era::Modern)])
}

fn probe_problem() -> impl Strategy<Value = ProbeProblem> {
    let outcome = prop_oneof![
        Just(ProbeOutcome::Unknown),
        Just(ProbeOutcome::Warned),
        Just(ProbeOutcome::Incomplete),
        Just(ProbeOutcome::Failed),
    ];
    let failure = prop_oneof![
        Just(ProbeFailure::AddressDenied),
        Just(ProbeFailure::Timeout),
        Just(ProbeFailure::NotMcp),
    ];
    (".{1,30}", outcome, option::of(failure)).prop_map(|(text, outcome, failure)| ProbeProblem {
        text,
        outcome,
        failure,
    })
}

pub(crate) fn catalogue() -> impl Strategy<Value = ServerDefinitions> {
    let texts = (".{0,10}", ".{0,10}", ".{0,10}", ".{0,40}", ".{0,40}");
    let omissions = collection::vec(".{1,30}", 0..3);
    let problem = (
        option::of(probe_problem()),
        option::of(timestamp()),
        omissions,
    );
    (name(), era(), texts, lists(), timestamp(), problem).prop_map(
        |(server, era, texts, [tools, prompts, resources, templates], probed, problem)| {
            ServerDefinitions {
                server,
                era,
                legacy_version: texts.0.clone(),
                protocol_version: texts.0,
                server_name: texts.1,
                server_version: texts.2,
                instructions: texts.3,
                capabilities: texts.4,
                tools,
                prompts,
                resources,
                templates,
                probed,
                problem: problem.0,
                problem_since: problem.1,
                omissions: problem.2,
                parts: Vec::new(),
            }
        },
    )
}

/// Generates tools, prompts, resources and templates.
pub(crate) fn lists() -> impl Strategy<Value = [Vec<Definition>; 4]> {
    let list = || collection::vec(definition(), 0..4);
    [list(), list(), list(), list()]
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    (any::<u64>(), any::<u64>()).prop_map(|(epoch, revision)| Version { epoch, revision })
}

pub(crate) fn key() -> impl Strategy<Value = ResourceKey> {
    let kind = prop_oneof![
        Just(SnapshotResourceKind::Gateway),
        Just(SnapshotResourceKind::Server),
        Just(SnapshotResourceKind::Catalogue),
        Just(SnapshotResourceKind::Token)
    ];
    (kind, name()).prop_map(|(kind, name)| ResourceKey { kind, name })
}

fn server_health() -> impl Strategy<Value = ServerHealth> {
    let state = prop_oneof![
        Just(HealthState::Available),
        Just(HealthState::Unavailable),
        Just(HealthState::Unauthorized),
    ];
    // The epoch stands for a time that is not known.
    let known = || (1..=253_402_300_799_999u64).prop_map(Timestamp);
    let times = (known(), option::of(known()));
    let failed = (
        known(),
        "[a-z_]{0,20}",
        "\\PC{0,20}",
        option::of("[a-z]{1,5}"),
    );
    let failed = failed.prop_map(|(failing_since, failure, detail, region)| EndpointFailure {
        endpoint: Endpoint {
            url: url::Url::parse("https://a.example/mcp").expect("a valid URL"),
            region,
        },
        failing_since,
        failure,
        detail,
    });
    let endpoints = collection::vec(failed, 0..3);
    (
        name(),
        state,
        times,
        "[a-z_]{0,20}",
        "\\PC{0,20}",
        any::<u32>(),
        endpoints,
    )
        .prop_map(
            |(server, state, times, failure, detail, outages, endpoints)| ServerHealth {
                server,
                state,
                failing_since: times.0,
                recovered: times.1,
                failure,
                detail,
                outages,
                endpoints,
            },
        )
}

pub(crate) fn proxy() -> impl Strategy<Value = ProxyStatus> {
    let rejection =
        (key(), ".{0,30}").prop_map(|(resource, reason)| ResourceRejection { resource, reason });
    let texts = ("\\PC{0,10}", "\\PC{0,10}", "\\PC{0,20}");
    let seen = (timestamp(), timestamp(), any::<bool>(), timestamp());
    let rejections = collection::vec(rejection, 0..3);
    let clock = (-100_000_000_i64..100_000_000, 0_u64..100_000);
    let clock =
        option::of(clock.prop_map(|(ahead_ms, error_ms)| ClockReading { ahead_ms, error_ms }));
    let servers = collection::vec(server_health(), 0..3);
    let observed = (rejections, clock, servers);
    (slug(), texts, seen, version(), version(), observed).prop_map(
        |(id, texts, seen, held, acked, (rejections, clock, servers))| ProxyStatus {
            id,
            region: texts.0,
            build: texts.1,
            listen: texts.2,
            started: seen.0,
            last_seen: seen.1,
            connected: seen.2,
            stream_started: seen.3,
            held,
            acked,
            rejections,
            clock,
            servers,
        },
    )
}
