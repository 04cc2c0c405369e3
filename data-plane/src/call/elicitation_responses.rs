//! Responses of a legacy client to the elicitations of one call, on their way to the driver of the call.

use bytes::Bytes;
use tokio::sync::mpsc;
use toolgate_data_core::call::{ElicitationId, elicitation::MAX_PENDING};

/// Sending side, held by the registered elicitations.
#[derive(Debug, Clone)]
pub(crate) struct ElicitationResponseSender(mpsc::Sender<(ElicitationId, Bytes)>);

/// Answers of one call. The channel is created by the first elicitation: most calls have none.
#[derive(Default)]
pub(super) struct ElicitationResponseChannel(
    Option<(
        ElicitationResponseSender,
        mpsc::Receiver<(ElicitationId, Bytes)>,
    )>,
);

impl ElicitationResponseSender {
    /// Hands over the frame of an answer. It is dropped if the call has ended.
    pub(crate) fn send(&self, id: ElicitationId, frame: Bytes) {
        let _ended = self.0.try_send((id, frame));
    }
}

impl ElicitationResponseChannel {
    /// Returns a sender. There is room for the answers to all elicitations that may be pending.
    pub(super) fn sender(&mut self) -> ElicitationResponseSender {
        let (sender, _) = self.0.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(MAX_PENDING);
            (ElicitationResponseSender(sender), receiver)
        });
        sender.clone()
    }

    /// Waits for the next answer. Cancel-safe. Never ends if no client was asked.
    pub(super) async fn next(&mut self) -> (ElicitationId, Bytes) {
        let received = match &mut self.0 {
            Some((_, receiver)) => receiver.recv().await,
            None => None,
        };
        match received {
            Some(answer) => answer,
            // The channel holds a sender itself, so that it never closes.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
