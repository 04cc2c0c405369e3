//! Tests of the URL that a credential makes, and of texts that must not show its values.

use proptest::prelude::*;
use url::Url;

use super::*;

proptest! {
    #[test]
    fn a_server_reads_its_own_query_and_then_the_parameters_of_the_credential(
        own in proptest::option::of("[a-z]{1,4}=[a-z0-9%20]{0,0}[a-z]{0,6}(&[a-z]{1,4}=[a-z]{0,4})?"),
        given in proptest::collection::vec(("\\PC{1,20}", "\\PC{1,40}"), 1..=4),
    ) {
        let base = "https://mcp.example.com:8443/a/mcp";
        let url = own.map_or_else(|| base.to_owned(), |own| format!("{base}?{own}"));
        let fields = given.iter().map(|(name, value)| (FieldPlace::Query, &**name, value.as_bytes()));
        let credential = PresentedCredential::encode(fields).unwrap();
        let sent = credential.apply_to(&url.parse().unwrap()).unwrap().to_string();
        prop_assert!(sent.starts_with(&url));
        let read = |url: &str| -> Vec<(String, String)> {
            Url::parse(url).unwrap().query_pairs().into_owned().collect()
        };
        let mut expected = read(&url);
        expected.extend(given);
        prop_assert_eq!(read(&sent), expected);
        prop_assert!(!sent.contains('+') && !sent.contains('#'));
    }
}

#[test]
fn debug_output_names_fields_without_values() {
    let fields = [
        (FieldPlace::Header, "x-api-key", &b"canary-h"[..]),
        (FieldPlace::Query, "api_key", &b"canary-q"[..]),
    ];
    let credential = PresentedCredential::encode(fields).unwrap();
    assert_eq!(format!("{credential:?}"), r#"["x-api-key", "api_key"]"#);
}

#[test]
fn a_url_that_becomes_too_long_is_not_requested() {
    let value = "canary".repeat(20_000);
    let fields = [(FieldPlace::Query, "api_key", value.as_bytes())];
    let credential = PresentedCredential::encode(fields).unwrap();
    let uri = "https://mcp.example.com/mcp".parse().unwrap();
    assert_eq!(credential.apply_to(&uri), None);
}

#[test]
fn a_text_of_a_server_that_quotes_the_request_shows_no_value() {
    let fields = [
        (FieldPlace::Header, "authorization", &b"Bearer canary-h"[..]),
        (FieldPlace::Query, "api_key", &b"canary q&a"[..]),
        (FieldPlace::Query, "tenant", &b"7"[..]),
    ];
    let credential = PresentedCredential::encode(fields).unwrap();
    let sent = credential
        .apply_to(&"https://a.example/mcp?v=17".parse().unwrap())
        .unwrap();
    for quoted in [
        format!("Cannot POST {sent}"),
        "invalid key `canary q&a`".to_owned(),
        "unknown token canary-h in `Bearer canary-h`".to_owned(),
    ] {
        let mut text = quoted.clone();
        credential.hide_in(&mut text);
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("(credential)"), "{text}");
    }
    let fields = [
        (FieldPlace::Header, "x-key", &b"ca/nary\"\\+=="[..]),
        (FieldPlace::Query, "key", "ca/nary ä".as_bytes()),
        (FieldPlace::Header, "x-app-id", &b"acme-prod"[..]),
        (FieldPlace::Header, "x-app-key", &b"acme-prod-canary~*"[..]),
    ];
    let escaped = PresentedCredential::encode(fields).unwrap();
    for quoted in [
        r#"{"error":"bad key ca\/nary\"\\+=="}"#,
        r#"{"error":"bad key ca/nary\"\\+=="}"#,
        "Cannot POST /mcp?key=ca%2fnary%20%c3%a4",
        "Cannot POST /mcp?key=ca%2Fnary%20%C3%A4",
        r#"{"error":"bad key ca\/nary ä"}"#,
        "no application acme-prod with key acme-prod-canary~*",
        "bad key ca%2fnary%22%5c%2b%3d%3d or acme-prod-canary~%2A",
        "bad key acme-prod-canary%7e*",
    ] {
        let mut text = quoted.to_owned();
        escaped.hide_in(&mut text);
        assert!(!text.contains("nary"), "{text}");
    }
    let mut text = "HTTP 407 of v17".to_owned();
    credential.hide_in(&mut text);
    assert_eq!(text, "HTTP 407 of v17");
}

#[test]
fn an_announced_url_repeats_no_parameter_of_the_credential() {
    let fields = [(FieldPlace::Query, "api key", &b"canary"[..])];
    let credential = PresentedCredential::encode(fields).unwrap();
    for (announced, used) in [
        (
            "https://a.example/m?s=1&API+key=canary",
            "https://a.example/m?s=1",
        ),
        (
            "https://a.example/m?api%20key=canary",
            "https://a.example/m",
        ),
        ("https://a.example/m?s=%7e", "https://a.example/m?s=%7e"),
        ("https://a.example/m", "https://a.example/m"),
    ] {
        let mut url = announced.parse().unwrap();
        credential.remove_from(&mut url);
        assert_eq!(url.as_str(), used);
    }
}
