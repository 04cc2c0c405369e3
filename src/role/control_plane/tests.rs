//! Tests of the rules for an admin API without TLS.

use super::*;

fn listener(at: &str, insecure_admin: bool) -> AdminListener {
    AdminListener {
        admin_listen: at.parse().unwrap(),
        admin_cert: None,
        admin_key: None,
        insecure_admin,
        token_prefix: "archestra".to_owned(),
    }
}

#[test]
fn the_admin_api_is_in_plain_text_beyond_this_machine_only_when_asked_for() {
    for at in ["127.0.0.1:7400", "[::1]:7400"] {
        plain(&listener(at, false)).unwrap();
    }
    for at in ["0.0.0.0:7400", "10.0.0.1:7400", "[::]:7400"] {
        let refused = plain(&listener(at, false)).unwrap_err().to_string();
        assert!(refused.contains("--insecure-admin"), "{refused}");
        plain(&listener(at, true)).unwrap();
    }
}
