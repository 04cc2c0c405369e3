//! Tests of the rules for an admin API without TLS.

use super::*;

fn listener(at: &str, insecure_admin: bool) -> AdminListenerOptions {
    AdminListenerOptions {
        admin_listen: at.parse().unwrap(),
        admin_hosts: Vec::new(),
        admin_cert: None,
        admin_key: None,
        insecure_admin,
        token_prefix: "archestra".to_owned(),
    }
}

#[test]
fn a_plain_text_admin_api_beyond_loopback_needs_a_flag() {
    for at in ["127.0.0.1:7400", "[::1]:7400"] {
        check_plaintext(&listener(at, false)).unwrap();
    }
    for at in ["0.0.0.0:7400", "10.0.0.1:7400", "[::]:7400"] {
        let refused = check_plaintext(&listener(at, false))
            .unwrap_err()
            .to_string();
        assert!(refused.contains("--insecure-admin"), "{refused}");
        check_plaintext(&listener(at, true)).unwrap();
    }
}

#[test]
fn control_planes_start_at_different_etcd_members() {
    let members = || ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(from_member(members(), 0), ["a", "b", "c"]);
    assert_eq!(from_member(members(), 4), ["b", "c", "a"]);
    assert_eq!(from_member(members(), 8), ["c", "a", "b"]);
    assert_eq!(from_member(vec!["a".to_owned()], 7), ["a"]);
    assert!(from_member(Vec::new(), 7).is_empty());
}
