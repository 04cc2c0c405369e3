//! Tests of the advice for each class of failure.

use super::advice_for_probe;

#[test]
fn the_advice_matches_the_class_of_the_problem() {
    let advice =
        |problem, credential| advice_for_probe(problem, "s", "http://10.0.0.1/mcp", credential);
    let refused = advice(
        "Toolgate is not permitted to connect to its address; use another",
        "key",
    );
    assert!(refused.contains("--egress-allow") && !refused.contains("credential"));
    let away = advice(
        "no connection to it could be made; check that it is up",
        "key",
    );
    assert!(away.contains("toolgate apply -f s.yaml") && !away.contains("credential"));
    let unknown = advice("its host name has no address; check it", "");
    assert!(
        unknown.contains("host name of http://10.0.0.1/mcp"),
        "{unknown}"
    );
    let forwarded = advice("no connection through the proxy; check it", "");
    assert!(forwarded.contains("--no-proxy"), "{forwarded}");
    let denied = "the server answered HTTP 401 Unauthorized; check it";
    assert!(advice(denied, "key").contains("`toolgate credential set key`"));
    assert!(advice(denied, "").contains("`toolgate credential set s --server s`"));
    assert!(advice("the server answered HTTP 404 Not Found; x", "").contains("path included"));
    assert!(advice("the server answered HTTP 503; x", "").contains("mend the server"));
}
