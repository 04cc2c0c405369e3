//! Tests of the round trip of keys, and of the rejection of other strings.

use proptest::prelude::*;

use super::*;

fn slug() -> impl Strategy<Value = Slug> {
    "[a-z][a-z0-9-]{0,10}[a-z0-9]".prop_map(|text| text.parse().unwrap())
}

fn name() -> impl Strategy<Value = Name> {
    (slug(), slug()).prop_map(|(org, id)| Name::new(org, id))
}

pub(crate) fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        slug().prop_map(Key::Organization),
        name().prop_map(Key::Gateway),
        name().prop_map(Key::Server),
        name().prop_map(Key::Credential),
        name().prop_map(Key::Token),
        name().prop_map(Key::Catalogue),
        slug().prop_map(Key::Proxy),
        Just(Key::Marker),
        slug().prop_map(Key::GatewayId),
        slug().prop_map(Key::SystemKey),
        any::<[u8; 32]>().prop_map(|hash| Key::JoinToken(Digest(hash))),
        slug().prop_map(Key::Expelled),
        any::<[u8; 32]>().prop_map(|hash| Key::Request(Digest(hash))),
        any::<u64>().prop_map(Key::History),
    ]
}

proptest! {
    #[test]
    fn a_key_is_read_back_as_it_was_written(key in key()) {
        let text = key.to_string();
        prop_assert!(text.starts_with(ROOT));
        prop_assert_eq!(text.parse::<Key>(), Ok(key));
    }

    #[test]
    fn one_text_is_one_key(text in "/v1/[a-z0-9/-]{0,60}") {
        if let Ok(key) = text.parse::<Key>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}

#[test]
fn what_is_not_in_the_drawing_is_not_a_key() {
    for text in [
        "",
        "/v1/",
        "/v2/desired/acme/gateway/tools",
        "/v1/desired/acme/gateway/",
        "/v1/desired/acme/gateway/Tools",
        "/v1/desired/acme/gateway/tools/",
        "/v1/desired/acme/tool/x",
        "/v1/desired/acme/organization/other",
        "/v1/system/join-tokens/abcd",
        "/v1/history/1",
        "/v1/history/99999999999999999999",
        "/v1/system/requests/ABCDEF0000000000000000000000000000000000000000000000000000000000",
    ] {
        assert!(text.parse::<Key>().is_err(), "{text} was taken for a key");
    }
}

#[test]
fn the_version_log_is_listed_in_its_order() {
    assert!(Key::History(9).to_string() < Key::History(10).to_string());
}
