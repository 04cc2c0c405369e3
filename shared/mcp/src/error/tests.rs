//! Tests of the JSON-RPC errors.

use super::*;

#[test]
fn an_error_survives_its_way() {
    let error = RpcError::unsupported_version("1999-01-01", &["2026-07-28"]);
    let value: Value = serde_json::from_slice(&error.to_bytes(Some("\"a\""))).unwrap();
    assert_eq!(value["id"], "a");
    assert_eq!(value["error"]["data"]["supported"][0], "2026-07-28");
    let back = RpcError::read(value["error"].to_string().as_bytes()).unwrap();
    assert_eq!(back, error);
}

#[test]
fn without_an_id_there_is_no_id() {
    let bytes = RpcError::internal("a \"quote\"\n\u{1}").to_bytes(None);
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value.get("id"), None);
    assert_eq!(value["error"]["message"], "a \"quote\"\n\u{1}");
}

#[test]
fn what_is_no_error_object_is_not_read_as_one() {
    for bad in ["{}", "3", r#"{"code":"x","message":""}"#, r#"{"code":1}"#] {
        assert_eq!(RpcError::read(bad.as_bytes()), None, "{bad}");
    }
}
