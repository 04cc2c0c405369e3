//! Tests that decoding restores the encoded object, and that an unreadable value is an error and never a panic.

use std::sync::Arc;

use proptest::prelude::*;
use toolgate_control_core::{
    Key,
    object::{JoinToken, Marker, RequestRecord, VersionRecord},
};
use toolgate_model::{
    Credential, CredentialKind, Digest, Meta, Proxy, Refusal, ResourceKey, ResourceKind,
    SealedBlob, TokenHash, Version,
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

fn desired() -> Vec<(Key, Object)> {
    let credential = Credential {
        name: name("key"),
        meta: Meta::default(),
        kind: CredentialKind::StaticHeader {
            header: "authorization".to_owned(),
            value: sealed(),
        },
    };
    let acme = organization("acme");
    let tools = gateway("tools", "files");
    vec![
        (
            Key::Organization(slug("acme")),
            Object::Organization(Arc::new(acme)),
        ),
        (
            Key::Gateway(name("tools")),
            Object::Gateway(Arc::new(tools)),
        ),
        (
            Key::Server(name("files")),
            Object::Server(Arc::new(server("files"))),
        ),
        (
            Key::Credential(name("key")),
            Object::Credential(Arc::new(credential)),
        ),
        (Key::Token(name("ci")), Object::Token(Arc::new(token("ci")))),
    ]
}

fn observed() -> Vec<(Key, Object)> {
    let refusal = Refusal {
        resource: ResourceKey {
            kind: ResourceKind::Gateway,
            name: name("tools"),
        },
        reason: "too odd".to_owned(),
    };
    let version = |revision| Version { epoch: 1, revision };
    let proxy = Proxy {
        id: slug("p1"),
        region: "eu".to_owned(),
        build: "0.1.0".to_owned(),
        listen: "127.0.0.1:7300".to_owned(),
        started: Timestamp(1),
        last_seen: NOW,
        connected: true,
        held: version(9),
        acked: version(8),
        refusals: vec![refusal],
    };
    vec![
        (
            Key::Catalogue(name("files")),
            Object::Catalogue(Arc::new(catalogue("files"))),
        ),
        (Key::Proxy(slug("p1")), Object::Proxy(Arc::new(proxy))),
    ]
}

fn system() -> Vec<(Key, Object)> {
    let digest = Digest([7; 32]);
    let join = JoinToken {
        hash: TokenHash([7; 32]),
        region: "eu".to_owned(),
        expires: NOW,
    };
    let request = RequestRecord {
        request: digest,
        subject: Key::Gateway(name("tools")),
        expires: NOW,
    };
    let version = VersionRecord {
        author: "organizations/acme/tokens/ci".to_owned(),
        time: Timestamp(5),
        epoch: 2,
        changes: vec!["create gateway acme/tools".to_owned()],
    };
    let marker = Marker {
        epoch: 3,
        written: Timestamp(9),
    };
    vec![
        (Key::Marker, Object::Marker(marker)),
        (
            Key::GatewayId(slug("tools")),
            Object::GatewayId(slug("acme")),
        ),
        (
            Key::SystemKey(slug("authority")),
            Object::SystemKey(sealed()),
        ),
        (Key::JoinToken(digest), Object::JoinToken(join)),
        (Key::Expelled(slug("p1")), Object::Expelled(NOW)),
        (Key::Request(digest), Object::Request(request)),
        (Key::History(4), Object::History(version)),
    ]
}

fn objects() -> Vec<(Key, Object)> {
    [desired(), observed(), system()].concat()
}

#[test]
fn every_object_is_read_back_as_it_was_written() {
    for (key, object) in objects() {
        let bytes = encode(&object, NOW, "system");
        assert_eq!(decode(&key.to_string(), &bytes), Ok(object), "{key}");
    }
}

#[test]
fn no_object_is_taken_for_another() {
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
fn every_truncation_is_a_reason_or_another_whole_record() {
    for (key, object) in objects() {
        let bytes = encode(&object, NOW, "system");
        for end in 0..bytes.len() {
            if let Ok(read) = decode(&key.to_string(), &bytes[..end]) {
                assert_ne!(read, object, "{key} cut at {end}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_object_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (key, _) in objects() {
            let _total = decode(&key.to_string(), &bytes);
        }
    }
}
