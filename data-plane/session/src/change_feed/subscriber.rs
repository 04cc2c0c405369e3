//! Subscribers of change feeds, as a feed knows them.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use toolgate_actor::SendError;
use toolgate_data_core::plan::CallPlan;

/// Receiver of the notifications of one interest. Implemented by sessions and subscriptions.
pub(crate) trait Subscriber: Send + Sync {
    /// Delivers a notification without waiting.
    fn notify(&self, notification: SubscriberNotification) -> DeliveryOutcome;

    /// Status call of the task that the subscriber follows, if the interest is in a task.
    fn status_call(&self) -> Option<&TaskStatusCall> {
        None
    }
}

/// Notification in the terms of its client.
pub(crate) enum SubscriberNotification {
    /// The resource with this URI was updated.
    ResourceUpdated(Box<str>),
    /// The status of a task has changed.
    TaskStatus {
        /// The client's own task id.
        task: Box<str>,
        /// Parameters of the notification, rewritten for the client.
        params: Bytes,
    },
}

/// Result of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// The subscriber has the notification.
    Delivered,
    /// The subscriber cannot take it now; the notification is lost.
    Busy,
    /// The subscriber has ended.
    Gone,
}

/// Status call that stands for a followed task, planned against the current view of the client's gateway. Shared by the
/// subscription, which keeps it current, and the delivery.
#[derive(Debug, Clone)]
pub(crate) struct TaskStatusCall(Arc<Mutex<Arc<CallPlan>>>);

impl TaskStatusCall {
    pub(crate) fn new(call: Arc<CallPlan>) -> Self {
        Self(Arc::new(Mutex::new(call)))
    }

    pub(crate) fn call(&self) -> Arc<CallPlan> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, call: Arc<CallPlan>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }
}

impl From<Result<(), SendError>> for DeliveryOutcome {
    fn from(sent: Result<(), SendError>) -> Self {
        match sent {
            Ok(()) => Self::Delivered,
            Err(SendError::Busy) => Self::Busy,
            Err(SendError::Gone) => Self::Gone,
        }
    }
}
