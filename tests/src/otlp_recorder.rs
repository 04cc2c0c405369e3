//! An OTLP collector that keeps every export as it was received.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Uri, header};
use http_body_util::StreamBody;
use hyper::body::Frame;

use crate::loopback_server::LoopbackServer;

/// Response without fields, in the framing of gRPC.
const EMPTY_RESPONSE: Bytes = Bytes::from_static(&[0, 0, 0, 0, 0]);

/// Service and bytes of an export.
type OtlpExport = (String, Bytes);

/// Running collector; it ends when dropped.
#[derive(Debug)]
pub struct OtlpRecorder {
    server: LoopbackServer,
    exports: Arc<Mutex<Vec<OtlpExport>>>,
}

impl OtlpRecorder {
    /// Starts a collector on a free port.
    pub async fn start() -> Result<Self> {
        let exports = Arc::<Mutex<Vec<OtlpExport>>>::default();
        let router = Router::new()
            .fallback(record)
            .with_state(Arc::clone(&exports));
        Ok(Self {
            server: LoopbackServer::start(router).await?,
            exports,
        })
    }

    /// Endpoint for exporters.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Exports so far whose service has this word in its name, such as `TraceService`.
    #[must_use]
    pub fn exports(&self, service: &str) -> Vec<Bytes> {
        let exports = self.exports.lock().unwrap_or_else(PoisonError::into_inner);
        let of_service = |(path, _): &&OtlpExport| path.contains(service);
        exports
            .iter()
            .filter(of_service)
            .map(|(_, bytes)| bytes.clone())
            .collect()
    }
}

async fn record(
    State(exports): State<Arc<Mutex<Vec<OtlpExport>>>>,
    uri: Uri,
    body: Bytes,
) -> Response {
    exports
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((uri.path().to_owned(), body));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Frame::data(EMPTY_RESPONSE), Frame::trailers(trailers)];
    let frames = frames.map(Ok::<_, std::convert::Infallible>);
    let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    ([(header::CONTENT_TYPE, "application/grpc")], body).into_response()
}
