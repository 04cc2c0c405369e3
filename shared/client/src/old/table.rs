//! Pending requests on the shared stream of an HTTP+SSE server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver, Sender};
use toolgate_mcp::{Answer, answer::Body, method};

use crate::error::ClientError;

/// Maximum number of pending requests.
const WAITING: usize = 1024;

/// Queue length of each receiver. The last slot is reserved for the response.
const AHEAD: usize = 16;

/// Pending requests, and the listener, of one stream.
#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Pending requests by id, as written on the wire.
    waiting: BTreeMap<Box<str>, Sender<Bytes>>,
    /// Receiver of messages that belong to no request.
    listener: Option<Sender<Bytes>>,
    lost: bool,
}

/// Receiver of the messages of one request, or of the listener.
#[derive(Debug)]
pub(crate) struct Told {
    messages: Receiver<Bytes>,
    table: Arc<Table>,
    id: Option<Box<str>>,
}

impl Table {
    /// Registers a request under this id.
    pub(crate) fn enter(table: &Arc<Self>, id: &str) -> Result<Told, ClientError> {
        let mut state = table.state();
        state.stands()?;
        if state.waiting.len() >= WAITING || state.waiting.contains_key(id) {
            return Err(ClientError::Request("too many requests wait at the server"));
        }
        let (sender, messages) = mpsc::channel(AHEAD);
        state.waiting.insert(id.into(), sender);
        Ok(Told {
            messages,
            table: Arc::clone(table),
            id: Some(id.into()),
        })
    }

    /// Registers the listener of messages that belong to no request; `None` if there is one already.
    pub(crate) fn listen(table: &Arc<Self>) -> Result<Option<Told>, ClientError> {
        let mut state = table.state();
        state.stands()?;
        if state.listener.as_ref().is_some_and(|it| !it.is_closed()) {
            return Ok(None);
        }
        let (sender, messages) = mpsc::channel(AHEAD);
        state.listener = Some(sender);
        Ok(Some(Told {
            messages,
            table: Arc::clone(table),
            id: None,
        }))
    }

    /// Delivers a message; returns `true` if a receiver accepted it.
    pub(crate) fn hand_on(&self, message: &Bytes, answer: &Answer<'_>) -> bool {
        let mut state = self.state();
        match &answer.body {
            Body::Result(_) | Body::Error(_) => {
                let waiting = answer.id.and_then(|id| state.waiting.remove(id.raw));
                waiting.is_some_and(|sender| sender.try_send(message.clone()).is_ok())
            }
            Body::Notification { method, params } => match method.as_str() {
                method::PROGRESS => {
                    let token = params.as_ref().and_then(|params| params.progress_token);
                    let waiting = token.and_then(|token| state.waiting.get(token.raw));
                    waiting.is_some_and(|sender| ahead(sender, message))
                }
                method::MESSAGE | method::CANCELLED | method::ELICITED => {
                    state.to_the_only(message)
                }
                _ => state.to_listener(message),
            },
            Body::Request { method, .. } => {
                method.as_str() != method::PING && state.to_the_only(message)
            }
        }
    }

    /// Closes all receivers when the stream has ended.
    pub(crate) fn lose(&self) {
        let mut state = self.state();
        state.lost = true;
        state.waiting.clear();
        state.listener = None;
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.state().lost
    }

    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stands(&self) -> Result<(), ClientError> {
        if self.lost {
            return Err(lost());
        }
        Ok(())
    }

    /// Delivers a message to the only pending request. With several pending requests, its recipient is ambiguous and it
    /// is not delivered.
    fn to_the_only(&self, message: &Bytes) -> bool {
        let mut all = self.waiting.values();
        match (all.next(), all.next()) {
            (Some(only), None) => ahead(only, message),
            _ => false,
        }
    }

    fn to_listener(&self, message: &Bytes) -> bool {
        let listener = self.listener.as_ref();
        listener.is_some_and(|sender| ahead(sender, message))
    }
}

/// Delivers a message that precedes a response. It is dropped if the queue is full, so that a slow receiver does not
/// delay the responses of others.
fn ahead(sender: &Sender<Bytes>, message: &Bytes) -> bool {
    sender.capacity() > 1 && sender.try_send(message.clone()).is_ok()
}

fn lost() -> ClientError {
    ClientError::Broken("the stream of the server has ended".to_owned())
}

impl Told {
    /// Returns the next message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Bytes, ClientError> {
        self.messages.recv().await.ok_or_else(lost)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.table.state().waiting.remove(id);
        }
    }
}
