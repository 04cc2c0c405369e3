//! Requests as passed to the handler. The head is complete; the body is read on demand, so that a refused caller costs
//! no body.

use std::{fmt, future::poll_fn, net::IpAddr, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};
use toolgate_data_core::Refusal;
use toolgate_runtime::budget::{Exhausted, Holder};

use crate::{
    accept::Shared,
    limits::SMALL_BODY,
    memo::{Slot, TokenMemo},
    watch::Watch,
};

/// HTTP request of a client.
#[derive(Debug)]
pub struct Request {
    /// Method, target and header fields.
    pub head: http::request::Parts,
    /// Body, not read yet.
    pub body: RequestBody,
    /// Connection on which the request arrived.
    pub visitor: Arc<Visitor>,
}

/// Connection of a client. It does not identify the caller: a load balancer may mix several on one connection.
#[derive(Debug)]
pub struct Visitor {
    /// Address of the peer.
    pub address: IpAddr,
    /// Hash of the last token on this connection.
    pub memo: TokenMemo,
    /// Cached value of the last request on this connection.
    pub slot: Slot,
    pub(crate) watch: Arc<Watch>,
}

/// Request body that has not been read.
pub struct RequestBody {
    pub(crate) incoming: Incoming,
    pub(crate) watch: Arc<Watch>,
    pub(crate) shared: Arc<Shared>,
}

impl RequestBody {
    /// Reads the whole body and charges it to the budget owner. A large body that arrives in one chunk is not copied.
    pub async fn read(mut self, holder: Holder) -> Result<Bytes, Refusal> {
        let announced = self.incoming.size_hint().lower();
        let limit = self.shared.limits.body;
        if usize::try_from(announced).map_or(true, |length| length > limit) {
            return Err(Refusal::BodyTooLarge(limit));
        }
        let Some(first) = self.piece().await? else {
            return Ok(Bytes::new());
        };
        if first.len() <= SMALL_BODY && self.incoming.is_end_stream() {
            self.within(first.len())?;
            // The chunk is a slice of the connection's read buffer; keeping it would prevent hyper from reusing that
            // buffer.
            return Ok(Bytes::copy_from_slice(&first));
        }
        self.rest(first, holder).await
    }

    /// Reads the rest after a first chunk, within the budget and the body timeout.
    async fn rest(mut self, first: Bytes, holder: Holder) -> Result<Bytes, Refusal> {
        let end = Instant::now() + self.shared.limits.body_time;
        let mut charge = self.shared.budget.open(Some(holder));
        taken(charge.add(first.len()))?;
        self.within(first.len())?;
        if self.incoming.is_end_stream() {
            return Ok(charge.hold(first));
        }
        let mut all = BytesMut::from(first);
        while let Some(piece) = self.piece().await? {
            self.within(all.len() + piece.len())?;
            taken(charge.add(piece.len()))?;
            all.extend_from_slice(&piece);
            // Ends a body that never stalls but never ends.
            if Instant::now() > end {
                return Err(Refusal::BodyTimeout);
            }
        }
        Ok(charge.hold(all.freeze()))
    }

    fn within(&self, length: usize) -> Result<(), Refusal> {
        let limit = self.shared.limits.body;
        if length > limit {
            return Err(Refusal::BodyTooLarge(limit));
        }
        Ok(())
    }

    /// Returns the next chunk that is not empty, or `None` at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = if self.watch.body_waits() {
                self.frame().await
            } else {
                let frame = timeout(self.shared.limits.body_stall, self.frame());
                frame.await.map_err(|_elapsed| Refusal::BodyTimeout)?
            };
            self.watch.body_came();
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                None => return Ok(None),
                Some(Ok(Ok(bytes))) if !bytes.is_empty() => return Ok(Some(bytes)),
                // Trailers are ignored, and so are empty chunks.
                Some(Ok(Ok(_) | Err(_))) => {}
                Some(Err(_broken)) => {
                    return Err(Refusal::InvalidRequest(
                        "the body broke off or is malformed",
                    ));
                }
            }
        }
    }

    async fn frame(&mut self) -> Option<hyper::Result<http_body::Frame<Bytes>>> {
        poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx)).await
    }
}

fn taken(taken: Result<(), Exhausted>) -> Result<(), Refusal> {
    taken.map_err(|exhausted| match exhausted {
        Exhausted::Budget => Refusal::Overloaded,
        Exhausted::Share => Refusal::TooManyRequests(1),
    })
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestBody")
            .field(&self.incoming.size_hint())
            .finish()
    }
}
