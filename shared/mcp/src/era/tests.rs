//! Tests of the classifier: every row of its table, and the rows that are easily confused.

use super::*;
use crate::{FrameLimits, envelope};

const META: &str = r#""params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"V"}}"#;

fn classified(header: Option<&str>, session: bool, method: &str, meta: Option<&str>) -> RequestEra {
    let params = meta.map_or_else(String::new, |v| {
        format!(",{}", META.replace("\"V\"", &format!("\"{v}\"")))
    });
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#);
    let envelope = envelope::parse(text.as_bytes(), &FrameLimits::REQUEST).unwrap();
    let seen = header.map_or(ReceivedHeader::Absent, |value| {
        ReceivedHeader::Once(value.as_bytes())
    });
    classify(seen, session, &envelope)
}

fn legacy(version: Option<&'static str>) -> RequestEra {
    RequestEra::Legacy { version }
}

fn unsupported(requested: &str) -> RequestEra {
    RequestEra::Unsupported {
        requested: requested.to_owned(),
    }
}

#[test]
fn a_modern_version_anywhere_is_modern() {
    let modern = Some("2026-07-28");
    for (header, meta) in [
        (modern, modern),
        (modern, None),
        (None, modern),
        (Some("9"), modern),
        (modern, Some("9")),
    ] {
        assert_eq!(
            classified(header, false, "tools/list", meta),
            RequestEra::Modern
        );
        // A removed method and a session header make no difference.
        assert_eq!(
            classified(header, true, "initialize", meta),
            RequestEra::Modern
        );
    }
}

#[test]
fn an_unknown_version_in_meta_is_unsupported() {
    assert_eq!(
        classified(None, false, "tools/list", Some("2099-01-01")),
        unsupported("2099-01-01")
    );
    assert_eq!(
        classified(Some("2099-01-01"), false, "tools/list", Some("2099-01-01")),
        unsupported("2099-01-01")
    );
    assert_eq!(
        classified(None, false, "tools/list", Some("2025-11-25")),
        unsupported("2025-11-25")
    );
}

#[test]
fn legacy_markers_mean_legacy() {
    assert_eq!(classified(None, false, "initialize", None), legacy(None));
    assert_eq!(
        classified(Some("2024-11-05"), false, "initialize", None),
        legacy(None)
    );
    assert_eq!(classified(None, true, "tools/list", None), legacy(None));
    assert_eq!(
        classified(Some("2025-06-18"), true, "tools/list", None),
        legacy(Some("2025-06-18"))
    );
    assert_eq!(
        classified(Some("2025-11-25"), true, "tools/list", Some("2025-11-25")),
        legacy(Some("2025-11-25"))
    );
    assert_eq!(classified(None, false, "tools/list", None), legacy(None));
}

#[test]
fn an_unsupported_version_header_is_rejected() {
    let bad = |requested: &str| RequestEra::BadVersion {
        requested: requested.to_owned(),
    };
    assert_eq!(
        classified(Some("1999-01-01"), true, "tools/list", None),
        bad("1999-01-01")
    );
    assert_eq!(classify_bodiless(ReceivedHeader::Once(b"x")), bad("x"));
    assert_eq!(
        classify_bodiless(ReceivedHeader::Repeated),
        bad("several values")
    );
    assert_eq!(
        classify_bodiless(ReceivedHeader::Once(b"2026-07-28")),
        RequestEra::Modern
    );
    assert_eq!(classify_bodiless(ReceivedHeader::Absent), legacy(None));
}

#[test]
fn only_version_and_capabilities_are_required() {
    let check = |params: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{params}}}"#);
        check_meta(&envelope::parse(text.as_bytes(), &FrameLimits::REQUEST).unwrap())
    };
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let capabilities = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
    assert!(check(&format!(r#"{{"_meta":{{{version},{capabilities}}}}}"#)).is_ok());
    for bad in [
        "{}".to_owned(),
        format!(r#"{{"_meta":{{{version}}}}}"#),
        format!(r#"{{"_meta":{{{capabilities}}}}}"#),
    ] {
        assert_eq!(check(&bad).unwrap_err().code, -32602, "{bad}");
    }
}
