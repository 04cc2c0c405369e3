//! Tests that each name has one spelling, in both directions.

use proptest::prelude::*;
use toolgate_model::{Gateway, Organization, ProxyStatus};

use super::*;
use crate::strategies;

proptest! {
    #[test]
    fn a_name_round_trips_through_its_text(name in strategies::name(), at in 0usize..ObjectKind::ALL.len()) {
        let kind = ObjectKind::ALL[at];
        let org = kind.is_in_organization().then(|| name.org.clone());
        let full = ResourceName { kind, org, id: name.id.clone() };
        prop_assert_eq!(full.to_string().parse(), Ok(full));
        let text = format::<Gateway>(&name);
        prop_assert_eq!(parse::<Gateway>(&text), Ok(name.clone()));
        prop_assert_eq!(text.parse(), Ok(ResourceName::of::<Gateway>(&name)));
        prop_assert_eq!(parse::<Organization>(&format::<Organization>(&name.org)), Ok(name.org));
        prop_assert_eq!(parse::<ProxyStatus>(&format::<ProxyStatus>(&name.id)), Ok(name.id));
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
        let error = parse::<Gateway>(given).unwrap_err().to_string();
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
        assert!(parse::<ProxyStatus>(given).is_err(), "{given}");
    }
}
