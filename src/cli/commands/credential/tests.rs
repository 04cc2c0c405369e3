//! Tests of the origins and fields of a credential that is set.

use clap::Parser as _;
use serde_json::json;

use super::{
    SetCredentialArgs,
    fields::{self, GivenField, ValuedField},
};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    set: SetCredentialArgs,
}

#[test]
fn the_origins_of_a_server_are_added_unless_they_are_permitted() {
    let set = Line::parse_from(["set", "key"]).set;
    let bound = |hosts: &[&str]| json!({ "spec": { "hosts": hosts } });
    let server = json!({ "spec": { "endpoints": [
        { "url": "https://eu.example.com/mcp" },
        { "url": "https://us.example.com:8443/mcp" },
    ] } });
    let hosts = |existing| set.hosts_for(existing, Some(&server));
    assert_eq!(
        hosts(None),
        ["https://eu.example.com", "https://us.example.com:8443"]
    );
    assert_eq!(
        hosts(Some(&bound(&["https://*.example.com"]))),
        ["https://*.example.com", "https://us.example.com:8443"]
    );
    let given = Line::parse_from(["set", "key", "--host", "https://x.example"]).set;
    let existing = bound(&["https://old.example"]);
    assert_eq!(
        given.hosts_for(Some(&existing), None),
        ["https://x.example"]
    );
}

/// Returns the value of one field, as read from `--header NAME=VALUE`.
fn value_of(pair: &str) -> Vec<ValuedField> {
    let given = GivenField::parse_pair(pair).unwrap();
    fields::read_values(vec![given], "key", "").unwrap()
}

#[test]
fn an_origin_that_was_removed_while_the_value_was_typed_does_not_come_back() {
    // The change applies to the object as it is stored when the value is written.
    let stored = || {
        json!({ "spec": {
            "hosts": ["https://kept.example"],
            "staticHeader": { "header": "X-Api-Key" },
        } })
    };
    let server = json!({ "spec": { "endpoints": [{ "url": "https://new.example/mcp" }] } });
    let set = Line::parse_from(["set", "key"]).set;
    let values = value_of("X-Api-Key=v");
    let mut object = stored();
    set.change(&mut object, None, &values).unwrap();
    assert_eq!(object["spec"]["hosts"], json!(["https://kept.example"]));
    assert_eq!(
        object["spec"]["staticHeader"],
        json!({ "header": "X-Api-Key", "value": "v" })
    );
    let mut object = stored();
    set.change(&mut object, Some(&server), &values).unwrap();
    assert_eq!(
        object["spec"]["hosts"],
        json!(["https://kept.example", "https://new.example"])
    );
    let given = Line::parse_from(["set", "key", "--host", "https://x.example"]).set;
    let mut object = stored();
    given.change(&mut object, None, &values).unwrap();
    assert_eq!(object["spec"]["hosts"], json!(["https://x.example"]));
}

#[test]
fn a_value_is_not_written_to_another_field_than_it_was_asked_for() {
    let set = Line::parse_from(["set", "key"]).set;
    let values = value_of("X-Api-Key=v");
    let header = |name: &str| json!({ "spec": { "staticHeader": { "header": name } } });
    let mut renamed = header("Authorization");
    assert!(set.change(&mut renamed, None, &values).is_err());
    assert_eq!(renamed, header("Authorization"));
    let given = Line::parse_from(["set", "key", "--header", "X-Api-Key"]).set;
    given.change(&mut renamed, None, &values).unwrap();
    assert_eq!(renamed["spec"]["staticHeader"]["header"], "X-Api-Key");
}
