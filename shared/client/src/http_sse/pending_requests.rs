//! Pending requests on the shared stream of an HTTP+SSE server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver, Sender};
use toolgate_mcp::{ServerMessage, method, server_message::ServerMessageBody};

use crate::error::ClientError;

/// Maximum number of pending requests.
const MAX_PENDING: usize = 1024;

/// Queue length of each receiver. The last slot is reserved for the response.
const QUEUE_CAPACITY: usize = 16;

/// Pending requests, and the listener, of one stream.
#[derive(Debug, Default)]
pub(crate) struct PendingRequests(Mutex<PendingState>);

#[derive(Debug, Default)]
struct PendingState {
    /// Pending requests by id, as written on the wire.
    requests: BTreeMap<Box<str>, Sender<Bytes>>,
    /// Receiver of messages that belong to no request.
    listener: Option<Sender<Bytes>>,
    closed: bool,
}

/// Receiver of the messages of one request, or of the listener.
#[derive(Debug)]
pub(crate) struct MessageReceiver {
    messages: Receiver<Bytes>,
    pending: Arc<PendingRequests>,
    id: Option<Box<str>>,
}

impl PendingRequests {
    /// Registers a request under this id.
    pub(crate) fn register(table: &Arc<Self>, id: &str) -> Result<MessageReceiver, ClientError> {
        let mut state = table.state();
        state.ensure_open()?;
        if state.requests.len() >= MAX_PENDING || state.requests.contains_key(id) {
            return Err(ClientError::Request("too many requests wait at the server"));
        }
        let (sender, messages) = mpsc::channel(QUEUE_CAPACITY);
        state.requests.insert(id.into(), sender);
        Ok(MessageReceiver {
            messages,
            pending: Arc::clone(table),
            id: Some(id.into()),
        })
    }

    /// Registers the listener of messages that belong to no request; `None` if there is one already.
    pub(crate) fn listen(table: &Arc<Self>) -> Result<Option<MessageReceiver>, ClientError> {
        let mut state = table.state();
        state.ensure_open()?;
        if state.listener.as_ref().is_some_and(|it| !it.is_closed()) {
            return Ok(None);
        }
        let (sender, messages) = mpsc::channel(QUEUE_CAPACITY);
        state.listener = Some(sender);
        Ok(Some(MessageReceiver {
            messages,
            pending: Arc::clone(table),
            id: None,
        }))
    }

    /// Delivers a message; returns `true` if a receiver accepted it.
    pub(crate) fn deliver(&self, message: &Bytes, answer: &ServerMessage<'_>) -> bool {
        let mut state = self.state();
        match &answer.body {
            ServerMessageBody::Result(_) | ServerMessageBody::Error(_) => {
                let waiting = answer.id.and_then(|id| state.requests.remove(id.raw));
                waiting.is_some_and(|sender| sender.try_send(message.clone()).is_ok())
            }
            ServerMessageBody::Notification { method, params } => match method.as_str() {
                method::PROGRESS => {
                    let token = params.as_ref().and_then(|params| params.progress_token);
                    let waiting = token.and_then(|token| state.requests.get(token.raw));
                    waiting.is_some_and(|sender| send_ahead(sender, message))
                }
                method::MESSAGE | method::CANCELLED | method::ELICITATION_COMPLETE => {
                    state.deliver_to_single(message)
                }
                _ => state.deliver_to_listener(message),
            },
            ServerMessageBody::Request { method, .. } => {
                method.as_str() != method::PING && state.deliver_to_single(message)
            }
        }
    }

    /// Closes all receivers when the stream has ended.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.requests.clear();
        state.listener = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(crate) fn pending(&self) -> usize {
        self.state().requests.len()
    }

    fn state(&self) -> MutexGuard<'_, PendingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingState {
    fn ensure_open(&self) -> Result<(), ClientError> {
        if self.closed {
            return Err(stream_closed());
        }
        Ok(())
    }

    /// Delivers a message to the only pending request. With several pending requests, its recipient is ambiguous and it
    /// is not delivered.
    fn deliver_to_single(&self, message: &Bytes) -> bool {
        let mut all = self.requests.values();
        match (all.next(), all.next()) {
            (Some(only), None) => send_ahead(only, message),
            _ => false,
        }
    }

    fn deliver_to_listener(&self, message: &Bytes) -> bool {
        let listener = self.listener.as_ref();
        listener.is_some_and(|sender| send_ahead(sender, message))
    }
}

/// Delivers a message that precedes a response. It is dropped if the queue is full, so that a slow receiver does not
/// delay the responses of others.
fn send_ahead(sender: &Sender<Bytes>, message: &Bytes) -> bool {
    sender.capacity() > 1 && sender.try_send(message.clone()).is_ok()
}

fn stream_closed() -> ClientError {
    ClientError::Broken("the stream of the server has ended".to_owned())
}

impl MessageReceiver {
    /// Returns the next message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Bytes, ClientError> {
        self.messages.recv().await.ok_or_else(stream_closed)
    }
}

impl Drop for MessageReceiver {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.pending.state().requests.remove(id);
        }
    }
}
