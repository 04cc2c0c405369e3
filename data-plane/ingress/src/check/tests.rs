//! Tests that ambiguous and compressed requests are rejected.

use http::Request;

use super::*;

fn judge(name: &str, value: &str) -> Result<(), Refusal> {
    let listen = "127.0.0.1:1".parse().unwrap();
    let hosts = HostPolicy::new(listen, [], "--public-host").unwrap();
    let request = Request::get("/").header("host", "localhost");
    let (head, ()) = request.header(name, value).body(()).unwrap().into_parts();
    check_head(&head, &hosts, &OriginAllowlist::default())
}

#[test]
fn ambiguous_header_names_are_rejected() {
    assert!(matches!(
        judge("mcp_method", "x"),
        Err(Refusal::InvalidRequest(_))
    ));
    assert_eq!(judge("mcp-method", "x"), Ok(()));
}

#[test]
fn compressed_bodies_are_rejected() {
    assert_eq!(
        judge("content-encoding", "gzip"),
        Err(Refusal::ContentCoding)
    );
    assert_eq!(
        judge("content-encoding", "identity, br"),
        Err(Refusal::ContentCoding)
    );
    assert_eq!(judge("content-encoding", "Identity"), Ok(()));
}
