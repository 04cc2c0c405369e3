//! Tests of the standard headers.

use proptest::prelude::*;

use super::*;
use crate::{FrameLimits, envelope};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é",
    "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;

fn checked(
    text: &str,
    version: &str,
    method: &str,
    name: ReceivedHeader<'_>,
) -> Result<(), (String, HeaderProblem)> {
    let envelope = envelope::parse(text.as_bytes(), &FrameLimits::REQUEST).unwrap();
    let once = |value: &'static str| {
        if value.is_empty() {
            ReceivedHeader::Absent
        } else {
            ReceivedHeader::Once(value.as_bytes())
        }
    };
    let headers = StandardHeaders {
        version: once(String::leak(version.to_owned())),
        method: once(String::leak(method.to_owned())),
        name,
    };
    check(&headers, &envelope).map_err(|m| (m.header.into_owned(), m.problem))
}

#[test]
fn headers_must_agree_with_the_body() {
    let encoded = encode("é").into_owned();
    let name = ReceivedHeader::Once(encoded.as_bytes());
    let bad = |header: &str, problem| Err((header.to_owned(), problem));
    assert_eq!(checked(CALL, "2026-07-28", "tools/call", name), Ok(()));
    assert_eq!(
        checked(CALL, "", "tools/call", name),
        bad(VERSION, HeaderProblem::Missing)
    );
    assert_eq!(
        checked(CALL, "2025-11-25", "tools/call", name),
        bad(VERSION, HeaderProblem::Differs)
    );
    assert_eq!(
        checked(CALL, "2026-07-28", "", name),
        bad(METHOD, HeaderProblem::Missing)
    );
    assert_eq!(
        checked(CALL, "2026-07-28", "TOOLS/CALL", name),
        bad(METHOD, HeaderProblem::Differs)
    );
    assert_eq!(
        checked(CALL, "2026-07-28", "tools/call", ReceivedHeader::Absent),
        bad(NAME, HeaderProblem::Missing)
    );
    assert_eq!(
        checked(CALL, "2026-07-28", "tools/call", ReceivedHeader::Repeated),
        bad(NAME, HeaderProblem::Repeated)
    );
    assert_eq!(
        checked(CALL, "2026-07-28", "tools/call", ReceivedHeader::Once(b"e")),
        bad(NAME, HeaderProblem::Differs)
    );
    assert_eq!(
        checked(
            CALL,
            "2026-07-28",
            "tools/call",
            ReceivedHeader::Once(b"=?base64?!?=")
        ),
        bad(NAME, HeaderProblem::Malformed)
    );
}

#[test]
fn methods_without_a_name_need_no_name() {
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(
        checked(list, "2026-07-28", "tools/list", ReceivedHeader::Absent),
        Ok(())
    );
    let note = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
    assert_eq!(
        checked(note, "2026-07-28", "", ReceivedHeader::Absent),
        Ok(())
    );
}

#[test]
fn only_exact_encoding_markers_are_decoded() {
    assert_eq!(
        decode(b"=?BASE64?6Q==?=").as_deref(),
        Some("=?BASE64?6Q==?=")
    );
    assert_eq!(decode(b"=?base64?w6k=?=").as_deref(), Some("é"));
    assert_eq!(decode(b"=?base64?/w==?="), None);
    assert_eq!(decode("é".as_bytes()), None);
    assert_eq!(encode("plain name"), "plain name");
    assert_ne!(encode("=?base64?w6k=?="), "=?base64?w6k=?=");
}

proptest! {
    #[test]
    fn every_value_round_trips_through_the_header(value in any::<String>()) {
        let header = encode(&value).into_owned();
        prop_assert!(header.bytes().all(|b| (0x20..0x7f).contains(&b)));
        prop_assert_eq!(header.trim(), &header);
        let decoded = decode(header.as_bytes());
        prop_assert_eq!(decoded.as_deref(), Some(&*value));
    }

    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _value = decode(&bytes);
    }
}
