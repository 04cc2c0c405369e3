//! A call that stands still at its server until its modern client has answered: what the client holds to come back to
//! it, and the machine that hands it out once.

use std::time::Duration;

use toolgate_mcp::{FrameLimits, canonical};
use toolgate_model::{Digest, Timestamp};

use crate::{
    OwningProxy, Sealer,
    seal::{NONCE_LEN, SealContext, SealPurpose},
};

/// How long a client, and whoever sits before it, has to come back.
pub const LIFE: Duration = Duration::from_secs(5 * 60);

/// Bytes of a handle.
pub const HANDLE: usize = 16;

/// The name of a parked call on its proxy; nobody can guess it.
pub type Handle = [u8; HANDLE];

/// What a `requestState` of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Which call.
    pub handle: Handle,
    /// Of what request: see [`digest`].
    pub request: Digest,
    /// The proxy that keeps it.
    pub home: OwningProxy,
}

/// What makes a retry the same request as the first one: [server](crate::ServerView::identity), method, name and arguments,
/// however they are written.
pub fn digest(server: &str, method: &str, name: &str, arguments: &[u8]) -> Option<Digest> {
    let arguments = canonical::digest(arguments, &FrameLimits::REQUEST).ok()?;
    let mut all = Vec::with_capacity(256);
    for part in [server, method, name] {
        all.extend_from_slice(part.as_bytes());
        // In neither of the first two, and what follows the name has a fixed length.
        all.push(0);
    }
    all.extend_from_slice(&arguments);
    Some(Digest::of_bytes(&all))
}

const FORMAT: u8 = 1;

impl Ticket {
    /// The text of the `requestState`.
    pub fn seal(
        &self,
        sealer: &Sealer,
        binding: SealContext<'_>,
        nonce: &[u8; NONCE_LEN],
    ) -> String {
        let mut plain = Vec::with_capacity(1 + HANDLE + 32 + 64);
        plain.push(FORMAT);
        plain.extend_from_slice(&self.handle);
        plain.extend_from_slice(&self.request.0);
        self.home.write(&mut plain);
        sealer.seal(SealPurpose::SuspendedCall, binding, nonce, &plain)
    }

    /// What a text says, if we sealed it for this gateway and principal.
    pub fn open(sealer: &Sealer, binding: SealContext<'_>, text: &str) -> Option<Self> {
        let plain = sealer.open(SealPurpose::SuspendedCall, binding, text)?;
        let (&[format], rest) = plain.split_first_chunk()?;
        let (handle, rest) = rest.split_first_chunk()?;
        let (request, rest) = rest.split_first_chunk()?;
        let (home, _later) = OwningProxy::read(rest)?;
        if format != FORMAT {
            return None;
        }
        Some(Self {
            handle: *handle,
            request: Digest(*request),
            home,
        })
    }
}

/// What happens to a parked call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<W> {
    /// Its client came back.
    Claimed(W),
    /// Time passed.
    Tick(Timestamp),
    /// The proxy ends, or the server of the call is gone.
    End,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<W> {
    /// Hand the call over: it is theirs from now on.
    HandOver(W),
    /// It is not here: tell them so.
    Deny(W),
    /// Let go of the call, which takes it back at its server.
    LetGo,
    /// There is nothing left to do.
    Stop,
}

/// One parked call.
#[derive(Debug)]
pub struct ParkedCall {
    until: Timestamp,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Over,
}

impl ParkedCall {
    /// Parked now.
    pub fn new(now: Timestamp) -> Self {
        Self {
            until: now.after(LIFE),
            state: State::Waiting,
        }
    }

    /// Whether it still waits.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// When [`Event::Tick`] is due.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Takes an event.
    pub fn on<W>(&mut self, event: Event<W>) -> Vec<Output<W>> {
        match (event, self.state) {
            (Event::Claimed(who), State::Waiting) => {
                self.state = State::Over;
                vec![Output::HandOver(who), Output::Stop]
            }
            (Event::Claimed(who), State::Over) => vec![Output::Deny(who)],
            (Event::Tick(now), State::Waiting) if now < self.until => Vec::new(),
            (Event::Tick(_) | Event::End, State::Waiting) => {
                self.state = State::Over;
                vec![Output::LetGo, Output::Stop]
            }
            (Event::Tick(_) | Event::End, State::Over) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
