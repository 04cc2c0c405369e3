//! Tests of the origins of a credential that is set for a server.

use clap::Parser as _;
use serde_json::json;

use super::SetCredentialArgs;

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
