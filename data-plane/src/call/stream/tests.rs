//! A stream ends with its writer, and a slow client holds the writer back.

use http_body_util::BodyExt as _;

use super::*;

#[tokio::test]
async fn a_slow_client_holds_the_writer_back_and_gets_all() {
    let (sender, mut stream) = CallStream::channel();
    for _ in 0..QUEUE {
        sender.try_send(Bytes::from_static(b"x")).unwrap();
    }
    assert!(sender.try_send(Bytes::from_static(b"y")).is_err());
    drop(sender);
    let mut read = 0;
    while let Some(frame) = stream.frame().await {
        assert_eq!(frame.unwrap().into_data().unwrap(), "x");
        read += 1;
    }
    assert_eq!(read, QUEUE);
}

#[tokio::test]
async fn a_client_that_is_gone_is_noticed() {
    let (sender, stream) = CallStream::channel();
    drop(stream);
    sender.closed().await;
}
