//! Tests of the reading of heads.

use super::*;

#[test]
fn heads_with_two_readings_are_refused() {
    let head = |fields: &str| parse_head(&format!("POST /mcp HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(
        head("Content-Length: 5\r\n").unwrap(),
        StrictHead { length: Some(5) }
    );
    assert_eq!(
        head("Transfer-Encoding: chunked\r\n").unwrap(),
        StrictHead { length: None }
    );
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "X: a\n Content-Length: 5\r\n",
        "X: a\r\n folded\r\n",
        "Host: b\r\n",
    ] {
        assert!(head(fields).is_err(), "{fields:?}");
    }
}
