//! A reverse proxy on hyper that only forwards bytes: the baseline cost of the HTTP stack.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use http::header::{CONNECTION, HOST};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Above the number of connections of any run.
const MAX_IDLE_CONNECTIONS: usize = 1024;

struct PassthroughProxy {
    upstream: SocketAddr,
    client: Client<HttpConnector, Incoming>,
}

impl PassthroughProxy {
    async fn forward(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Incoming>> {
        let path = request
            .uri()
            .path_and_query()
            .context("a request without a path")?;
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.upstream.to_string())
            .path_and_query(path.as_str())
            .build()?;
        *request.uri_mut() = uri;
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().remove(HOST);
        let mut answer = self.client.request(request).await?;
        answer.headers_mut().remove(CONNECTION);
        Ok(answer)
    }
}

/// Serves until the process ends.
pub async fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .build(connector);
    let proxy = Arc::new(PassthroughProxy { upstream, client });
    let listener = TcpListener::bind(listen).await?;
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        socket.set_nodelay(true)?;
        let proxy = Arc::clone(&proxy);
        connections.spawn(async move {
            let service = service_fn(move |request| Arc::clone(&proxy).forward(request));
            let http = hyper::server::conn::http1::Builder::new();
            // A closed client connection is not an error.
            drop(http.serve_connection(TokioIo::new(socket), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}
