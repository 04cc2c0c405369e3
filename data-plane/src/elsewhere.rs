//! Forwarding of requests whose state is held by another proxy. The peer's response is returned unchanged.

use bytes::Bytes;
use http::{Method, Response, request::Parts};
use hyper::body::Incoming;
use toolgate_data_core::{Home, Plan, Refusal};
use toolgate_ingress::Body;

use crate::{
    account::Account,
    execute::Work,
    frame::Received,
    limit::Place,
    neighbours::Parcel,
    pipeline::{Answer, Refused, respond_refused},
    plane::Plane,
    source::Source,
    streamed::{PassedStream, Streamed},
};

impl<S: Source> Plane<S> {
    /// Returns the owning proxy if it is another one and can be reached.
    pub(crate) fn elsewhere(&self, home: Option<&Home>) -> Option<Home> {
        home.filter(|home| self.neighbours.is_elsewhere(home))
            .cloned()
    }
}

impl Work {
    /// Returns the owning proxy of the suspended call that this request resumes.
    pub(crate) fn home(&self) -> Option<&Home> {
        let Plan::Call(call) = &self.plan else {
            return None;
        };
        call.retry.as_ref().map(|retry| &retry.ticket.home)
    }
}

/// Builds the request to the peer.
pub(crate) fn parcel(head: &Parts, received: &Received) -> Parcel {
    let (method, body) = match received {
        Received::Post(body) => (Method::POST, body.clone()),
        Received::Get => (Method::GET, Bytes::new()),
        Received::Delete => (Method::DELETE, Bytes::new()),
    };
    Parcel::new(method, head.uri.path(), &head.headers, body)
}

/// Returns the response of the peer. The caller's permit is held until the last byte.
pub(crate) fn passed(response: Response<Incoming>, place: Place, account: Account) -> Answer {
    account.passed_on();
    response.map(|body| {
        let stream = PassedStream::new(body, place);
        Body::Stream(Streamed::Passed(Box::new(stream)))
    })
}

/// Returns the response to a request that was sent to the peer without an answer.
pub(crate) fn cut_off(received: &Received, account: Account) -> Answer {
    let refused = Refused {
        refusal: Refusal::NeighbourLost,
        id: received.id(),
    };
    respond_refused(&refused, account)
}
