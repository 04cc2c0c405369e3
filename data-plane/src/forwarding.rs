//! Forwarding of requests whose state is held by another proxy. The peer's response is returned unchanged.

use bytes::Bytes;
use http::{Method, Response, request::Parts};
use hyper::body::Incoming;
use toolgate_data_core::{OwningProxy, Plan, Refusal};
use toolgate_ingress::ResponseBody;
use toolgate_peers::ForwardedRequest;

use crate::{
    config_source::ConfigSource,
    execute::PlannedRequest,
    pipeline::{ClientHttpResponse, RequestRefusal, respond_refused},
    proxy_state::ProxyState,
    request_limiter::RequestPermit,
    request_metrics::RequestMeasurement,
    streamed::{ForwardedStream, StreamBody, StreamEnd},
    transport_request::TransportRequest,
};

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
