//! What a legacy server asks outside of a call's own stream, on its way to the one call that it can belong to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;
use toolgate_data_core::session::in_flight_calls::{InFlightCalls, ServerMessageReceiver};

/// Messages that wait until the call looks.
const QUEUE: usize = 8;

/// The call's end.
pub(crate) struct Elsewhere {
    messages: mpsc::Receiver<Bytes>,
    ear: Arc<Open>,
}

/// The link's end.
struct Open {
    sender: mpsc::Sender<Bytes>,
    /// Nobody looks before the answer of the call has begun: what is only told waits until then, what is asked cannot,
    /// because the answer may wait for it.
    open: AtomicBool,
}

impl Elsewhere {
    /// A call begins on a link.
    pub(crate) fn enter(callers: &InFlightCalls) -> Self {
        let (sender, messages) = mpsc::channel(QUEUE);
        let ear = Arc::new(Open {
            sender,
            open: AtomicBool::new(false),
        });
        let known: Arc<dyn ServerMessageReceiver> =
            Arc::clone(&ear) as Arc<dyn ServerMessageReceiver>;
        callers.register(&known);
        Self { messages, ear }
    }

    /// Somebody looks from now on.
    pub(crate) fn open(&self) {
        self.ear.open.store(true, Ordering::Relaxed);
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Bytes {
        match self.messages.recv().await {
            Some(message) => message,
            // Cannot be: one sender is ours.
            None => std::future::pending().await,
        }
    }
}

impl ServerMessageReceiver for Open {
    fn deliver(&self, message: &Bytes, asks: bool) -> bool {
        (!asks || self.open.load(Ordering::Relaxed))
            && self.sender.try_send(message.clone()).is_ok()
    }
}

#[cfg(test)]
mod tests;
