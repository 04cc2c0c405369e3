//! Tests of keys and resolved credentials.

use proptest::prelude::*;

use super::*;
use crate::InvalidMessage as _;

proptest! {
    #[test]
    fn a_keyring_round_trips_through_its_message(
        token in any::<[u8; 32]>(),
        keys in proptest::collection::vec(any::<(u32, [u8; 32])>(), 1..=limits::CLIENT_STATE_KEYS),
    ) {
        let key = |(epoch, key)| ClientStateKey { epoch, key: Zeroizing::new(key) };
        let keyring = ProxyKeyring {
            token_key: Zeroizing::new(token),
            client_state_keys: keys.into_iter().map(key).collect(),
        };
        prop_assert_eq!(ProxyKeyring::from_proto(&keyring.to_proto()), Ok(keyring));
    }

    #[test]
    fn a_resolved_credential_round_trips_through_its_message(
        headers in proptest::collection::btree_map("x-[a-z]{1,9}", "[!-~]{1,40}", 1..4),
        query in proptest::collection::btree_map("[a-z_ &]{1,9}", "[!-~é]{1,40}", 0..4),
        revision in any::<u64>(),
        expires in proptest::option::of(1..=u64::MAX),
        hosts in crate::strategies::hosts(),
    ) {
        let field = |place| {
            move |(name, value): (String, String)| {
                let value = PlaintextValue::new(value.into_bytes());
                ResolvedField { place, name, value }
            }
        };
        let fields = headers.into_iter().map(field(FieldPlace::Header));
        let query = query.into_iter().map(field(FieldPlace::Query));
        let resolved = ResolvedCredential {
            fields: fields.chain(query).collect(),
            revision,
            expires: expires.map(Timestamp),
            hosts,
        };
        let message = resolved.to_proto();
        // Earlier builds read `header` and `value` only. They refuse an empty header, and never present a part.
        prop_assert_eq!(message.header.is_empty(), resolved.fields.len() > 1);
        prop_assert_eq!(message.value.is_empty(), resolved.fields.len() > 1);
        prop_assert_eq!(ResolvedCredential::from_proto(&message), Ok(resolved));
    }
}

#[test]
fn a_keyring_without_keys_or_with_short_ones_is_rejected() {
    let message = pb::Keyring {
        token_key: vec![1; 32],
        client_state_keys: Vec::new(),
        unchanged: false,
    };
    assert_eq!(
        ProxyKeyring::from_proto(&message).unwrap_err().field(),
        "client_state_keys"
    );
    let short = pb::ClientStateKey {
        epoch: 1,
        key: vec![1; 31],
    };
    let message = pb::Keyring {
        token_key: vec![1; 32],
        client_state_keys: vec![short],
        unchanged: false,
    };
    assert_eq!(
        ProxyKeyring::from_proto(&message).unwrap_err().field(),
        "client_state_keys[0].key"
    );
}

#[test]
fn debug_output_contains_no_secrets() {
    let resolved = pb::ResolveResponse {
        value: b"s3cret".to_vec(),
        header: String::new(),
        revision: 1,
        expire_time_ms: 0,
        hosts: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
    };
    assert!(!format!("{resolved:?}").contains("115"), "{resolved:?}");
    let token = toolgate_proto::admin::v1::CreateTokenResponse {
        secret: "s3cret".into(),
        ..Default::default()
    };
    assert!(!format!("{token:?}").contains("s3cret"));
    assert_eq!(
        format!("{:?}", PlaintextValue::new(b"s3cret".to_vec())),
        "PlaintextValue(…)"
    );
}
