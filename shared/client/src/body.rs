//! Reading of response bodies, limited in size and time. Nothing is read ahead of the caller.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};
use toolgate_mcp::chunked_buffer::ChunkedBuffer;
use toolgate_runtime::{
    MemoryBudget,
    budget::{BudgetCharge, BudgetOwner},
};

use crate::{
    content_coding::DecodedBody,
    error::{ClientError, TimeoutPhase},
    presented::PresentedCredential,
};

/// Responses up to this many bytes are not charged to the budget: the limit on concurrent calls bounds them.
pub const SMALL_RESPONSE: usize = 64 * 1024;

/// Deadlines of reading a body.
#[derive(Debug, Clone, Copy)]
pub struct ReadDeadlines {
    /// Maximum time between two chunks.
    pub idle: Option<Duration>,
    /// Time at which the body must be complete.
    pub end: Option<Instant>,
}

/// Response body that fails when it exceeds its size limit.
#[derive(Debug)]
pub struct LimitedBody {
    body: DecodedBody,
    deadlines: ReadDeadlines,
    idle_since: IdleSince,
    limit: usize,
    read: usize,
    /// Budget of the response; also `None` if the response is too small to be charged.
    budget: Option<Arc<MemoryBudget>>,
    owner: Option<BudgetOwner>,
    /// Credential whose values the whole body must not show.
    hidden: Option<PresentedCredential>,
}

/// Time since which the next chunk is awaited. Kept across polls and calls: a caller that drops the future and reads
/// again does not restart the idle timeout.
pub(crate) type IdleSince = Option<Instant>;

impl ReadDeadlines {
    /// No deadlines, for long-lived streams.
    pub const NONE: Self = Self {
        idle: None,
        end: None,
    };

    pub(crate) async fn chunk(
        self,
        idle_since: &mut IdleSince,
        body: &mut DecodedBody,
    ) -> Result<Option<Bytes>, ClientError> {
        self.limit(idle_since, poll_fn(|cx| body.poll_chunk(cx)))
            .await?
    }

    pub(crate) async fn limit<T>(
        self,
        idle_since: &mut IdleSince,
        next: impl Future<Output = T>,
    ) -> Result<T, ClientError> {
        let mut next = pin!(next);
        // Usually ready at once: then no clock is read and no timer is armed.
        if let Poll::Ready(ready) = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
            *idle_since = None;
            return Ok(ready);
        }
        let since = *idle_since.get_or_insert_with(Instant::now);
        let limited = async {
            match self.idle {
                Some(idle) => timeout_at(since + idle, next)
                    .await
                    .map_err(|_| ClientError::Timeout(TimeoutPhase::Idle)),
                None => Ok(next.await),
            }
        };
        let output = match self.end {
            Some(end) => timeout_at(end, limited)
                .await
                .map_err(|_| ClientError::Timeout(TimeoutPhase::Total))?,
            None => limited.await,
        }?;
        *idle_since = None;
        Ok(output)
    }
}

impl LimitedBody {
    /// Limits `body` to `limit` bytes, charged to `held` while they are held.
    pub(crate) fn new(
        body: DecodedBody,
        limit: usize,
        held: Option<&Arc<MemoryBudget>>,
        deadlines: ReadDeadlines,
    ) -> Self {
        // All calls share the budget; a response with a small declared length does not touch it.
        let (_, most) = body.size_hint();
        let small =
            most.is_some_and(|most| usize::try_from(most).is_ok_and(|most| most <= SMALL_RESPONSE));
        Self {
            body,
            deadlines,
            idle_since: None,
            limit,
            read: 0,
            budget: held.filter(|_| !small).cloned(),
            owner: None,
            hidden: None,
        }
    }

    /// Hides the values of the credential of the request in the whole body. For answers without success: a server may
    /// quote the URL in them.
    pub(crate) fn hide_values_of(mut self, credential: Option<&PresentedCredential>) -> Self {
        self.hidden = credential.cloned();
        self
    }

    /// Charges the held bytes to this owner.
    pub(crate) fn charge_to(&mut self, holder: BudgetOwner) {
        self.owner = Some(holder);
    }

    /// Returns the next chunk; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.body.charge_window(self.budget.as_ref(), self.owner)?;
        let piece = self
            .deadlines
            .chunk(&mut self.idle_since, &mut self.body)
            .await?;
        self.read += piece.as_ref().map_or(0, Bytes::len);
        if self.read > self.limit {
            return Err(ClientError::TooLarge(self.limit));
        }
        Ok(piece)
    }

    /// Reads the whole body. A single chunk is returned without a copy.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let hidden = self.hidden.take();
        let all = self.all_bytes().await?;
        Ok(match hidden {
            Some(credential) => credential.hidden_in(all),
            None => all,
        })
    }

    async fn all_bytes(mut self) -> Result<Bytes, ClientError> {
        let (announced, _) = self.body.size_hint();
        if announced > u64::try_from(self.limit).unwrap_or(u64::MAX) {
            return Err(ClientError::TooLarge(self.limit));
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let mut charge = self.budget.take().map(|held| held.open(self.owner));
        cover(&mut charge, first.len())?;
        if self.body.is_end_stream() {
            return Ok(attach_charge(charge, first));
        }
        let Some(second) = self.chunk().await? else {
            return Ok(attach_charge(charge, first));
        };
        if announced == 0 {
            return self.bytes_of_unknown_length(charge, [first, second]).await;
        }
        let announced = usize::try_from(announced).unwrap_or_default();
        let announced = announced.max(first.len() + second.len());
        // Charged before it is reserved: a declared length alone allocates nothing.
        cover(&mut charge, announced)?;
        let mut all = BytesMut::with_capacity(announced);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(piece) = self.chunk().await? {
            cover(&mut charge, all.len() + piece.len())?;
            all.extend_from_slice(&piece);
        }
        Ok(attach_charge(charge, all.freeze()))
    }

    /// Reads the rest of a body without a declared length.
    async fn bytes_of_unknown_length(
        mut self,
        mut charge: Option<BudgetCharge>,
        first_chunks: [Bytes; 2],
    ) -> Result<Bytes, ClientError> {
        let mut all = ChunkedBuffer::default();
        for piece in first_chunks {
            all.extend_from_slice(&piece);
        }
        cover(&mut charge, all.len())?;
        while let Some(piece) = self.chunk().await? {
            cover(&mut charge, all.len() + piece.len())?;
            all.extend_from_slice(&piece);
        }
        Ok(attach_charge(charge, all.take()))
    }
}

/// Charges this many bytes, unless they are few.
pub(crate) fn cover(charge: &mut Option<BudgetCharge>, bytes: usize) -> Result<(), ClientError> {
    match charge {
        Some(charge) if bytes > SMALL_RESPONSE => Ok(charge.cover(bytes)?),
        Some(_) | None => Ok(()),
    }
}

/// Attaches the charge to these bytes.
pub(crate) fn attach_charge(charge: Option<BudgetCharge>, bytes: Bytes) -> Bytes {
    match charge {
        Some(charge) if bytes.len() > SMALL_RESPONSE => charge.attach(bytes),
        Some(_) | None => bytes,
    }
}

#[cfg(test)]
mod tests;
