//! Tests of the private port.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the port from outside"
)]
async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn readyz_names_pending_conditions_and_fails_while_draining() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (readiness, metrics, (drain, trigger)) =
        (Readiness::new(), Metrics::new(), crate::drain::new());
    let view = readiness.block("first view");
    let extra = Router::new().route("/extra", axum::routing::get(async || "more"));
    metrics.refusals("rate").increment();
    drain.spawn_unguarded(serve(listener, readiness, metrics, extra, drain.clone()));

    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(
        get(address, "/readyz?verbose")
            .await
            .contains("waiting for: first view")
    );
    drop(view);
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(
        get(address, "/metrics")
            .await
            .contains("toolgate_refusals_total")
    );
    assert!(get(address, "/extra").await.ends_with("more"));
    trigger.drain(std::time::Duration::ZERO).await;
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
}
