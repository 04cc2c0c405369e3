//! Tests of conditions.

use clap::Parser;
use serde_json::json;

use super::{WaitArgs, parse_condition, warnings_of};
use crate::cli::client::kind::{GATEWAY, SERVER};

#[test]
fn conditions_are_met_by_the_state_that_they_name() {
    let fine = json!({ "status": { "seen": true } });
    let failed = json!({ "status": { "seen": true, "problem": "no connection" } });
    let new = json!({});
    for (condition, object, met) in [
        ("ready", Some(&fine), true),
        ("condition=Ready", Some(&failed), false),
        ("ready", Some(&new), false),
        ("ready", None, false),
        ("create", Some(&new), true),
        ("create", None, false),
        ("delete", None, true),
        ("delete", Some(&new), false),
        (
            "jsonpath={.status.problem}=no connection",
            Some(&failed),
            true,
        ),
        (
            "jsonpath={.status.problem}=no connection",
            Some(&fine),
            false,
        ),
    ] {
        let parsed = parse_condition(condition).unwrap();
        assert_eq!(parsed.unmet(&SERVER, object).is_none(), met, "{condition}");
    }
    let gateway = json!({ "status": { "problems": ["server a: no connection"] } });
    let ready = parse_condition("ready").unwrap();
    assert!(
        ready
            .unmet(&GATEWAY, Some(&gateway))
            .unwrap()
            .contains("server a")
    );
    assert!(parse_condition("nonsense").is_err());
}

#[test]
fn a_warning_is_ready_and_is_told() {
    let ready = parse_condition("ready").unwrap();
    let cut =
        "spec.bindings[0]: server many is not offered as a whole: 10,000 of 12,000 tools: limit";
    let warned = json!({ "text": cut, "severity": "PROBLEM_SEVERITY_WARNING" });
    let gateway = json!({ "status": { "problemDetails": [warned] } });
    assert_eq!(ready.unmet(&GATEWAY, Some(&gateway)), None);
    assert_eq!(warnings_of(&GATEWAY, &gateway), [cut]);
    let error = json!({ "text": "server a: no connection", "severity": "PROBLEM_SEVERITY_ERROR" });
    let failed = json!({ "status": { "problemDetails": [warned, error] } });
    let reason = ready.unmet(&GATEWAY, Some(&failed)).unwrap();
    assert_eq!(reason, "server a: no connection");
    let left_out = "tools are left out: `x`: its name is empty; have the server fixed";
    let outcome = "PROBE_OUTCOME_WARNED";
    let server =
        json!({ "status": { "seen": true, "problem": left_out, "probeOutcome": outcome } });
    assert_eq!(ready.unmet(&SERVER, Some(&server)), None);
    assert_eq!(warnings_of(&SERVER, &server), [left_out]);
}

#[test]
fn the_next_step_after_a_wait_fits_its_condition() {
    #[derive(Parser)]
    struct TestCommand {
        #[command(flatten)]
        wait: WaitArgs,
    }
    let step = |condition: &str| {
        let words = ["wait", "server", "git", "--for", condition];
        let wait = TestCommand::try_parse_from(words).unwrap().wait;
        let name = "organizations/default/servers/git";
        let fault = wait.timed_out(&SERVER, name, true, "it exists");
        assert!(
            fault
                .message
                .contains("did not meet the condition within 30s: it exists")
        );
        fault.next_step.unwrap_or_default()
    };
    assert!(step("ready").contains("toolgate server probe git"));
    let deleted = step("delete");
    assert!(deleted.contains("toolgate delete server git"), "{deleted}");
    assert!(!deleted.contains("probe"), "{deleted}");
}
