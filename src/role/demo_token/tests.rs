//! Tests of the choice between the token of an earlier start and a new one.

use super::*;

const SECRET: &str = "archestra_efghXYZ";
const NOW: u64 = 1_800_000_000_000;

fn token(change: impl Fn(&mut Value)) -> Vec<Value> {
    let expires = jiff::Timestamp::from_millisecond((NOW + 2 * MIN_REMAINING) as i64).unwrap();
    let mut token = json!({
        "metadata": { "name": "organizations/default/tokens/demo-1" },
        "spec": {
            "description": DESCRIPTION, "gateways": [DEMO], "expireTime": expires.to_string(),
        },
        "status": { "hint": "archestra_efgh…" },
    });
    change(&mut token);
    vec![json!({}), token]
}

#[test]
fn the_token_of_an_earlier_start_is_used_again_while_it_is_valid() {
    assert!(is_usable(&token(|_| {}), SECRET, NOW));
    let nearly_over = NOW + MIN_REMAINING + 1;
    assert!(!is_usable(&token(|_| {}), SECRET, nearly_over));
    assert!(!is_usable(&token(|_| {}), "archestra_other", NOW));
    assert!(!is_usable(&[], SECRET, NOW));
    for change in [
        |token: &mut Value| token["status"]["revoked"] = json!(true),
        |token: &mut Value| token["status"]["hint"] = json!(""),
        |token: &mut Value| token["spec"]["gateways"] = json!(["other"]),
        |token: &mut Value| token["spec"]["description"] = json!("mine"),
        |token: &mut Value| token["spec"]["expireTime"] = Value::Null,
    ] {
        assert!(!is_usable(&token(change), SECRET, NOW));
    }
}

#[test]
fn the_secret_is_written_for_the_owner_only_and_read_back() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    assert_eq!(read(&file), None);
    for secret in ["one", "two"] {
        write(&file, secret).unwrap();
        assert_eq!(read(&file).as_deref(), Some(secret));
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
