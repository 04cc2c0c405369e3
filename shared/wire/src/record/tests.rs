//! Tests of records: round trip through bytes, and decoding of arbitrary bytes.

use proptest::{collection, prelude::*};
use prost::Message as _;

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
        s::proxy().prop_map(|it| StoredObject::Proxy(Arc::new(it))),
        system().prop_map(StoredObject::System),
    ]
}

fn system() -> impl Strategy<Value = SystemRecord> {
    prop_oneof![
        any::<u64>().prop_map(|epoch| SystemRecord::Marker { epoch }),
        s::slug().prop_map(SystemRecord::GatewayId),
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
    assert_eq!(error, InvalidRecord::Newer { found: 2 });
    assert!(error.to_string().contains("upgrade"), "{error}");
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
