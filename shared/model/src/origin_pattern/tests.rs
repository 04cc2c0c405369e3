//! Tests of origin patterns: which URLs they match, and which texts are none.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> OriginPattern {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn matches(text: &str, url: &str) -> bool {
    pattern(text).matches(&url.parse().unwrap())
}

#[test]
fn an_exact_pattern_matches_its_origin_only() {
    let api = "https://api.example.com";
    for url in [
        "https://api.example.com/mcp",
        "https://API.Example.COM/other?q=1",
        "https://api.example.com:443/",
        "https://api.example.com./mcp",
    ] {
        assert!(matches(api, url), "{url}");
    }
    for url in [
        "http://api.example.com/mcp",
        "https://api.example.com:8443/mcp",
        "https://example.com/mcp",
        "https://a.api.example.com/mcp",
        "https://api.example.com.evil.test/mcp",
        "https://evil.test/?api.example.com",
        "https://evil.test/api.example.com",
        "https://api.example.com@evil.test/mcp",
        "https://user@api.example.com/mcp",
        "https://:secret@api.example.com/mcp",
        "https://xapi.example.com/mcp",
    ] {
        assert!(!matches(api, url), "{url}");
    }
}

#[test]
fn a_wildcard_matches_exactly_one_label() {
    let any = "https://*.example.com";
    assert!(matches(any, "https://api.example.com/"));
    assert!(matches(any, "https://API.EXAMPLE.COM./"));
    for url in [
        "https://example.com/",
        "https://a.b.example.com/",
        "https://badexample.com/",
        "https://api.example.com.evil.test/",
        "http://api.example.com/",
        "https://api.example.com:444/",
        "https://1.2.3.4/",
    ] {
        assert!(!matches(any, url), "{url}");
    }
    assert!(matches(
        "https://*.example.com:444",
        "https://a.example.com:444/"
    ));
}

#[test]
fn http_matches_only_if_it_is_written() {
    assert!(matches("http://127.0.0.1:9", "http://127.0.0.1:9/mcp"));
    assert!(!matches("http://a.example.com", "https://a.example.com/"));
    assert!(!matches(
        "http://a.example.com",
        "https://a.example.com:80/"
    ));
    assert!(!matches(
        "https://a.example.com:80",
        "http://a.example.com/"
    ));
}

#[test]
fn addresses_are_exact() {
    assert!(matches(
        "https://[::1]:8443",
        "https://[0:0:0:0:0:0:0:1]:8443/"
    ));
    assert!(!matches("https://[::1]", "https://127.0.0.1/"));
    assert!(!matches("https://127.0.0.1", "https://127.0.0.2/"));
    assert!(!matches("https://127.0.0.1", "https://[::ffff:127.0.0.1]/"));
    for text in ["https://*.2.3.4", "https://*.0.0.1", "https://*.[::1]"] {
        assert!(text.parse::<OriginPattern>().is_err(), "{text}");
    }
}

#[test]
fn internationalized_names_are_compared_in_their_ascii_form() {
    let ascii = "https://xn--bcher-kva.example";
    assert_eq!(pattern("https://bücher.example"), pattern(ascii));
    assert_eq!(pattern("https://BÜCHER.example").to_string(), ascii);
    assert!(matches(
        "https://*.bücher.example",
        "https://a.xn--bcher-kva.example/"
    ));
    // A look-alike is another name.
    assert!(!matches("https://example.com", "https://ехаmple.com/"));
}

