//! Tests of the advice for each cause of a failure.

use toolgate_model::{ProbeFailure, ProbeOutcome, ProbeProblem};

use super::{FailedServer, advice_for_probe};

fn advice(failure: ProbeFailure, set_credential: Option<&str>) -> String {
    let target = FailedServer {
        id: "s",
        url: "http://10.0.0.1/mcp",
        set_credential,
    };
    advice_for_probe(&ProbeProblem::failed("it fails", failure), target)
}

#[test]
fn the_advice_matches_the_cause_of_the_problem() {
    let set = Some("toolgate credential set key");
    let refused = advice(ProbeFailure::AddressDenied, set);
    assert!(refused.contains("--egress-allow") && !refused.contains("credential"));
    let away = advice(ProbeFailure::Unreachable, set);
    assert!(away.contains("server update s --url URL") && !away.contains("credential"));
    let unknown = advice(ProbeFailure::HostUnresolved, None);
    assert!(
        unknown.contains("host name of http://10.0.0.1/mcp"),
        "{unknown}"
    );
    let forwarded = advice(ProbeFailure::ForwardProxy, None);
    assert!(forwarded.contains("--no-proxy"), "{forwarded}");
    let denied = ProbeFailure::Credential;
    assert!(advice(denied, set).contains("`toolgate credential set key`"));
    assert!(advice(denied, None).contains("`toolgate credential set s --server s`"));
    assert!(advice(ProbeFailure::NotMcp, None).contains("path included"));
    assert!(advice(ProbeFailure::ServerFault, None).contains("mend the server"));
}

#[test]
fn a_timeout_and_other_causes_are_not_told_to_be_a_wrong_path() {
    for (failure, step) in [
        (ProbeFailure::Timeout, "firstByte"),
        (ProbeFailure::AnswerTooLarge, "--max-answer"),
        (ProbeFailure::ProtocolVersion, "--protocol-version"),
        (ProbeFailure::Overloaded, "server probe s"),
        (ProbeFailure::Redirected, "curl -sI"),
        (ProbeFailure::GatewayLoop, "server delete s"),
        (
            ProbeFailure::UnstableDefinitions,
            "only when its tools change",
        ),
        (ProbeFailure::StoreFull, "more room"),
    ] {
        let told = advice(failure, None);
        assert!(told.contains(step), "{failure:?}: {told}");
        assert!(!told.contains("path included"), "{failure:?}: {told}");
    }
}

#[test]
fn the_advice_for_several_endpoints_does_not_replace_them_by_one() {
    let target = FailedServer {
        id: "s",
        url: "http://10.0.0.1/mcp, http://10.0.0.2/mcp",
        set_credential: None,
    };
    let away = ProbeProblem::failed("no connection", ProbeFailure::Unreachable);
    let told = advice_for_probe(&away, target);
    assert!(told.contains("`toolgate edit server s`"), "{told}");
    assert!(!told.contains("--url"), "{told}");
}

#[test]
fn a_problem_without_a_known_cause_has_advice_whatever_its_text_says() {
    let target = FailedServer {
        id: "s",
        url: "http://10.0.0.1/mcp",
        set_credential: None,
    };
    let unknown = ProbeProblem {
        text: "the server answered HTTP 401 Unauthorized".to_owned(),
        outcome: ProbeOutcome::Unknown,
        failure: None,
    };
    let told = advice_for_probe(&unknown, target);
    assert!(told.contains("server update s --url URL"), "{told}");
    assert!(!told.contains("credential"), "{told}");
}
