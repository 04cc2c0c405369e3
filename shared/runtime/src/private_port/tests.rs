//! Tests of the private port.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    get_from(address, "localhost", path).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the port from outside"
)]
async fn get_from(address: std::net::SocketAddr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
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
    let hosts = HostPolicy::new(address, ["health.example.com"], "--private-host").unwrap();
    let serving = serve(
        listener,
        (readiness, Liveness::default()),
        metrics,
        extra,
        hosts,
        drain.clone(),
    );
    drain.spawn_unguarded(serving);

    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(
        get(address, "/readyz?verbose")
            .await
            .contains("waiting for: first view")
    );
    for host in ["health.example.com", "127.0.0.1:1"] {
        assert!(
            get_from(address, host, "/livez").await.contains("ok"),
            "{host}"
        );
    }
    for path in ["/livez", "/readyz?verbose", "/metrics", "/extra"] {
        let refused = get_from(address, "rebound.example", path).await;
        assert!(refused.starts_with("HTTP/1.1 421"), "{path}: {refused}");
        assert!(refused.contains("`--private-host`"), "{path}: {refused}");
        assert!(!refused.contains("first view"), "{refused}");
    }
    view.release();
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
