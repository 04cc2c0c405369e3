//! News of a task on their way to all who follow it: shown as each of them sees it, and once for all who see the same. Done
//! beside the actor of the feed, since a notice may be large and those who follow many.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use toolgate_actor::{Handle, SendError};
use toolgate_data_core::{plan::CallPlan, rewrite, watch::Interest};

use crate::subscription::{Message, SubscriptionActor};

/// How one client sees a task that it follows: a call that asks how far it is, at its gateway as that is now. Shared by
/// who keeps it up to date and who tells the news.
#[derive(Debug, Clone)]
pub(crate) struct Outlook(Arc<Mutex<Arc<CallPlan>>>);

/// One notice, and who is to be told.
pub(crate) struct TaskNews {
    params: Bytes,
    to: Vec<(Interest, Handle<SubscriptionActor>, Outlook)>,
}

impl Outlook {
    pub(crate) fn new(call: Arc<CallPlan>) -> Self {
        Self(Arc::new(Mutex::new(call)))
    }

    pub(crate) fn call(&self) -> Arc<CallPlan> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, call: Arc<CallPlan>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }
}

impl TaskNews {
    pub(crate) fn new(params: Bytes) -> Self {
        let to = Vec::new();
        Self { params, to }
    }

    pub(crate) fn add(&mut self, interest: Interest, one: Handle<SubscriptionActor>, how: Outlook) {
        self.to.push((interest, one, how));
    }

    /// Tells all of them; who is no longer there.
    pub(crate) async fn tell(self) -> Vec<Interest> {
        let (mut shown, mut gone) = (BTreeMap::new(), Vec::new());
        for (interest, one, how) in self.to {
            let call = how.call();
            let Some(task) = call.target.task() else {
                continue;
            };
            let gateway = Arc::as_ptr(&call.gateway).addr();
            let sight = (task.exposed.clone(), gateway, call.client.capabilities());
            let known: Option<Option<Bytes>> = shown.get(&sight).cloned();
            let notice = match known {
                Some(notice) => notice,
                None => {
                    let notice = rewrite::task_news(&call, &self.params);
                    shown.insert(sight, notice.clone());
                    // Others have their turn in between.
                    tokio::task::yield_now().await;
                    notice
                }
            };
            let told = notice.map(|notice| one.tell(Message::Task(task.exposed.clone(), notice)));
            if matches!(told, Some(Err(SendError::Gone))) {
                gone.push(interest);
            }
        }
        gone
    }
}
