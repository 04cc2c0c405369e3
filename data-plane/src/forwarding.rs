//! Forwarding of requests whose state is held by another proxy, and the handler of forwarded requests. The peer's response is
//! returned unchanged.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use http::{Method, Response, StatusCode, request::Parts};
use hyper::body::Incoming;
use toolgate_data_core::{OwningProxy, Plan, Refusal};
use toolgate_ingress::{IncomingRequest, RequestHandler, ResponseBody, response::empty_response};
use toolgate_peers::ForwardedRequest;

use crate::{
    batch,
    config_source::ConfigSource,
    execute::{PlannedRequest, execute},
    pipeline::{ClientHttpResponse, RequestRefusal, RequestSource, arrive, respond_refused},
    proxy_state::ProxyState,
    request_limiter::RequestPermit,
    request_metrics::RequestMeasurement,
    streamed::{ForwardedStream, StreamBody, StreamEnd},
    transport_request::TransportRequest,
};

/// Request handler for peers.
pub(crate) struct PeerRequestHandler<S: ConfigSource>(pub(crate) Arc<ProxyState<S>>);

impl<S: ConfigSource> RequestHandler for PeerRequestHandler<S> {
    type Stream = StreamBody;

    fn serve(
        self: Arc<Self>,
        request: IncomingRequest,
    ) -> impl Future<Output = ClientHttpResponse> + Send {
        serve_forwarded(Arc::clone(&self.0), request)
    }

    async fn answered(self: Arc<Self>) {
        self.0.questions_answered().await;
    }
}

/// Serves a request that a peer forwarded. It is not forwarded again. A proxy that serves nothing gives it back, and
/// the peer serves it.
async fn serve_forwarded<S: ConfigSource>(
    state: Arc<ProxyState<S>>,
    request: IncomingRequest,
) -> ClientHttpResponse {
    if state.source.keys().is_none() {
        // Deleted from the fleet, or without a configuration yet.
        return empty_response(StatusCode::MISDIRECTED_REQUEST);
    }
    let mut measurement = state.metrics.open();
    let arrival = match arrive(&state, request, &mut measurement, RequestSource::Peer).await {
        Ok(arrival) => arrival,
        Err(refused) => return respond_refused(&refused, measurement),
    };
    if arrival.is_batch() {
        return Box::pin(batch::serve(&state, arrival, measurement)).await;
    }
    match arrival.decide(&mut measurement) {
        Ok((planned, head)) => {
            drop(head);
            execute(&state, planned, measurement).await
        }
        Err(refused) => respond_refused(&refused, measurement),
    }
}

impl<S: ConfigSource> ProxyState<S> {
    /// Returns the owning proxy if it is another one and can be reached.
    pub(crate) fn forward_target(&self, owner: Option<&OwningProxy>) -> Option<OwningProxy> {
        let owner = owner.filter(|owner| self.peers.is_forwardable(owner));
        owner.cloned()
    }
}

impl PlannedRequest {
    /// Returns the owning proxy of the suspended call that this request continues.
    pub(crate) fn owner(&self) -> Option<&OwningProxy> {
        let Plan::Call(call) = &self.plan else {
            return None;
        };
        call.continuation
            .as_ref()
            .map(|continuation| &continuation.ticket.owner)
    }
}

/// Builds the request to the peer.
pub(crate) fn forwarded_request(head: &Parts, received: &TransportRequest) -> ForwardedRequest {
    let (method, body) = match received {
        TransportRequest::Post(body) => (Method::POST, body.clone()),
        TransportRequest::Get => (Method::GET, Bytes::new()),
        TransportRequest::Delete => (Method::DELETE, Bytes::new()),
    };
    ForwardedRequest::new(method, head.uri.path(), &head.headers, body)
}

/// Returns the response of the peer. The caller's permit is held until the last byte. `end` closes a response that only
/// listens.
pub(crate) fn forwarded_response(
    response: Response<Incoming>,
    end: Option<StreamEnd>,
    permit: RequestPermit,
    measurement: RequestMeasurement,
) -> ClientHttpResponse {
    measurement.finish_forwarded();
    response.map(|body| {
        let stream = ForwardedStream::new(body, end, permit);
        ResponseBody::Stream(StreamBody::Forwarded(Box::new(stream)))
    })
}

/// Returns the response to a request that was sent to the peer without an answer.
pub(crate) fn forward_failed(
    received: &TransportRequest,
    measurement: RequestMeasurement,
) -> ClientHttpResponse {
    let refused = RequestRefusal {
        refusal: Refusal::PeerLost,
        id: received.id(),
    };
    respond_refused(&refused, measurement)
}
