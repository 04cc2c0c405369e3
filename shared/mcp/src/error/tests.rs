//! Tests of the JSON-RPC errors.

use super::*;

#[test]
fn an_error_round_trips() {
    let error = RpcError::unsupported_version("1999-01-01", &["2026-07-28"]);
    let value: Value = serde_json::from_slice(&error.to_bytes(Some("\"a\""))).unwrap();
    assert_eq!(value["id"], "a");
    assert_eq!(value["error"]["data"]["supported"][0], "2026-07-28");
    let back = RpcError::parse(value["error"].to_string().as_bytes()).unwrap();
    assert_eq!(back, error);
}

#[test]
fn an_error_without_an_id_has_no_id_member() {
    let bytes = RpcError::internal("a \"quote\"\n\u{1}").to_bytes(None);
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value.get("id"), None);
    assert_eq!(value["error"]["message"], "a \"quote\"\n\u{1}");
}

#[test]
fn a_value_that_is_not_an_error_object_is_rejected() {
    for bad in ["{}", "3", r#"{"code":"x","message":""}"#, r#"{"code":1}"#] {
        assert_eq!(RpcError::parse(bad.as_bytes()), None, "{bad}");
    }
}
