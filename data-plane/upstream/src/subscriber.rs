//! Subscription of one call to the shared stream of its upstream session: messages that a legacy server sends outside
//! of the call's own stream.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::session::{ServerMessageReceiver, SharedStreamReceivers};

/// Maximum number of messages that wait for the call.
const QUEUE: usize = 8;

/// Receiving side, held by the call.
pub(crate) struct SharedStreamSubscriber {
    messages: mpsc::Receiver<Bytes>,
    sender: Arc<SubscriberSender>,
}

/// Sending side, held weakly by the upstream session.
struct SubscriberSender {
    sender: mpsc::Sender<Bytes>,
    /// `false` until the answer of the call has begun. Notifications wait until then. Requests cannot, because the
    /// answer may depend on them.
    open: AtomicBool,
}

impl SharedStreamSubscriber {
    /// Subscribes a call that begins in a session.
    pub(crate) fn subscribe(receivers: &SharedStreamReceivers) -> Self {
        let (sender, messages) = mpsc::channel(QUEUE);
        let sender = Arc::new(SubscriberSender {
            sender,
            open: AtomicBool::new(false),
        });
        let receiver: Arc<dyn ServerMessageReceiver> =
            Arc::clone(&sender) as Arc<dyn ServerMessageReceiver>;
        receivers.register(&receiver);
        Self { messages, sender }
    }

    /// Admits requests from now on.
    pub(crate) fn open(&self) {
        self.sender.open.store(true, Ordering::Relaxed);
    }

    /// Waits for the next message. Cancel-safe.
    pub(crate) async fn message(&mut self) -> Bytes {
        match self.messages.recv().await {
            Some(message) => message,
            // Unreachable: `self` holds a sender.
            None => std::future::pending().await,
        }
    }
}

impl ServerMessageReceiver for SubscriberSender {
    fn deliver(&self, message: &Bytes, is_request: bool) -> bool {
        (!is_request || self.open.load(Ordering::Relaxed))
            && self.sender.try_send(message.clone()).is_ok()
    }
}

#[cfg(test)]
mod tests;
