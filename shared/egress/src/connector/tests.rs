//! Tests of the parts of the connector that need no connection: targets of URLs, and the division of the time to connect.

use super::*;

fn target(url: &str) -> Result<ConnectTarget, String> {
    let uri = url.parse::<Uri>().map_err(|error| error.to_string())?;
    ConnectTarget::of(&uri).map_err(|error| error.to_string())
}

#[test]
fn a_target_has_the_port_and_the_certificate_name_of_its_scheme() {
    for (url, host, port, tls_name) in [
        ("https://tools.test/", "tools.test", 443, Some("tools.test")),
        ("http://tools.test/", "tools.test", 80, None),
        ("http://tools.test:8080/", "tools.test", 8080, None),
        (
            "https://[2001:db8::1]:8443/",
            "2001:db8::1",
            8443,
            Some("2001:db8::1"),
        ),
    ] {
        let target = target(url).unwrap();
        assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
        let named = target.tls_name.map(|name| name.to_str().into_owned());
        assert_eq!(named.as_deref(), tls_name, "{url}");
    }
}

#[test]
fn a_target_of_another_scheme_or_with_a_user_or_a_port_of_another_protocol_is_refused() {
    for (url, problem) in [
        ("ftp://tools.test/", "neither http nor https"),
        ("ws://tools.test/", "neither http nor https"),
        ("tools.test:443", "neither http nor https"),
        ("/path", "it names no host"),
        ("https://me@tools.test/", "it holds a user name"),
        (
            "https://tools.test:25/",
            "its port belongs to another protocol",
        ),
        (
            "http://tools.test:22/",
            "its port belongs to another protocol",
        ),
    ] {
        let refused = target(url).err();
        assert!(
            refused.as_ref().is_some_and(|text| text.contains(problem)),
            "{url}: {refused:?}"
        );
    }
}

#[test]
fn connect_requests_have_ipv6_addresses_in_brackets() {
    let authority = |url| target(url).unwrap().authority();
    assert_eq!(authority("https://tools.test/"), "tools.test:443");
    assert_eq!(authority("https://192.0.2.1:8443/"), "192.0.2.1:8443");
    assert_eq!(authority("https://[2001:db8::1]/"), "[2001:db8::1]:443");
}

#[test]
fn every_address_has_an_equal_part_of_the_time() {
    let ten = Duration::from_secs(10);
    assert_eq!(equal_share(ten, 1), ten);
    assert_eq!(equal_share(ten, 2), Duration::from_secs(5));
    assert_eq!(equal_share(ten, 4), Duration::from_millis(2_500));
    assert_eq!(equal_share(ten, 0), ten);
}

#[test]
fn a_name_that_a_proxy_resolves_takes_at_most_a_quarter_of_the_time_and_a_second() {
    let limit = |millis| proxied_resolution(Duration::from_millis(millis));
    assert_eq!(limit(400), Duration::from_millis(100));
    assert_eq!(limit(4_000), Duration::from_secs(1));
    assert_eq!(limit(60_000), Duration::from_secs(1));
}
