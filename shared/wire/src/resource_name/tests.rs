//! Tests that each name has one spelling, in both directions.

use proptest::prelude::*;

use super::*;
use crate::strategies;

proptest! {
    #[test]
    fn a_name_round_trips_through_its_text(name in strategies::name(), at in 0usize..5) {
        let collection = ResourceCollection::ALL[at];
        let text = collection.format(&name);
        prop_assert_eq!(collection.parse(&text), Ok(name.clone()));
        prop_assert_eq!(text.parse(), Ok(ResourceName::Owned(collection, name.clone())));
        prop_assert_eq!(organization(&name.org).parse(), Ok(ResourceName::Organization(name.org)));
        prop_assert_eq!(proxy(&name.id).parse(), Ok(ResourceName::Proxy(name.id)));
    }

    #[test]
    fn arbitrary_text_is_a_round_tripping_name_or_an_error(text in ".{0,60}") {
        if let Ok(name) = text.parse::<ResourceName>() {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}

#[test]
fn near_misses_are_rejected_with_the_expected_form() {
    for given in [
        "",
        "tools",
        "organizations/acme",
        "organizations/acme/gateways",
        "organizations/acme/gateways/",
        "organizations/acme/gateways/tools/",
        "organizations/acme/gateways/tools/x",
        "/organizations/acme/gateways/tools",
        "organizations/acme/servers/tools",
        "organizations//gateways/tools",
        "organizations/acme/gateways/Tools",
        "organizations/acme/gateways/../x",
        "Organizations/acme/gateways/tools",
    ] {
        let error = ResourceCollection::Gateways
            .parse(given)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("organizations/<organization>/gateways/<id>"),
            "{given}: {error}"
        );
    }
    for given in [
        "proxies",
        "proxies/",
        "proxies/a/b",
        "organizations/p1",
        "proxies/A",
    ] {
        assert!(parse_proxy(given).is_err(), "{given}");
    }
}
