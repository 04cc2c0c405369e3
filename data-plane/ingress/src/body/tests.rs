//! Tests that every body form reports its exact length and delivers exactly that many bytes.

use std::task::Waker;

use http_body::Body as _;

use super::*;

fn drained(mut body: ResponseBody<NeverBody>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) {
        out.extend_from_slice(&frame.into_data().unwrap());
    }
    assert!(body.is_end_stream());
    out
}

#[test]
fn every_body_variant_delivers_its_exact_length() {
    let two =
        || ResponseBody::from_chunks(vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cde")]);
    let one = || ResponseBody::from(Bytes::from_static(b"abcde"));
    for body in [two(), one()] {
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(!body.is_end_stream());
        assert_eq!(drained(body), b"abcde");
    }
    assert_eq!(drained(ResponseBody::from(Bytes::new())), b"");
    assert_eq!(
        ResponseBody::<NeverBody>::Empty.size_hint().exact(),
        Some(0)
    );
}
