//! Tests that decoding restores the encoded object, and that an unreadable value is an error and never a panic.

use std::sync::Arc;

use proptest::prelude::*;
use toolgate_control_core::{
    ObjectKey,
    object::{JoinToken, RequestRecord, VersionMarker, VersionRecord},
};
use toolgate_model::{
    Credential, CredentialHosts, CredentialKind, Digest, GatewayClaim, ObjectMeta, ProxyStatus,
    ResourceKey, ResourceRejection, SealedBlob, SnapshotResourceKind, TokenHash, Uid, Version,
};

use super::*;
use crate::fixture::{catalogue, gateway, name, organization, server, slug, token};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn sealed() -> SealedBlob {
    SealedBlob {
        key_id: "k1".to_owned(),
        wrapped_key: vec![1, 2],
        ciphertext: vec![3],
    }
}

fn desired() -> Vec<(ObjectKey, ControlObject)> {
    let credential = Credential {
        name: name("key"),
        meta: ObjectMeta::default(),
        hosts: CredentialHosts::new(vec!["http://127.0.0.1:9".parse().unwrap()]),
        kind: CredentialKind::StaticHeader {
            header: "authorization".to_owned(),
            value: sealed(),
        },
    };
    let acme = organization("acme");
    let tools = gateway("tools", "files");
    vec![
        (
            ObjectKey::Organization(slug("acme")),
            ControlObject::Organization(Arc::new(acme)),
        ),
        (
            ObjectKey::Gateway(name("tools")),
            ControlObject::Gateway(Arc::new(tools)),
        ),
        (
            ObjectKey::Server(name("files")),
            ControlObject::Server(Arc::new(server("files"))),
        ),
        (
            ObjectKey::Credential(name("key")),
            ControlObject::Credential(Arc::new(credential)),
        ),
        (
            ObjectKey::Token(name("ci")),
            ControlObject::Token(Arc::new(token("ci"))),
        ),
    ]
}

fn observed() -> Vec<(ObjectKey, ControlObject)> {
    let rejection = ResourceRejection {
        resource: ResourceKey {
            kind: SnapshotResourceKind::Gateway,
            name: name("tools"),
        },
        reason: "too odd".to_owned(),
    };
    let version = |revision| Version { epoch: 1, revision };
    let proxy = ProxyStatus {
        id: slug("p1"),
        region: "eu".to_owned(),
        build: "0.1.0".to_owned(),
        listen: "127.0.0.1:7300".to_owned(),
        started: Timestamp(1),
        last_seen: NOW,
        connected: true,
        stream_started: NOW,
        held: version(9),
        acked: version(8),
        rejections: vec![rejection],
        clock: None,
        servers: Vec::new(),
    };
    vec![
        (
            ObjectKey::Definitions(name("files")),
            ControlObject::Definitions(Arc::new(catalogue("files"))),
        ),
        (
            ObjectKey::Proxy(slug("p1")),
            ControlObject::Proxy(Arc::new(proxy)),
        ),
    ]
}

fn system() -> Vec<(ObjectKey, ControlObject)> {
    let digest = Digest([7; 32]);
    let join = JoinToken {
        hash: TokenHash([7; 32]),
        region: "eu".to_owned(),
        expires: NOW,
    };
    let request = RequestRecord {
        request: digest,
        subject: ObjectKey::Gateway(name("tools")),
        expires: NOW,
    };
    let version = VersionRecord {
        author: "organizations/acme/tokens/ci".to_owned(),
        time: Timestamp(5),
        epoch: 2,
        changes: vec!["create gateway acme/tools".to_owned()],
    };
    let marker = VersionMarker {
        epoch: 3,
        last_change: Timestamp(9),
    };
    let tools = catalogue("files").tools;
    let part = toolgate_model::DefinitionsPart {
        tools,
        ..toolgate_model::DefinitionsPart::empty(crate::fixture::name("files"))
    };
    vec![
        (ObjectKey::Marker, ControlObject::Marker(marker)),
        (
            ObjectKey::GatewayId(slug("tools")),
            ControlObject::GatewayId(GatewayClaim {
                org: slug("acme"),
                uid: Some(Uid::of(&1)),
            }),
        ),
        (
            ObjectKey::SystemKey(slug("authority")),
            ControlObject::SystemKey(sealed()),
        ),
        (ObjectKey::JoinToken(digest), ControlObject::JoinToken(join)),
        (
            ObjectKey::Expelled(slug("p1")),
            ControlObject::Expelled(NOW),
        ),
        (ObjectKey::Request(digest), ControlObject::Request(request)),
        (
            ObjectKey::DefinitionsPart(part.server.clone(), part.digest()),
            ControlObject::DefinitionsPart(Arc::new(part)),
        ),
        (ObjectKey::History(4), ControlObject::History(version)),
    ]
}

fn objects() -> Vec<(ObjectKey, ControlObject)> {
    let desired = desired().into_iter();
    let desired = desired.map(|(key, object)| (key, with_uid(object)));
    [desired.collect(), observed(), system()].concat()
}

/// Gives the object the uid that a record without one gets, as a stored object has one.
fn with_uid(object: ControlObject) -> ControlObject {
    macro_rules! derived {
        ($Kind:ident, $object:expr) => {{
            let mut object = toolgate_model::$Kind::clone(&$object);
            let id = toolgate_model::KindObject::id(&object);
            object.meta.uid = Uid::derived::<toolgate_model::$Kind>(id, object.meta.created);
            ControlObject::$Kind(Arc::new(object))
        }};
    }
    match object {
        ControlObject::Organization(it) => derived!(Organization, it),
        ControlObject::Credential(it) => derived!(Credential, it),
        ControlObject::Server(it) => derived!(Server, it),
        ControlObject::IdentityProvider(it) => derived!(IdentityProvider, it),
        ControlObject::Gateway(it) => derived!(Gateway, it),
        ControlObject::Token(it) => {
            let mut token = toolgate_model::Token::clone(&it);
            token.meta.uid = Uid::of_token(&token.name, &token.hash);
            ControlObject::Token(Arc::new(token))
        }
        other @ (ControlObject::Definitions(_)
        | ControlObject::Proxy(_)
        | ControlObject::Marker(_)
        | ControlObject::GatewayId(_)
        | ControlObject::SystemKey(_)
        | ControlObject::JoinToken(_)
        | ControlObject::Expelled(_)
        | ControlObject::Request(_)
        | ControlObject::DefinitionsPart(_)
        | ControlObject::History(_)) => other,
    }
}

#[test]
fn every_object_round_trips_through_its_bytes() {
    for (key, object) in objects() {
        let bytes = encode(&object, NOW, "system");
        let decoded = decode(&key.to_string(), &bytes).map(|it| it.object);
        assert_eq!(decoded, Ok(object), "{key}");
    }
}

#[test]
fn no_object_decodes_as_another_kind() {
    let objects = objects();
    for (key, object) in &objects {
        let bytes = encode(object, NOW, "system");
        for (other, _) in objects.iter().filter(|(other, _)| other != key) {
            assert!(
                decode(&other.to_string(), &bytes).is_err(),
                "{key} at {other}"
            );
        }
    }
}

#[test]
fn a_truncated_record_is_an_error_or_a_complete_record() {
    for (key, object) in objects() {
        let bytes = encode(&object, NOW, "system");
        for end in 0..bytes.len() {
            if let Ok(DecodedRecord { object: read, .. }) = decode(&key.to_string(), &bytes[..end])
            {
                assert_ne!(read, object, "{key} cut at {end}");
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_object_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (key, _) in objects() {
            let _total = decode(&key.to_string(), &bytes);
        }
    }
}
