//! Tests of changes to the URL of a server.

use clap::Parser as _;

use super::*;
use crate::cli::output::error::CliErrorKind;

#[derive(clap::Parser)]
struct UpdateCommandLine {
    #[command(flatten)]
    args: UpdateServerArgs,
}

fn changed(flags: &[&str], before: &Value) -> Result<Value, CliError> {
    let line = ["update", "git", "--url", "https://new.example/mcp"];
    let args = UpdateCommandLine::parse_from(line.iter().chain(flags)).args;
    let mut spec = before.clone();
    args.change(&mut spec).map(|()| spec)
}

#[test]
fn a_url_drops_no_endpoint_without_the_flag_that_says_so() {
    let several = json!({ "endpoints": [
        { "url": "https://a.example/mcp", "region": "eu" }, { "url": "https://b.example/mcp" },
    ] });
    let refused = changed(&[], &several).unwrap_err();
    assert_eq!(refused.kind, CliErrorKind::Usage);
    for endpoint in ["https://a.example/mcp (region eu)", "https://b.example/mcp"] {
        assert!(refused.message.contains(endpoint), "{}", refused.message);
    }
    let step = refused.next_step.unwrap();
    for command in ["toolgate edit server git", "--replace-endpoints"] {
        assert!(step.contains(command), "{step}");
    }
    let replaced = changed(&["--replace-endpoints"], &several).unwrap();
    assert_eq!(replaced, json!({ "url": "https://new.example/mcp" }));
    assert_eq!(
        removed_endpoints(&several, &replaced),
        ["https://a.example/mcp (region eu)", "https://b.example/mcp"]
    );
}

#[test]
fn the_only_endpoint_of_a_server_keeps_its_region() {
    let only = json!({ "endpoints": [{ "url": "https://a.example/mcp", "region": "eu" }] });
    let after = changed(&[], &only).unwrap();
    let expected = json!({ "endpoints": [{ "url": "https://new.example/mcp", "region": "eu" }] });
    assert_eq!(after, expected);
    assert!(removed_endpoints(&only, &after).is_empty());
    let single = json!({ "url": "https://a.example/mcp", "endpoints": [] });
    let after = changed(&[], &single).unwrap();
    assert_eq!(after["url"], "https://new.example/mcp");
}
