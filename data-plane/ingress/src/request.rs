//! Requests as passed to the handler. The head is complete; the body is read on demand, so that a refused caller costs
//! no body.

use std::{fmt, future::poll_fn, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};
use toolgate_data_core::Refusal;
use toolgate_runtime::{
    budget::{BudgetExceeded, BudgetOwner},
    connection::{ConnectionActivity, ConnectionSeat},
    hosts::HostPolicy,
};

use crate::{
    connection_cache::{CacheSlot, TokenHashCache},
    limits::{ListenerLimits, SMALL_BODY},
    listener::ListenerContext,
};

/// HTTP request of a client.
#[derive(Debug)]
pub struct IncomingRequest {
    /// Method, target and header fields.
    pub head: http::request::Parts,
    /// Body, not read yet.
    pub body: RequestBody,
    /// Connection on which the request arrived.
    pub connection: Arc<ConnectionInfo>,
}

/// Connection of a client. It does not identify the caller: a load balancer may mix several on one connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Address of the peer.
    pub address: IpAddr,
    /// Hash of the last token on this connection.
    pub token_hashes: TokenHashCache,
    /// Cached value of the last request on this connection.
    pub cache_slot: CacheSlot,
    /// Hosts that are served on this connection.
    pub(crate) hosts: HostPolicy,
    pub(crate) activity: Arc<ConnectionActivity>,
    pub(crate) seat: Arc<ConnectionSeat>,
}

/// Request body that has not been read.
pub struct RequestBody {
    pub(crate) incoming: Incoming,
    pub(crate) activity: Arc<ConnectionActivity>,
    pub(crate) listener: Arc<ListenerContext>,
}

impl RequestBody {
    /// Reads the whole body, of at most `limit` bytes and the limit of the listener, and charges it to the budget owner. A large
    /// body that arrives in one chunk is not copied.
    pub async fn read(mut self, holder: BudgetOwner, limit: usize) -> Result<Bytes, Refusal> {
        let announced = self.incoming.size_hint().lower();
        let limit = limit.min(self.listener.limits.body_bytes);
        if usize::try_from(announced).map_or(true, |length| length > limit) {
            return Err(Refusal::BodyTooLarge(limit));
        }
        let Some(first) = self.next_chunk().await? else {
            return Ok(Bytes::new());
        };
        if first.len() <= SMALL_BODY && self.incoming.is_end_stream() {
            check_size(first.len(), limit)?;
            // The chunk is a slice of the connection's read buffer; keeping it would prevent hyper from reusing that
            // buffer.
            return Ok(Bytes::copy_from_slice(&first));
        }
        self.read_rest(first, holder, limit).await
    }

    /// Reads the rest after a first chunk, within the budget and the body timeout.
    async fn read_rest(
        mut self,
        first: Bytes,
        holder: BudgetOwner,
        limit: usize,
    ) -> Result<Bytes, Refusal> {
        let mut pace = BodyPace::new(&self.listener.limits);
        let mut charge = self.listener.budget.open(Some(holder));
        map_exhausted(charge.add(first.len()))?;
        check_size(first.len(), limit)?;
        if self.incoming.is_end_stream() {
            return Ok(charge.attach(first));
        }
        let mut all = BytesMut::from(first);
        while let Some(piece) = self.next_chunk().await? {
            check_size(all.len() + piece.len(), limit)?;
            map_exhausted(charge.add(piece.len()))?;
            all.extend_from_slice(&piece);
            if !pace.admits(piece.len()) {
                return Err(Refusal::BodyTimeout);
            }
        }
        Ok(charge.attach(all.freeze()))
    }

    /// Returns the next chunk that is not empty, or `None` at the end.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = if self.activity.body_read_started() {
                self.next_frame().await
            } else {
                let frame = timeout(
                    self.listener.limits.connection.body_stall_timeout,
                    self.next_frame(),
                );
                frame.await.map_err(|_elapsed| Refusal::BodyTimeout)?
            };
            self.activity.body_read_ended();
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

    async fn next_frame(&mut self) -> Option<hyper::Result<http_body::Frame<Bytes>>> {
        poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx)).await
    }
}

/// Pace at which a body arrives. Ends a body that never stalls but never ends, and a body below the least rate.
struct BodyPace {
    began: Instant,
    last: Instant,
    /// Time that was waited for, less the time that the received bytes would take at the least rate.
    debt: Duration,
    body_timeout: Duration,
    stall_timeout: Duration,
    least_rate: u32,
}

impl BodyPace {
    fn new(limits: &ListenerLimits) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            last: now,
            debt: Duration::ZERO,
            body_timeout: limits.body_timeout,
            stall_timeout: limits.connection.body_stall_timeout,
            least_rate: limits.connection.least_rate.max(1),
        }
    }

    /// Records the arrival of `received` bytes. Returns `true` if the body may go on.
    fn admits(&mut self, received: usize) -> bool {
        let now = Instant::now();
        let received = u32::try_from(received).unwrap_or(u32::MAX);
        let paid = Duration::from_secs(1) * received / self.least_rate;
        self.debt = (self.debt + (now - self.last)).saturating_sub(paid);
        self.last = now;
        now - self.began <= self.body_timeout && self.debt <= self.stall_timeout
    }
}

fn check_size(length: usize, limit: usize) -> Result<(), Refusal> {
    if length > limit {
        return Err(Refusal::BodyTooLarge(limit));
    }
    Ok(())
}

fn map_exhausted(taken: Result<(), BudgetExceeded>) -> Result<(), Refusal> {
    taken.map_err(|exhausted| match exhausted {
        BudgetExceeded::Total => Refusal::Overloaded,
        BudgetExceeded::OwnerLimit => Refusal::TooManyRequests(1),
    })
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestBody")
            .field(&self.incoming.size_hint())
            .finish()
    }
}
