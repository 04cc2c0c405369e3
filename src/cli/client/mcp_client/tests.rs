//! Tests of the advice for requests that a gateway refuses for now.

use super::*;

#[test]
fn a_request_over_a_limit_is_told_when_to_repeat_it_and_where_the_limit_is() {
    let refused = |message: &str, status: StatusCode, after: Option<u64>| {
        let fault = CliError::new(CliErrorKind::Unavailable, message);
        with_retry(fault, status, after, "tools").next_step.unwrap()
    };
    let limited = CliError {
        reason: ApiErrorReason::Limit,
        ..CliError::new(CliErrorKind::Unavailable, "any words")
    };
    let step = with_retry(limited, StatusCode::TOO_MANY_REQUESTS, Some(7), "tools");
    let step = step.next_step.unwrap();
    assert!(step.starts_with("repeat the command in 7 s; "), "{step}");
    assert!(step.contains("`toolgate edit gateway tools`"), "{step}");
    let open = "too many of your streams are open: end some of them, or retry later";
    let step = refused(open, StatusCode::TOO_MANY_REQUESTS, None);
    assert!(
        step.starts_with("repeat the command in a few seconds; "),
        "{step}"
    );
    assert!(step.contains("docs/configuration.md"), "{step}");
    let overloaded = "overloaded: retry soon";
    let step = refused(overloaded, StatusCode::SERVICE_UNAVAILABLE, Some(1));
    assert!(step.contains("`toolgate doctor`"), "{step}");
    let failed = CliError::new(CliErrorKind::CallFailed, "the server failed");
    let same = with_retry(failed.clone(), StatusCode::OK, None, "tools");
    assert_eq!(same, failed);
}

#[tokio::test]
async fn the_reason_of_a_refusal_decides_and_not_its_words() {
    let client = McpClient::new(
        dial::http_client(None).unwrap(),
        "http://127.0.0.1:1/v1/mcp/tools".to_owned(),
        String::new(),
    );
    let refused = |status, data: Value| {
        let error = serde_json::json!({ "code": -32602, "message": "any words", "data": data });
        let frame = serde_json::json!({ "error": error });
        client.to_result(status, &frame).unwrap_err()
    };
    let refusal = |reason: &str| serde_json::json!({ "toolgate/refusal": reason });
    let unknown = refused(StatusCode::OK, refusal("unknown_tool"));
    assert_eq!(unknown.kind, CliErrorKind::NotFound);
    assert_eq!(unknown.reason, ApiErrorReason::UnknownTool);
    let prompt = refused(StatusCode::OK, refusal("unknown_prompt"));
    assert_eq!(prompt.kind, CliErrorKind::NotFound);
    let resource = refused(StatusCode::OK, serde_json::json!({ "uri": "memo:x" }));
    assert_eq!(resource.kind, CliErrorKind::NotFound);
    let other = refused(StatusCode::OK, Value::Null);
    assert_eq!(other.kind, CliErrorKind::CallFailed);
    let denied = refused(StatusCode::SERVICE_UNAVAILABLE, refusal("gateway_denied"));
    assert!(denied.next_step.unwrap().contains("toolgate proxies"));
    let limited = refused(
        StatusCode::TOO_MANY_REQUESTS,
        serde_json::json!({ "retryAfter": 3, "limit": "token" }),
    );
    assert_eq!(limited.reason, ApiErrorReason::Limit);
}
