//! Tests of the addresses that are allowed by default.

use toolgate_egress::vet;

use super::policy;
use crate::role::options::EgressOptions;

#[test]
fn only_up_may_reach_loopback_and_no_role_a_private_network() {
    let nothing_said = EgressOptions {
        allow: Vec::new(),
        plain_http: false,
        ca: None,
    };
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
