//! Tests of the addresses that are allowed by default, and of proxies.

use toolgate_egress::vet;

use super::policy;
use crate::role::options::EgressOptions;

#[test]
fn only_up_may_reach_loopback_and_no_role_a_private_network() {
    let nothing_said = EgressOptions::default();
    let reaches = |address: &str, loopback| {
        vet(
            address.parse().unwrap(),
            &policy(&nothing_said, loopback).unwrap(),
        )
        .is_ok()
    };
    assert!(reaches("127.0.0.1", true) && reaches("::1", true));
    assert!(!reaches("127.0.0.1", false) && !reaches("::1", false));
    assert!(!reaches("10.0.0.1", true) && !reaches("169.254.169.254", true));
    assert!(reaches("8.8.8.8", false));
}

#[test]
fn a_proxy_that_cannot_be_used_is_told_by_the_name_of_its_setting_without_its_password() {
    for url in [
        "socks5://user:geheim@proxy.example:1080",
        "https://user:geheim@proxy.example",
        "http://user:geheim@proxy.example/path",
        "http://user:geheim@",
        "geheim geheim",
    ] {
        let options = EgressOptions {
            all_proxy: Some(url.to_owned()),
            ..EgressOptions::default()
        };
        let error = policy(&options, false).unwrap_err().to_string();
        assert!(error.contains("`ALL_PROXY`"), "{url}: {error}");
        assert!(!error.contains("geheim"), "{url}: {error}");
        assert!(!format!("{options:?}").contains("geheim"));
    }
    let usable = EgressOptions {
        https_proxy: Some("http://user:geheim@proxy.example:3128".to_owned()),
        http_proxy: Some("proxy.example:3128".to_owned()),
        ..EgressOptions::default()
    };
    let policy = format!("{:?}", policy(&usable, false).unwrap());
    assert!(
        policy.contains("proxy.example") && !policy.contains("geheim"),
        "{policy}"
    );
}
