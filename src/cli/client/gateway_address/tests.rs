//! Tests of the address of a gateway.

use super::*;

const LOCAL: &str = "http://127.0.0.1:7400";
const REMOTE: &str = "https://admin.example:7400";

fn among(told: &[&str], admin: &str) -> (String, Option<String>) {
    let told: Vec<String> = told.iter().map(|it| (*it).to_owned()).collect();
    let found = FoundEndpoint::among(&told, admin);
    (found.url, found.doubt)
}

#[test]
fn an_address_that_the_deployment_publishes_is_taken_without_doubt() {
    for admin in [LOCAL, REMOTE] {
        let told = [
            "http://0.0.0.0:7300/v1/mcp/a",
            "https://mcp.example/v1/mcp/a",
        ];
        let expected = ("https://mcp.example/v1/mcp/a".to_owned(), None);
        assert_eq!(among(&told, admin), expected);
    }
    // The same name at several proxies.
    let told = [
        "https://mcp.example/v1/mcp/a",
        "https://mcp.example/v1/mcp/a",
    ];
    assert_eq!(among(&told, REMOTE).1, None);
}

#[test]
fn a_listener_without_a_name_is_known_on_its_machine_and_a_guess_elsewhere() {
    let (url, doubt) = among(&["0.0.0.0:7300"], LOCAL);
    assert_eq!((url.as_str(), doubt), ("http://127.0.0.1:7300", None));
    let (url, doubt) = among(&["http://0.0.0.0:7300"], REMOTE);
    assert_eq!(url, "http://admin.example:7300");
    assert!(doubt.unwrap().contains("http://0.0.0.0:7300"));
    let (url, doubt) = among(&["http://127.0.0.1:7300"], REMOTE);
    assert_eq!(url, "http://127.0.0.1:7300");
    assert!(doubt.unwrap().contains("only its own machine"));
    let (url, doubt) = among(&[], REMOTE);
    assert_eq!(url, DEFAULT_ENDPOINT);
    assert!(doubt.is_some());
}

#[test]
fn proxies_with_different_addresses_leave_a_doubt_about_the_balancer() {
    let (url, doubt) = among(&["http://10.0.0.1:7300", "http://10.0.0.2:7300"], REMOTE);
    assert_eq!(url, "http://10.0.0.1:7300");
    let doubt = doubt.unwrap();
    assert!(
        doubt.contains("http://10.0.0.2:7300") && doubt.contains("balancer"),
        "{doubt}"
    );
}

#[test]
fn only_connected_proxies_count() {
    let proxies = [
        serde_json::json!({ "connected": false, "listen": "https://gone.example" }),
        serde_json::json!({ "connected": true, "listen": "" }),
        serde_json::json!({ "connected": true, "listen": "https://mcp.example" }),
    ];
    assert_eq!(listeners(&proxies), ["https://mcp.example"]);
}
