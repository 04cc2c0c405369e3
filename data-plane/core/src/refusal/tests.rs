//! Tests of the HTTP status and the error code of each refusal.

use serde_json::json;

use super::*;

#[test]
fn status_and_code_follow_the_protocol() {
    let method = |modern| Refusal::MethodNotFound {
        method: "x".to_owned(),
        modern,
    };
    for (refusal, status, code) in [
        (Refusal::NoSuchPath, 404, -32600),
        (Refusal::Unauthenticated, 401, -32600),
        (Refusal::InvalidToken(TokenFault::Signature), 401, -32600),
        (Refusal::InvalidToken(TokenFault::Requirement), 403, -32600),
        (Refusal::Origin, 403, -32600),
        (Refusal::MethodNotAllowed, 405, -32600),
        (Refusal::BodyTooLarge(1), 413, -32600),
        (Refusal::HeaderMismatch("x".to_owned()), 400, -32020),
        (Refusal::UnsupportedVersion("x".to_owned()), 400, -32022),
        (
            Refusal::MissingCapability(json!({"sampling": {}})),
            400,
            -32021,
        ),
        (Refusal::MissingMeta("x"), 400, -32602),
        (Refusal::MissingSession, 400, -32600),
        (Refusal::UnknownSession, 404, -32600),
        (method(true), 404, -32601),
        (method(false), 200, -32601),
        (Refusal::UnknownTool("x".to_owned()), 200, -32602),
        (Refusal::BadCursor, 200, -32602),
        (Refusal::TooManyRequests(3), 429, -32603),
        (
            Refusal::RateLimited {
                per: RateLimitKey::Team,
                seconds: 3,
            },
            429,
            -32603,
        ),
        (Refusal::Loop(CdnLoopError::PassedBefore), 508, -32603),
        (Refusal::Overloaded, 503, -32603),
        (Refusal::NotConfigured, 503, -32603),
        (Refusal::GatewayDenied, 503, -32603),
        (Refusal::GatewayUnreadable, 503, -32603),
        (Refusal::Upstream(UpstreamFailure::Timeout), 200, -32603),
        (Refusal::Internal, 500, -32603),
    ] {
        assert_eq!(
            (refusal.status(), refusal.rpc().code),
            (status, code),
            "{refusal:?}"
        );
    }
}

#[test]
fn errors_carry_machine_readable_remedies() {
    let version = Refusal::UnsupportedVersion("1999-01-01".to_owned()).rpc();
    let told = json!({
        "supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"],
        "requested": "1999-01-01",
    });
    assert_eq!(version.data, Some(told));
    let capability = Refusal::MissingCapability(json!({ "sampling": {} })).rpc();
    assert_eq!(
        capability.data,
        Some(json!({ "requiredCapabilities": { "sampling": {} } }))
    );
    assert_eq!(Refusal::TooManyRequests(3).retry_after(), Some(3));
    let limited = Refusal::RateLimited {
        per: RateLimitKey::Principal,
        seconds: 12,
    };
    assert_eq!(limited.retry_after(), Some(12));
    assert_eq!(limited.kind(), "rate_limit_principal");
    assert_eq!(
        limited.rpc().data,
        Some(json!({ "retryAfter": 12, "limit": "principal" }))
    );
    assert_eq!(Refusal::Internal.retry_after(), None);
    for (refusal, reason) in [
        (Refusal::UnknownTool("x".to_owned()), "unknown_tool"),
        (Refusal::UnknownPrompt("x".to_owned()), "unknown_prompt"),
        (Refusal::GatewayDenied, "gateway_denied"),
        (Refusal::GatewayUnreadable, "gateway_unreadable"),
    ] {
        let told = Some(json!({ "toolgate/refusal": reason }));
        assert_eq!(refusal.rpc().data, told);
    }
}

#[test]
fn an_upstream_failure_names_the_kind_of_its_target() {
    let failure = UpstreamFailure::Unreachable;
    assert_eq!(
        failure.to_string(),
        "the server of this tool cannot be reached"
    );
    assert_eq!(
        failure.message_for("prompt"),
        "the server of this prompt cannot be reached"
    );
    let items = UpstreamFailure::TooManyOpen("tools");
    assert!(items.message_for("prompt").contains("your tools"));
}

#[test]
fn a_415_and_a_406_name_what_is_accepted() {
    let both = "application/json and text/event-stream";
    for (refusal, status, accepted) in [
        (
            Refusal::MediaType,
            415,
            "`Content-Type` must be application/json",
        ),
        (
            Refusal::ContentCoding,
            415,
            "`Content-Encoding` must be absent or identity",
        ),
        (
            Refusal::NotAcceptable(both),
            406,
            "`Accept` must list application/json and text/event-stream",
        ),
    ] {
        assert_eq!(refusal.status(), status);
        assert!(refusal.to_string().starts_with(accepted), "{refusal}");
    }
}
