//! Tests of the round trip of keys, and of the rejection of other strings.

use proptest::prelude::*;
use toolgate_model::ObjectName;

use super::*;

fn slug() -> impl Strategy<Value = Slug> {
    "[a-z][a-z0-9-]{0,10}[a-z0-9]".prop_map(|text| text.parse().unwrap())
}

fn name() -> impl Strategy<Value = ObjectName> {
    (slug(), slug()).prop_map(|(org, id)| ObjectName::new(org, id))
}

pub(crate) fn key() -> impl Strategy<Value = ObjectKey> {
    prop_oneof![
        slug().prop_map(ObjectKey::Organization),
        name().prop_map(ObjectKey::Gateway),
        name().prop_map(ObjectKey::Server),
        name().prop_map(ObjectKey::Credential),
        name().prop_map(ObjectKey::Token),
        name().prop_map(ObjectKey::Definitions),
        slug().prop_map(ObjectKey::Proxy),
        Just(ObjectKey::Marker),
        Just(ObjectKey::EpochStart),
        slug().prop_map(ObjectKey::GatewayId),
        slug().prop_map(ObjectKey::SystemKey),
        any::<[u8; 32]>().prop_map(|hash| ObjectKey::JoinToken(Digest(hash))),
        slug().prop_map(ObjectKey::Expelled),
        any::<[u8; 32]>().prop_map(|hash| ObjectKey::Request(Digest(hash))),
        any::<u64>().prop_map(ObjectKey::History),
        (name(), any::<[u8; 32]>())
            .prop_map(|(server, hash)| ObjectKey::DefinitionsPart(server, Digest(hash))),
    ]
}

proptest! {
    #[test]
    fn a_key_round_trips_through_its_text(key in key()) {
        let text = key.to_string();
        prop_assert!(text.starts_with(ROOT));
        prop_assert_eq!(text.parse::<ObjectKey>(), Ok(key));
    }

    #[test]
    fn equal_texts_are_equal_keys(text in "/v1/[a-z0-9/-]{0,60}") {
        if let Ok(key) = text.parse::<ObjectKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}

#[test]
fn a_text_outside_the_key_layout_is_rejected() {
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
        assert!(
            text.parse::<ObjectKey>().is_err(),
            "{text} was taken for a key"
        );
    }
}

#[test]
fn version_log_keys_sort_by_version() {
    assert!(ObjectKey::History(9).to_string() < ObjectKey::History(10).to_string());
}

#[test]
fn the_keys_of_stored_objects_keep_their_texts() {
    let slug = |text: &str| text.parse::<Slug>().unwrap();
    let name = |id: &str| ObjectName::new(slug("acme"), slug(id));
    for (key, text) in [
        (
            ObjectKey::Organization(slug("acme")),
            "/v1/desired/acme/organization/acme",
        ),
        (
            ObjectKey::Gateway(name("tools")),
            "/v1/desired/acme/gateway/tools",
        ),
        (
            ObjectKey::Server(name("git")),
            "/v1/desired/acme/server/git",
        ),
        (
            ObjectKey::Credential(name("key")),
            "/v1/desired/acme/credential/key",
        ),
        (ObjectKey::Token(name("ci")), "/v1/desired/acme/token/ci"),
        (
            ObjectKey::Definitions(name("git")),
            "/v1/observed/catalogues/acme/git",
        ),
        (ObjectKey::Proxy(slug("p1")), "/v1/observed/proxies/p1"),
        (ObjectKey::Marker, "/v1/system/marker"),
        (
            ObjectKey::GatewayId(slug("tools")),
            "/v1/system/gateway-ids/tools",
        ),
        (
            ObjectKey::SystemKey(slug("seal-1")),
            "/v1/system/keys/seal-1",
        ),
        (ObjectKey::Expelled(slug("p1")), "/v1/system/expelled/p1"),
        (ObjectKey::History(7), "/v1/history/00000000000000000007"),
    ] {
        assert_eq!(key.to_string(), text);
        assert_eq!(text.parse(), Ok(key));
    }
}
