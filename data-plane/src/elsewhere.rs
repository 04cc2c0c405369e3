//! A request whose state another proxy keeps: it is carried out there, and its answer comes back as it is.

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
    /// The neighbour that keeps what a request is about, if that is another proxy and can be asked.
    pub(crate) fn elsewhere(&self, home: Option<&Home>) -> Option<Home> {
        home.filter(|home| self.neighbours.is_elsewhere(home))
            .cloned()
    }
}

impl Work {
    /// Who keeps the call that this one takes up again.
    pub(crate) fn home(&self) -> Option<&Home> {
        let Plan::Call(call) = &self.plan else {
            return None;
        };
        call.retry.as_ref().map(|retry| &retry.ticket.home)
    }
}

/// What the neighbour has to be told.
pub(crate) fn parcel(head: &Parts, received: &Received) -> Parcel {
    let (method, body) = match received {
        Received::Post(body) => (Method::POST, body.clone()),
        Received::Get => (Method::GET, Bytes::new()),
        Received::Delete => (Method::DELETE, Bytes::new()),
    };
    Parcel::new(method, head.uri.path(), &head.headers, body)
}

/// What came back. The caller's place is taken until its last byte.
pub(crate) fn passed(response: Response<Incoming>, place: Place, account: Account) -> Answer {
    account.passed_on();
    response.map(|body| {
        let stream = PassedStream::new(body, place);
        Body::Stream(Streamed::Passed(Box::new(stream)))
    })
}

/// It was sent, and no answer came.
pub(crate) fn cut_off(received: &Received, account: Account) -> Answer {
    let refused = Refused {
        refusal: Refusal::NeighbourLost,
        id: received.id(),
    };
    respond_refused(&refused, account)
}
