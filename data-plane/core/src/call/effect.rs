//! Effects of a call: what the driver does for [`CallMachine`](super::CallMachine), in the order given.

use bytes::Bytes;

use super::{
    elicitation::ElicitationId,
    retry::{InputResponses, RetrySession, SessionRefusal},
    verdict::UpstreamVerdict,
};
use crate::{refusal::UpstreamFailure, rewrite::ClientResponse};

/// Output of [`CallMachine`](super::CallMachine).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEffect {
    /// Send the call to its server; with answers if a modern server requested a round. Its result is
    /// [`CallEvent::UpstreamHead`](super::CallEvent::UpstreamHead).
    SendUpstream(Option<InputResponses>),
    /// Send the call once more, because the last attempt provably did not run.
    Retry(RetrySession),
    /// Ping the server in the session of the call, whose response is not read meanwhile. Its result is
    /// [`CallEvent::SessionProbed`](super::CallEvent::SessionProbed).
    ProbeSession,
    /// Ping the server in the session of the call, in the background, and discard the session if
    /// [`session_verdict`](super::retry::session_verdict) says so.
    ProbeSessionLater(SessionRefusal),
    /// Use the session of the call no more: the next call opens a new one.
    DiscardSession,
    /// Answer a request of the server on behalf of the client.
    RespondUpstream(Bytes),
    /// Answer a request of the server that no client gets: with a pong or a rejection.
    RefuseUpstream(Bytes),
    /// Report to the circuit breaker how the response came out, and read no more of it if it is complete.
    SettleUpstream(UpstreamVerdict),
    /// Resume the interrupted stream. If that is not possible,
    /// [`UpstreamEnd::Failed`](super::UpstreamEnd::Failed) with this failure follows.
    ResumeStream(UpstreamFailure),
    /// Stop the timeouts of the stream: the server waits for the client.
    HoldTimeouts,
    /// Restart the timeouts of the stream.
    ResumeTimeouts,
    /// Cancel the call at its server.
    CancelUpstream,
    /// Send this message on the stream of the call.
    SendClient(Bytes),
    /// Register so many elicitations with the session of the client. Its result is
    /// [`CallEvent::Registered`](super::CallEvent::Registered).
    AskClient(usize),
    /// Remove the registration of this elicitation.
    CloseElicitation(ElicitationId),
    /// Encrypt a `requestState`. Its result is [`CallEvent::Encrypted`](super::CallEvent::Encrypted).
    Encrypt(EncryptionRequest),
    /// Keep the call until its client comes back, and end the request with this reply. If there is no room,
    /// [`CallEvent::SuspensionRefused`](super::CallEvent::SuspensionRefused) follows and the reply is dropped.
    Suspend(ClientResponse),
    /// The call is over. No other effect follows.
    Finish(CallEnd),
}

/// Content of a `requestState` to be encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncryptionRequest {
    /// State of a modern server: the JSON string as written.
    RequestState(Box<str>),
    /// URLs to visit before the call is sent again.
    UrlElicitation {
        /// Number of URL elicitations of the call, with this one.
        number: u8,
        /// Number of URLs.
        urls: u8,
    },
    /// Ticket of the call, which is about to be suspended.
    Ticket,
}

/// End of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// The client gets this answer.
    ClientResponse(ClientResponse),
    /// The call was cancelled: no answer is expected.
    Cancelled,
}

/// Effects of one event. Up to two are held without an allocation.
#[derive(Debug, Default)]
pub struct CallEffects {
    inline: [Option<CallEffect>; 2],
    rest: Vec<CallEffect>,
}

impl CallEffects {
    pub(super) fn push(&mut self, effect: CallEffect) {
        match self.inline.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(effect),
            None => self.rest.push(effect),
        }
    }
}

impl IntoIterator for CallEffects {
    type Item = CallEffect;
    type IntoIter = std::iter::Chain<
        std::iter::Flatten<std::array::IntoIter<Option<CallEffect>, 2>>,
        std::vec::IntoIter<CallEffect>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.inline.into_iter().flatten().chain(self.rest)
    }
}

#[cfg(test)]
mod tests;
