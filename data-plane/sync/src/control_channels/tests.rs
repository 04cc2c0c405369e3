//! Tests of the control-plane channels.

use super::*;

#[test]
fn the_server_certificate_must_match_the_host() {
    for (address, name) in [
        ("control.example:7410", "control.example"),
        ("127.0.0.1:7410", "127.0.0.1"),
        ("[::1]:7410", "::1"),
        ("control.example", "control.example"),
    ] {
        assert_eq!(
            server_name(address).unwrap(),
            ServerName::try_from(name).unwrap(),
            "{address}"
        );
    }
    assert!(server_name("not a host:1").is_err());
}
