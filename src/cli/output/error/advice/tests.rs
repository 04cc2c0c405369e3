//! Tests of the next steps of refusals.

use std::collections::HashMap;

use tonic_types::ErrorDetails;

use super::{ApiErrorReason, of_dependents, of_refusal};

#[test]
fn an_object_in_use_is_freed_by_the_command_that_is_told() {
    let step = |names: &[&str], organization| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        of_dependents(&names, organization).unwrap_or_default()
    };
    let of_server = step(&["organizations/default/gateways/tools"], None);
    for command in [
        "`toolgate edit gateway tools`",
        "`toolgate delete gateway tools`",
    ] {
        assert!(of_server.contains(command), "{of_server}");
    }
    let of_credential = step(&["organizations/default/servers/git"], None);
    let update = "`toolgate server update git --credential ''`";
    assert!(of_credential.contains(update), "{of_credential}");
    let several = [
        "organizations/acme/servers/a",
        "organizations/acme/servers/b",
    ];
    let of_organization = step(&several, Some("acme"));
    assert!(
        of_organization.starts_with("`toolgate delete server a -O acme`"),
        "{of_organization}"
    );
    assert!(of_organization.ends_with("the same for the others"));
    assert_eq!(step(&[], None), "");
}

#[test]
fn a_refusal_that_a_setting_settles_names_the_command_that_sets_it() {
    let details = |facts: &[(&str, &str)]| {
        let facts = facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ErrorDetails::with_error_info("INVALID", "toolgate", facts.collect::<HashMap<_, _>>())
    };
    let single = of_refusal(ApiErrorReason::NotSingle, &details(&[])).unwrap();
    assert!(single.contains("--prefix always"));
    let elsewhere = [("credential", "git"), ("url", "https://b.example:8443/mcp")];
    let step = of_refusal(ApiErrorReason::CredentialElsewhere, &details(&elsewhere)).unwrap();
    assert!(
        step.starts_with("`toolgate edit credential git` adds `https://b.example:8443`"),
        "{step}"
    );
    assert_eq!(
        of_refusal(ApiErrorReason::Other, &details(&elsewhere)),
        None
    );
}
