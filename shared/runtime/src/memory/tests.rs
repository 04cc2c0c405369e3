//! Tests of in-memory connections.

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn bytes_arrive_at_the_other_end() {
    let (dialer, mut incoming) = pair();
    let mut ours = dialer.dial().await.unwrap();
    let mut theirs = incoming.next().await.unwrap().unwrap();
    ours.write_all(b"hello").await.unwrap();
    drop(ours);
    let mut read = Vec::new();
    theirs.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"hello");
}

#[tokio::test]
async fn connecting_to_an_unknown_address_is_refused() {
    let (dialer, incoming) = pair();
    drop(incoming);
    assert_eq!(
        dialer.dial().await.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
}
