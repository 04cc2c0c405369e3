//! Tests of the advice for each class of failure.

use super::{FailedServer, advice_for_probe, has_answered, is_remark};

fn advice(problem: &str, set_credential: Option<&str>) -> String {
    let target = FailedServer {
        id: "s",
        url: "http://10.0.0.1/mcp",
        set_credential,
    };
    advice_for_probe(problem, target)
}

#[test]
fn the_advice_matches_the_class_of_the_problem() {
    let set = Some("toolgate credential set key");
    let refused = advice(
        "Toolgate is not permitted to connect to its address; use another",
        set,
    );
    assert!(refused.contains("--egress-allow") && !refused.contains("credential"));
    let away = advice(
        "no connection to it could be made; check that it is up",
        set,
    );
    assert!(away.contains("server update s --url URL") && !away.contains("credential"));
    let unknown = advice("its host name has no address; check it", None);
    assert!(
        unknown.contains("host name of http://10.0.0.1/mcp"),
        "{unknown}"
    );
    let forwarded = advice("no connection through the proxy; check it", None);
    assert!(forwarded.contains("--no-proxy"), "{forwarded}");
    let denied = "the server answered HTTP 401 Unauthorized; check it";
    assert!(advice(denied, set).contains("`toolgate credential set key`"));
    assert!(advice(denied, None).contains("`toolgate credential set s --server s`"));
    assert!(advice("the server answered HTTP 404 Not Found; x", None).contains("path included"));
    assert!(advice("the server answered HTTP 503; x", None).contains("mend the server"));
}

#[test]
fn a_timeout_and_other_causes_are_not_told_to_be_a_wrong_path() {
    for (problem, step) in [
        (
            "the server took too long: no answer began; check it",
            "firstByte",
        ),
        ("the answer is larger than 4194304 bytes; x", "--max-answer"),
        (
            "the server speaks no version of the protocol that Toolgate speaks; x",
            "--protocol-version",
        ),
        (
            "there is no room for more answers of servers now; x",
            "server probe s",
        ),
        (
            "the server answered HTTP 301 Moved Permanently; x",
            "curl -sI",
        ),
    ] {
        let told = advice(problem, None);
        assert!(told.contains(step), "{problem}: {told}");
        assert!(!told.contains("path included"), "{problem}: {told}");
    }
}

#[test]
fn the_advice_for_several_endpoints_does_not_replace_them_by_one() {
    let target = FailedServer {
        id: "s",
        url: "http://10.0.0.1/mcp, http://10.0.0.2/mcp",
        set_credential: None,
    };
    let told = advice_for_probe("no connection to it could be made; x", target);
    assert!(told.contains("`toolgate edit server s`"), "{told}");
    assert!(!told.contains("--url"), "{told}");
}

#[test]
fn a_remark_is_no_failure() {
    let left_out = "tools are left out: `x`: its name is empty; have the server fixed";
    assert!(is_remark(left_out));
    let hidden =
        "its `instructions` hold characters that are invisible or deceive a reader; read them";
    assert!(is_remark(&format!("{left_out} / {hidden}")));
    let failed = "its prompts could not be listed: the server took too long; check its load";
    assert!(!is_remark(failed) && has_answered(failed));
    assert!(!is_remark(&format!("{left_out} / {failed}")));
    let away = "no connection to it could be made; check that it is up";
    assert!(!is_remark(away) && !has_answered(away));
}
