//! A request whose session another proxy keeps: it is carried out there, and its answer comes back as it is.

use bytes::Bytes;
use http::Method;
use toolgate_data_core::{Home, Refusal};
use toolgate_ingress::Body;

use crate::{
    frame::Received,
    neighbours::{Lost, Parcel},
    pipeline::{Answer, Arrival, Refused},
    plane::Plane,
    source::Source,
    streamed::{PassedStream, Streamed},
};

/// What became of it.
pub(crate) enum Passed<K> {
    /// This came back.
    On(Answer),
    /// It was sent, and no answer came.
    Lost(Refused),
    /// Nobody is there: whoever asked has to see to it.
    Back(Box<Arrival<K>>),
}

/// Has it carried out at `home`.
pub(crate) async fn pass_on<S: Source>(
    plane: &Plane<S>,
    home: Home,
    arrival: Arrival<S::Keys>,
) -> Passed<S::Keys> {
    let (method, body) = match &arrival.received {
        Received::Post(body) => (Method::POST, body.clone()),
        Received::Get => (Method::GET, Bytes::new()),
        Received::Delete => (Method::DELETE, Bytes::new()),
    };
    let head = &arrival.head;
    let parcel = Parcel::new(method, head.uri.path(), &head.headers, body);
    match plane.neighbours.pass_on(&home, parcel).await {
        Ok(response) => {
            let place = arrival.place;
            Passed::On(response.map(|body| {
                let stream = PassedStream::new(body, place);
                Body::Stream(Streamed::Passed(Box::new(stream)))
            }))
        }
        Err(Lost::NotSent) => Passed::Back(Box::new(arrival)),
        Err(Lost::Broken) => Passed::Lost(Refused {
            refusal: Refusal::NeighbourLost,
            id: arrival.received.id(),
        }),
    }
}
