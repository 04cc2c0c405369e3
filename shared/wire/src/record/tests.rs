//! Tests of records: round trip through bytes, and decoding of arbitrary bytes.

use proptest::{collection, prelude::*};
use prost::Message as _;

use toolgate_model::{GatewayClaim, Uid};

use super::*;
use crate::strategies as s;

fn object() -> impl Strategy<Value = StoredObject> {
    prop_oneof![
        s::organization().prop_map(|it| StoredObject::Organization(Arc::new(it))),
        s::gateway().prop_map(|it| StoredObject::Gateway(Arc::new(it))),
        s::server().prop_map(|it| StoredObject::Server(Arc::new(it))),
        s::credential().prop_map(|it| StoredObject::Credential(Arc::new(it))),
        s::token().prop_map(|it| StoredObject::Token(Arc::new(it))),
        s::catalogue().prop_map(|it| StoredObject::Definitions(Arc::new(it))),
        s::identity_provider().prop_map(|it| StoredObject::IdentityProvider(Arc::new(it))),
        s::proxy().prop_map(|it| StoredObject::Proxy(Arc::new(it))),
        system().prop_map(StoredObject::System),
    ]
}

fn system() -> impl Strategy<Value = SystemRecord> {
    prop_oneof![
        any::<u64>().prop_map(|epoch| SystemRecord::Marker { epoch }),
        (s::slug(), proptest::option::of(any::<u64>())).prop_map(|(org, uid)| {
            let uid = uid.map(|unique| Uid::of(&unique));
            SystemRecord::GatewayId(GatewayClaim { org, uid })
        }),
        s::timestamp().prop_map(|expires| SystemRecord::ExpelledProxy { expires }),
        s::sealed().prop_map(SystemRecord::SealedKey),
        (s::digest(), "[a-z]{0,9}", s::timestamp()).prop_map(|(hash, region, expires)| {
            SystemRecord::JoinToken {
                hash: TokenHash(hash.0),
                region,
                expires,
            }
        }),
        (s::digest(), "[a-z/]{0,40}", s::timestamp()).prop_map(|(request, subject, expires)| {
            SystemRecord::IdempotencyEntry {
                request,
                subject,
                expires,
            }
        }),
        (any::<u64>(), collection::vec(".{0,40}", 0..4))
            .prop_map(|(epoch, changes)| SystemRecord::VersionLogEntry { epoch, changes }),
    ]
}

fn record() -> impl Strategy<Value = StoreRecord> {
    (s::timestamp(), "\\PC{0,40}", object()).prop_map(|(written, author, object)| StoreRecord {
        written,
        author,
        object,
    })
}

