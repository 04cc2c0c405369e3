//! Tests of media type matching, as defined by HTTP.

use http::HeaderValue;

use super::*;

fn map(name: HeaderName, values: &[&str]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for value in values {
        map.append(&name, HeaderValue::from_str(value).unwrap());
    }
    map
}

fn takes_both(values: &[&str]) -> bool {
    let map = map(header::ACCEPT, values);
    accepts(&map, JSON) && accepts(&map, EVENT_STREAM)
}

#[test]
fn accept_must_name_json_and_event_streams() {
    assert!(takes_both(&[]));
    assert!(takes_both(&["application/json, text/event-stream"]));
    assert!(takes_both(&["Application/JSON;q=0.9", "text/event-stream"]));
    assert!(takes_both(&["*/*"]));
    assert!(takes_both(&["application/*, text/*;q=0.1"]));
    assert!(!takes_both(&["application/json"]));
    assert!(!takes_both(&["text/event-stream"]));
    assert!(!takes_both(&["application/json, text/event-stream;q=0"]));
    assert!(!takes_both(&["application/jsonp, text/event-streams"]));
    assert!(!takes_both(&[""]));
}

#[test]
fn the_content_type_must_be_json() {
    let json = |values: &[&str]| is_json(&map(header::CONTENT_TYPE, values));
    assert!(json(&["application/json"]));
    assert!(json(&["Application/Json; charset=utf-8"]));
    assert!(!json(&[]));
    assert!(!json(&["text/plain"]));
    assert!(!json(&["application/json", "application/json"]));
    assert!(!json(&["application/json-rpc"]));
}

#[test]
fn headers_that_repeat_arguments_are_collected() {
    let mut map = map(HeaderName::from_static("mcp-param-a"), &["1", "2"]);
    map.insert("mcp-name", HeaderValue::from_static("x"));
    assert_eq!(
        param_headers(&map),
        [("mcp-param-a", &b"1"[..]), ("mcp-param-a", b"2")]
    );
    assert_eq!(standard_headers(&map).name, ReceivedHeader::Once(b"x"));
    assert_eq!(version_header(&map), ReceivedHeader::Absent);
}

#[test]
fn a_late_rejection_still_has_its_request_id() {
    let post =
        |text: &'static str| TransportRequest::Post(Bytes::from_static(text.as_bytes())).id();
    let request = r#"{"jsonrpc":"2.0","id":"a","method":"logging/setLevel","params":{}}"#;
    assert_eq!(post(request).as_deref(), Some("\"a\""));
    assert_eq!(
        post(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#),
        None
    );
    assert_eq!(TransportRequest::Get.id(), None);
}

#[test]
fn the_client_is_named_by_the_first_member_name_of_its_information() {
    let named = |info: &str| {
        let modern = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{"io.modelcontextprotocol/clientInfo":{info}}}}}}}"#
        );
        let handshake = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"clientInfo":{info}}}}}"#
        );
        let of = |message: &str| {
            let envelope = envelope::parse(message.as_bytes(), &FrameLimits::REQUEST).unwrap();
            client_name(&envelope).map(|name| format!("{name:?}"))
        };
        let name = of(&modern);
        assert_eq!(name, of(&handshake), "{info}");
        name
    };
    let label = |name: &str| Some(format!("{:?}", ClientName::new(name)));
    let long = format!(r#"{{"icons":["{}"],"name":"a"}}"#, "x".repeat(10_000));
    for info in [
        r#"{"name":"a","version":"1"}"#,
        r#"{"title":"name", "version" : "name" , "name" : "a"}"#,
        r#"{"icons":[{"name":"b"}],"x":{"name":"c"},"name":"a"}"#,
        long.as_str(),
    ] {
        assert_eq!(named(info), label("a"), "{info}");
    }
    let quoted = named(r#"{"name":"a\"b"}"#);
    assert_eq!(quoted, label(r#"a\"b"#));
    for info in [
        "{}",
        r#"{"x":{"name":"b"}}"#,
        r#"{"x":"name"}"#,
        r#"{"name":5}"#,
    ] {
        assert_eq!(named(info), None, "{info}");
    }
}