#[test]
fn patterns_that_are_more_or_less_than_an_origin_are_rejected() {
    use InvalidOriginPattern::{Host, NotAnOrigin, Scheme, Wildcard};
    for (text, expected) in [
        ("", Scheme),
        ("api.example.com", Scheme),
        ("*", Scheme),
        ("ftp://api.example.com", Scheme),
        ("*://api.example.com", Scheme),
        ("https://api.example.com/", NotAnOrigin),
        ("https://api.example.com/mcp", NotAnOrigin),
        ("https://api.example.com?q", NotAnOrigin),
        ("https://api.example.com#f", NotAnOrigin),
        ("https://user@api.example.com", NotAnOrigin),
        ("https:///api.example.com", NotAnOrigin),
        ("https://api.example.com\\", NotAnOrigin),
        ("https://api.%65xample.com", NotAnOrigin),
        ("https://api.example.com ", NotAnOrigin),
        ("https://", Host),
        ("https://:443", Host),
        ("https://api..example.com", Host),
        ("https://.example.com", Host),
        ("https://api.example.com..", Host),
        ("https://api.example.com:99999", Host),
        ("https://*", Wildcard),
        ("https://*.", Wildcard),
        ("https://*.com", Wildcard),
        ("https://*.com.", Wildcard),
        ("https://a.*.example.com", Wildcard),
        ("https://*.*.example.com", Wildcard),
        ("https://a*.example.com", Wildcard),
        ("https://**.example.com", Wildcard),
        ("https://api.example.com:*", Wildcard),
    ] {
        assert_eq!(text.parse::<OriginPattern>(), Err(expected), "{text}");
    }
}

#[test]
fn a_credential_without_hosts_matches_nothing_and_is_permitted_where_it_is() {
    let url: Url = "https://a.example.com/".parse().unwrap();
    let unbound = CredentialHosts::default();
    assert!(!unbound.is_bound() && !unbound.matches(&url) && unbound.permits(&url));
    let bound = CredentialHosts::new(vec![pattern("https://b.example.com")]);
    assert!(bound.is_bound() && !bound.matches(&url) && !bound.permits(&url));
}

fn domain() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{0,8}){1,3}"
}

fn port() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![
        Just(None),
        Just(Some(443)),
        Just(Some(80)),
        (1..u16::MAX).prop_map(Some)
    ]
}

fn with_port(origin: String, port: Option<u16>) -> String {
    port.map_or(origin.clone(), |port| format!("{origin}:{port}"))
}

proptest! {
    #[test]
    fn the_printed_form_parses_to_the_same_pattern(
        scheme in "https?", wildcard: bool, domain in domain(), port in port(),
    ) {
        let star = if wildcard { "*." } else { "" };
        let parsed = pattern(&with_port(format!("{scheme}://{star}{domain}"), port));
        prop_assert_eq!(pattern(&parsed.to_string()), parsed);
    }

    #[test]
    fn any_input_is_rejected_or_printed_in_a_form_that_parses_again(text in "\\PC{0,40}") {
        if let Ok(parsed) = text.parse::<OriginPattern>() {
            prop_assert_eq!(pattern(&parsed.to_string()), parsed);
        }
    }

    #[test]
    fn an_exact_pattern_agrees_with_the_origin_of_the_url(
        scheme in "https?", other in "https?", domain in domain(), port in port(), other_port in port(),
        path in "[a-z]{0,5}",
    ) {
        let url: Url = with_port(format!("{other}://{domain}"), other_port).parse().unwrap();
        let given: Url = with_port(format!("{scheme}://{domain}"), port).parse().unwrap();
        let parsed = OriginPattern::of_url(&given).unwrap();
        let full = url.join(&format!("/{path}")).unwrap();
        prop_assert_eq!(parsed.matches(&full), given.origin() == full.origin());
    }

    #[test]
    fn a_wildcard_never_matches_more_than_one_label(domain in domain(), prefix in "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}") {
        let any = pattern(&format!("https://*.{domain}"));
        let url = format!("https://{prefix}.{domain}/").parse().unwrap();
        prop_assert_eq!(any.matches(&url), !prefix.contains('.'));
    }

    #[test]
    fn another_domain_never_matches(domain in domain(), other in domain(), wildcard: bool) {
        let star = if wildcard { "*." } else { "" };
        let given = pattern(&format!("https://{star}{domain}"));
        let url: Url = format!("https://{other}/").parse().unwrap();
        let same = if wildcard { other.split_once('.').is_some_and(|(_, rest)| rest == domain) } else { other == domain };
        prop_assert_eq!(given.matches(&url), same);
    }
}
