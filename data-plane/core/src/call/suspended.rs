//! Suspended calls: an upstream call that stays open while its modern client answers elicitations. [`CallTicket`] is
//! the encrypted reference that the client holds, and [`SuspensionMachine`] hands the call out once.

use std::time::Duration;

use toolgate_mcp::{FrameLimits, canonical};
use toolgate_model::{Digest, Timestamp};

use crate::{
    ClientStateCipher, OwningProxy,
    client_state::{NONCE_LEN, StateContext, StatePurpose},
};

/// Time that the client has to come back.
pub const SUSPENSION_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// Size of a [`SuspensionHandle`] in bytes.
pub const HANDLE: usize = 16;

/// Unguessable id of a suspended call on its proxy.
pub type SuspensionHandle = [u8; HANDLE];

/// Content of the `requestState` of a suspended call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTicket {
    /// Id of the call.
    pub handle: SuspensionHandle,
    /// Digest of the request: see [`digest`].
    pub request: Digest,
    /// Proxy that holds the call.
    pub owner: OwningProxy,
}

/// Digest of [server](crate::ServerView::identity), method, name and canonical arguments. A retry is the same request
/// as the first one if both have the same digest.
pub fn digest(server: &str, method: &str, name: &str, arguments: &[u8]) -> Option<Digest> {
    let arguments = canonical::digest(arguments, &FrameLimits::REQUEST).ok()?;
    let mut all = Vec::with_capacity(256);
    for part in [server, method, name] {
        all.extend_from_slice(part.as_bytes());
        // The first two parts never hold this byte, and the part after the name has a fixed length.
        all.push(0);
    }
    all.extend_from_slice(&arguments);
    Some(Digest::of_bytes(&all))
}

const FORMAT: u8 = 1;

impl CallTicket {
    /// Encrypts the ticket to the text of a `requestState`.
    pub fn encrypt(
        &self,
        cipher: &ClientStateCipher,
        context: StateContext<'_>,
        nonce: &[u8; NONCE_LEN],
    ) -> String {
        let mut plain = Vec::with_capacity(1 + HANDLE + 32 + 64);
        plain.push(FORMAT);
        plain.extend_from_slice(&self.handle);
        plain.extend_from_slice(&self.request.0);
        self.owner.write(&mut plain);
        cipher.encrypt(StatePurpose::SuspendedCall, context, nonce, &plain)
    }

    /// Decrypts a text that was encrypted for this gateway and principal.
    pub fn decrypt(
        cipher: &ClientStateCipher,
        context: StateContext<'_>,
        text: &str,
    ) -> Option<Self> {
        let plain = cipher.decrypt(StatePurpose::SuspendedCall, context, text)?;
        let (&[format], rest) = plain.split_first_chunk()?;
        let (handle, rest) = rest.split_first_chunk()?;
        let (request, rest) = rest.split_first_chunk()?;
        let (owner, _later) = OwningProxy::read(rest)?;
        if format != FORMAT {
            return None;
        }
        Some(Self {
            handle: *handle,
            request: Digest(*request),
            owner,
        })
    }
}

/// Input of [`SuspensionMachine`]. `W` is the recipient of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspensionEvent<W> {
    /// The client came back.
    Claimed(W),
    /// Time passed.
    Tick(Timestamp),
    /// The proxy ends, or the gateway or server of the call is gone.
    End,
}

/// Output of [`SuspensionMachine`], to be carried out in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspensionOutput<W> {
    /// Hand the call over to the recipient.
    HandOver(W),
    /// Tell the recipient that the call is gone.
    Deny(W),
    /// Drop the call, which cancels it at its server.
    Cancel,
    /// Stop the actor.
    Stop,
}

/// State of one suspended call, which is handed out or cancelled once.
#[derive(Debug)]
pub struct SuspensionMachine {
    until: Timestamp,
    state: SuspensionState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SuspensionState {
    Waiting,
    Over,
}

impl SuspensionMachine {
    /// Creates the state of a call that is suspended at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            until: now.after(SUSPENSION_LIFETIME),
            state: SuspensionState::Waiting,
        }
    }

    /// Reports if the call still waits for its client.
    pub fn is_waiting(&self) -> bool {
        self.state == SuspensionState::Waiting
    }

    /// Returns the time at which [`SuspensionEvent::Tick`] is due.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Applies an event.
    pub fn on<W>(&mut self, event: SuspensionEvent<W>) -> Vec<SuspensionOutput<W>> {
        match (event, self.state) {
            (SuspensionEvent::Claimed(recipient), SuspensionState::Waiting) => {
                self.state = SuspensionState::Over;
                vec![
                    SuspensionOutput::HandOver(recipient),
                    SuspensionOutput::Stop,
                ]
            }
            (SuspensionEvent::Claimed(recipient), SuspensionState::Over) => {
                vec![SuspensionOutput::Deny(recipient)]
            }
            (SuspensionEvent::Tick(now), SuspensionState::Waiting) if now < self.until => {
                Vec::new()
            }
            (SuspensionEvent::Tick(_) | SuspensionEvent::End, SuspensionState::Waiting) => {
                self.state = SuspensionState::Over;
                vec![SuspensionOutput::Cancel, SuspensionOutput::Stop]
            }
            (SuspensionEvent::Tick(_) | SuspensionEvent::End, SuspensionState::Over) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
