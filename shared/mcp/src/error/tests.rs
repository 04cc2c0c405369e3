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

#[test]
fn data_nested_at_any_depth_does_not_cost_the_code_and_the_message() {
    for levels in [100, 400, 520, 10_000] {
        let data = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let error = format!(r#"{{"code":-32000,"message":"no","data":{data}}}"#);
        let parsed = RpcError::parse(error.as_bytes()).unwrap();
        assert_eq!((parsed.code, &*parsed.message), (-32000, "no"), "{levels}");
        assert_eq!(parsed.data.is_some(), levels == 100, "{levels}");
    }
    let surrogate = RpcError::parse(br#"{"code":1,"message":"no","data":["\ud800"]}"#).unwrap();
    assert!(surrogate.data.is_some());
}
