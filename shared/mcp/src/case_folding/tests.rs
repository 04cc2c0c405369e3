//! OV-05: no message is read differently by the proxy and by a parser that ignores case.

use crate::{FrameLimits, envelope::parse, error::FrameErrorKind};

fn reason(text: &str) -> Option<FrameErrorKind> {
    let parsed = parse(text.as_bytes(), &FrameLimits::REQUEST);
    parsed.err().map(|error| error.reason)
}

#[test]
fn a_member_name_that_differs_only_in_case_is_rejected_where_names_are_read() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"ID":99,"method":"tools/call","params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"x","params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"PARAMS":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"NAME":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061Me":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Arguments":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_Meta":{}}}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"param\u{17f}\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{\"_meta\":{\"progressTo\u{212a}en\":1}}}",
    ] {
        assert_eq!(reason(text), Some(FrameErrorKind::CaseVariant), "{text}");
    }
}

#[test]
fn other_names_pass_and_arguments_are_not_checked() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","names":1,
        "arguments":{"Name":1,"name":2,"ID":3},"_meta":{"Vendor/X":1,"vendor/x":2}},"extra":1}"#;
    assert_eq!(reason(text), None);
}