proptest! {
    #[test]
    fn a_record_round_trips_and_encodes_deterministically(record in record()) {
        let bytes = encode(&record);
        prop_assert_eq!(&encode(&record.clone()), &bytes);
        prop_assert_eq!(decode(&bytes), Ok(record));
    }

    #[test]
    fn arbitrary_bytes_are_a_record_or_an_error(bytes in collection::vec(any::<u8>(), 0..200)) {
        let _answered = decode(&bytes);
    }

    #[test]
    fn a_cut_or_altered_record_is_a_record_or_an_error(
        record in record(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode(&record);
        let at = at.index(bytes.len());
        let _answered = decode(&bytes[..at]);
        bytes[at] = byte;
        let _answered = decode(&bytes);
    }
}

#[test]
fn a_newer_schema_is_rejected_by_name() {
    let message = pb::Record {
        schema: SCHEMA + 1,
        ..Default::default()
    };
    let error = decode(&message.encode_to_vec()).unwrap_err();
    assert_eq!(error, InvalidRecord::Newer { found: SCHEMA + 1 });
    assert!(error.to_string().contains("upgrade"), "{error}");
}

#[test]
fn definitions_of_one_record_keep_the_first_schema_and_those_in_parts_name_them() {
    use toolgate_model::{Definition, DefinitionsPart, ObjectName, ServerDefinitions};

    let server = ObjectName::new("acme".parse().unwrap(), "one".parse().unwrap());
    let tool = Definition {
        name: "read".to_owned(),
        digest: Digest::of_bytes(b"read"),
        json: "{\"name\":\"read\"}".into(),
    };
    let part = DefinitionsPart {
        tools: vec![tool.clone()],
        ..DefinitionsPart::empty(server.clone())
    };
    let whole = ServerDefinitions {
        server,
        era: None,
        protocol_version: String::new(),
        legacy_version: String::new(),
        server_name: String::new(),
        server_version: String::new(),
        instructions: "Be kind.".to_owned(),
        capabilities: "{}".to_owned(),
        tools: vec![tool],
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        probed: Timestamp(1),
        problem: None,
        problem_since: None,
        omissions: vec!["10,000 of 10,001 tools".to_owned()],
        parts: Vec::new(),
    };
    let in_parts = ServerDefinitions {
        parts: vec![part.digest()],
        ..whole.clone()
    };
    let manifest = ServerDefinitions {
        tools: Vec::new(),
        ..in_parts.clone()
    };
    let bytes = |object| {
        encode(&StoreRecord {
            written: Timestamp(1),
            author: "system/prober".to_owned(),
            object,
        })
    };
    let part = StoredObject::System(SystemRecord::DefinitionsPart(Arc::new(part)));
    let (whole, in_parts) = (Arc::new(whole), Arc::new(in_parts));
    let cases = [
        (
            StoredObject::Definitions(Arc::clone(&whole)),
            StoredObject::Definitions(whole),
            1,
        ),
        (
            StoredObject::Definitions(in_parts),
            StoredObject::Definitions(Arc::new(manifest)),
            5,
        ),
        (part.clone(), part, 5),
    ];
    for (given, read, schema) in cases {
        let bytes = bytes(given);
        let mut message = pb::Record::decode(&*bytes).unwrap();
        assert_eq!(message.schema, schema);
        assert_eq!(decode(&bytes).unwrap().object, read);
        message.schema = 4;
        assert_eq!(decode(&message.encode_to_vec()).is_ok(), schema == 1);
    }
}

/// Record of a server in the first schema, as written by a build that knew one URL only.
const FIRST_SCHEMA_SERVER: &str = "\
    080118c7f888c7a234220673797374656d6297010a520a256f7267616e697a6174696f6e732f64656661756c742f73657276\
    6572732f776561746865721a0c08a487b2d80610c0efebbd03220c08a487b2d80610c0efebbd032a0d0a047465616d12056d\
    6574656f12411216687474703a2f2f3132372e302e302e313a392f6d63701a0b776561746865722d6b65792a100a02080212\
    02083c1a02083c2202085a30013a02080140014804";

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

#[test]
fn a_server_of_the_first_schema_has_one_endpoint_and_is_written_back_with_its_uid_alone() {
    let bytes = from_hex(FIRST_SCHEMA_SERVER);
    let record = decode(&bytes).unwrap();
    let StoredObject::Server(server) = &record.object else {
        panic!("no server");
    };
    let url = server.source.endpoints().as_single_url().unwrap();
    assert_eq!(url.as_str(), "http://127.0.0.1:9/mcp");
    assert_eq!(server.timeouts.total.as_secs(), 90);
    let derived = Uid::derived::<toolgate_model::Server>(&server.name, server.meta.created);
    assert_eq!(server.meta.uid, derived);
    // A control plane of the build before still reads it: it skips the uid.
    let mut written = pb::Record::decode(&*encode(&record)).unwrap();
    let Some(pb::record::Object::Server(message)) = &mut written.object else {
        panic!("no server");
    };
    let metadata = message.metadata.as_mut().unwrap();
    assert_eq!(std::mem::take(&mut metadata.uid), derived.to_string());
    assert_eq!(written.encode_to_vec(), bytes);
}

fn server_message(endpoints: &[(&str, &str)]) -> toolgate_proto::admin::v1::Server {
    use toolgate_proto::admin::v1 as admin_pb;
    let endpoint = |(url, region): &(&str, &str)| admin_pb::Endpoint {
        url: (*url).to_owned(),
        region: (*region).to_owned(),
    };
    admin_pb::Server {
        metadata: Some(admin_pb::Metadata {
            name: "organizations/acme/servers/git".into(),
            ..Default::default()
        }),
        spec: Some(admin_pb::ServerSpec {
            endpoints: endpoints.iter().map(endpoint).collect(),
            ..Default::default()
        }),
        status: None,
    }
}

#[test]
fn a_server_is_written_with_the_lowest_schema_that_expresses_it() {
    let schema = |endpoints: &[(&str, &str)]| {
        let mut server = toolgate_model::Server::from_stored(&server_message(endpoints)).unwrap();
        server.meta.uid = Uid::of(&"git");
        let record = StoreRecord {
            written: Timestamp(1),
            author: String::new(),
            object: StoredObject::Server(Arc::new(server)),
        };
        let bytes = encode(&record);
        assert_eq!(decode(&bytes), Ok(record));
        pb::Record::decode(&*bytes).unwrap().schema
    };
    assert_eq!(schema(&[("https://a.example/", "")]), 1);
    assert_eq!(schema(&[("https://a.example/", "eu")]), 2);
    assert_eq!(
        schema(&[("https://a.example/", ""), ("https://b.example/", "")]),
        2
    );
}

#[test]
fn an_object_with_rate_limits_is_not_read_by_a_build_that_knows_none() {
    use toolgate_proto::admin::v1 as admin_pb;
    let limits = vec![admin_pb::RateLimit {
        per: admin_pb::RateLimitKey::Principal.into(),
        requests: 10,
        ..Default::default()
    }];
    let mut server = server_message(&[("https://a.example/", "")]);
    let spec = server.spec.as_mut().unwrap();
    spec.rate_limits = limits.clone();
    let organization = admin_pb::Organization {
        spec: Some(admin_pb::OrganizationSpec {
            rate_limits: limits.clone(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let gateway = |of_gateway: bool| admin_pb::Gateway {
        spec: Some(admin_pb::GatewaySpec {
            rate_limits: if of_gateway {
                limits.clone()
            } else {
                Vec::new()
            },
            bindings: vec![admin_pb::Binding {
                rate_limits: if of_gateway {
                    Vec::new()
                } else {
                    limits.clone()
                },
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let token = pb::StoredToken {
        token: Some(admin_pb::Token {
            spec: Some(admin_pb::TokenSpec {
                rate_limits: limits.clone(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    use pb::record::Object;
    for limited in [
        Object::Organization(organization),
        Object::Gateway(gateway(true)),
        Object::Gateway(gateway(false)),
        Object::Server(server),
        Object::Token(token),
    ] {
        assert_eq!(schema_of(&limited), 2, "{limited:?}");
    }
    let unlimited = Object::Organization(admin_pb::Organization::default());
    assert_eq!(schema_of(&unlimited), 1);
}

#[test]
fn a_form_that_is_not_of_the_schema_is_rejected() {
    let message = pb::Record {
        schema: 1,
        object: Some(pb::record::Object::Server(server_message(&[(
            "https://a.example/",
            "eu",
        )]))),
        ..Default::default()
    };
    let error = decode(&message.encode_to_vec()).unwrap_err().to_string();
    assert!(error.contains("spec.endpoints"), "{error}");
}

#[test]
fn empty_bytes_and_a_record_without_object_are_rejected() {
    assert!(matches!(decode(b""), Err(InvalidRecord::Malformed(_))));
    let message = pb::Record {
        schema: 1,
        ..Default::default()
    };
    assert!(matches!(
        decode(&message.encode_to_vec()),
        Err(InvalidRecord::Invalid(_))
    ));
}

#[test]
fn a_plain_credential_value_is_never_in_the_bytes() {
    let message = pb::Record {
        schema: 1,
        object: Some(pb::record::Object::Credential(
            pb::StoredCredential::default(),
        )),
        ..Default::default()
    };
    let error = decode(&message.encode_to_vec()).unwrap_err().to_string();
    assert!(error.contains("credential"), "{error}");
}

proptest! {
    #[test]
    fn a_credential_with_hosts_is_kept_from_builds_that_would_drop_them(
        given in crate::strategies::credential(),
    ) {
        let bound = given.hosts.is_bound();
        let several = matches!(given.kind, toolgate_model::CredentialKind::RequestFields(_));
        let record = StoreRecord {
            written: Timestamp(1),
            author: "system".into(),
            object: StoredObject::Credential(Arc::new(given)),
        };
        let bytes = encode(&record);
        let mut message = pb::Record::decode(&*bytes).unwrap();
        prop_assert_eq!(message.schema, if several { 5 } else if bound { 3 } else { 1 });
        message.schema = 2;
        let downgraded = decode(&message.encode_to_vec());
        prop_assert_eq!(downgraded.is_err(), bound || several);
    }
}
