//! Tests of the protocol detection over real sockets.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::TcpListener,
    time::{sleep, timeout},
};

use super::*;
use crate::HANG_GUARD;

#[expect(clippy::disallowed_methods, reason = "a client of a test")]
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Counts how often a task is woken.
#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn the_preface_is_recognized_in_any_pieces() {
    for (pieces, expected) in [
        (vec!["PRI * HTTP/2.0"], true),
        (vec!["P", "R", "I"], true),
        (vec!["POST / HTTP/1.1"], false),
        (vec!["P", "R", "O"], false),
        (vec!["G"], false),
    ] {
        let (mut client, server) = pair().await;
        let sending = async {
            for piece in &pieces {
                client.write_all(piece.as_bytes()).await.unwrap();
                sleep(Duration::from_millis(20)).await;
            }
        };
        let detected = timeout(HANG_GUARD, is_http2(&server));
        let (detected, ()) = tokio::join!(detected, sending);
        assert_eq!(detected.unwrap().unwrap(), expected, "{pieces:?}");
    }
}

#[tokio::test]
async fn half_a_preface_costs_nothing_while_it_waits() {
    let (mut client, server) = pair().await;
    client.write_all(b"PR").await.unwrap();
    let count = Arc::new(CountingWaker::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut detecting = pin!(is_http2(&server));
    // Until the bytes have arrived and were looked at.
    for _ in 0..5 {
        sleep(Duration::from_millis(20)).await;
        let mut context = Context::from_waker(&waker);
        assert!(detecting.as_mut().poll(&mut context).is_pending());
    }
    let before = count.0.load(Ordering::Relaxed);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(count.0.load(Ordering::Relaxed), before, "it polls by time");
    client.write_all(b"I").await.unwrap();
    assert!(timeout(HANG_GUARD, detecting).await.unwrap().unwrap());
}

#[tokio::test]
async fn half_a_preface_of_a_closed_connection_ends_it() {
    let (mut client, server) = pair().await;
    client.write_all(b"PR").await.unwrap();
    client.shutdown().await.unwrap();
    let detected = timeout(HANG_GUARD, is_http2(&server)).await.unwrap();
    assert!(detected.is_err());
}
