//! State machine of one `subscriptions/listen` request of a modern client. The first message acknowledges what is
//! subscribed to. Later messages only report what was requested, repeated changes are merged, and every message
//! carries the id of the request.

pub mod filter;

use bytes::Bytes;
use toolgate_mcp::{
    message::{self, Implementation},
    method,
    text::quote,
};

use crate::notify::{
    debouncer::Debouncer,
    view_change::{DebounceDelay, ListChanges},
};

pub use filter::{MAX_URIS, SubscriptionFilter, URI_LIMIT};

/// Input of [`SubscriptionMachine`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The servers were asked; this filter is acknowledged.
    Acknowledged(SubscriptionFilter),
    /// Lists changed.
    Changed(ListChanges),
    /// A requested resource, or a part of one, was updated.
    Updated(Box<str>),
    /// The status of the task with this exposed id changed; holds the notification's parameters, a JSON object.
    Task(Box<str>, Bytes),
    /// The delay has elapsed.
    DelayElapsed,
    /// The subscription ends with a final response.
    End,
}

/// Effects to perform, in the given order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this message to the client.
    Write(Bytes),
    /// Feed [`Event::DelayElapsed`] after this delay.
    StartDelay(DebounceDelay),
    /// Remove the subscription; no further message follows.
    Stop,
}

/// State machine of one subscription.
#[derive(Debug, Clone)]
pub struct SubscriptionMachine {
    id: Box<str>,
    final_response: Bytes,
    /// Acknowledged filter, once it has been sent.
    acknowledged: Option<SubscriptionFilter>,
    debouncer: Debouncer,
    ended: bool,
}

impl SubscriptionMachine {
    /// Creates a subscription for the request with this id (literal as written).
    pub fn new(id: Box<str>, server: &Implementation) -> Self {
        Self {
            final_response: final_response(&id, server),
            id,
            acknowledged: None,
            debouncer: Debouncer::default(),
            ended: false,
        }
    }

    /// Acknowledged filter, once it is known.
    pub fn acknowledged(&self) -> Option<&SubscriptionFilter> {
        self.acknowledged.as_ref()
    }

    /// Number of pending notifications.
    pub fn pending(&self) -> usize {
        self.debouncer.pending()
    }

    /// Applies an event and returns its effects.
    pub fn on(&mut self, event: Event) -> Vec<Output> {
        let mut out = Vec::new();
        if self.ended {
            return out;
        }
        match event {
            Event::Acknowledged(filter) => self.acknowledge(filter, &mut out),
            Event::Changed(kinds) => {
                self.debouncer.add_list_changes(kinds);
                self.start_delay(&mut out);
            }
            Event::Updated(uri) => {
                self.add_update(uri);
                self.start_delay(&mut out);
            }
            Event::Task(id, params) => {
                self.debouncer.add_task_status(id, params);
                self.start_delay(&mut out);
            }
            Event::DelayElapsed => {
                self.debouncer.delay_elapsed();
                self.flush(&mut out);
            }
            Event::End => {
                self.ended = true;
                if self.acknowledged.is_some() {
                    out.push(Output::Write(self.final_response.clone()));
                }
                out.push(Output::Stop);
            }
        }
        out
    }

    fn acknowledge(&mut self, filter: SubscriptionFilter, out: &mut Vec<Output>) {
        if self.acknowledged.is_some() {
            return;
        }
        let acknowledgement = message::acknowledged(&self.id, &filter.to_json());
        out.push(Output::Write(acknowledgement));
        self.acknowledged = Some(filter);
        // Changes that occurred while the servers were asked.
        self.start_delay(out);
    }

    /// Records an update. If the limit is reached, the requested resource that covers it is recorded instead.
    fn add_update(&mut self, uri: Box<str>) {
        if let Err(uri) = self.debouncer.add_resource_update(uri)
            && let Some(whole) = self.acknowledged.as_ref().and_then(|f| f.covering(&uri))
        {
            self.debouncer.add_covering_resource(whole.into());
        }
    }

    /// Drops what was not requested, and starts a delay for the rest unless one is running.
    fn start_delay(&mut self, out: &mut Vec<Output>) {
        if let Some(filter) = &self.acknowledged {
            self.debouncer.retain(filter);
            out.extend(self.debouncer.start_delay().map(Output::StartDelay));
        }
    }

    fn flush(&mut self, out: &mut Vec<Output>) {
        if self.acknowledged.is_none() {
            return;
        }
        let notifications = self.debouncer.take_due();
        let messages = notifications
            .iter()
            .filter_map(|it| it.to_message(Some(&self.id)));
        out.extend(messages.map(Output::Write));
        if !notifications.is_empty() {
            out.push(Output::StartDelay(DebounceDelay::Cooldown));
        }
    }
}

/// Response to the request with this id, which ends its stream.
pub fn final_response(id: &str, server: &Implementation) -> Bytes {
    let (key, server_key) = (quote(method::META_SUBSCRIPTION), quote(method::META_SERVER));
    let meta = format!("{{{server_key}:{},{key}:{id}}}", server.to_json());
    message::response(
        id,
        &format!("{{\"resultType\":\"complete\",\"_meta\":{meta}}}"),
    )
}

#[cfg(test)]
mod tests;
