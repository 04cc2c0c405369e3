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

use crate::{
    change::{Kinds, Pause},
    pacer::Pacer,
};

pub use filter::{Filter, URI_LIMIT, URIS};

/// Input of [`SubscriptionMachine`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The servers were asked; this filter is acknowledged.
    Honoured(Filter),
    /// Lists changed.
    Changed(Kinds),
    /// A requested resource, or a part of one, was updated.
    Updated(Box<str>),
    /// The status of the task with this exposed id changed; holds the notification's parameters, a JSON object.
    Task(Box<str>, Bytes),
    /// The delay has elapsed.
    Settled,
    /// The subscription ends with a final response.
    End,
}

/// Effects to perform, in the given order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this message to the client.
    Write(Bytes),
    /// Feed [`Event::DelayElapsed`] after this delay.
    Pause(Pause),
    /// Remove the subscription; no further message follows.
    Stop,
}

/// State machine of one subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    id: Box<str>,
    farewell: Bytes,
    /// Acknowledged filter, once it has been sent.
    honoured: Option<Filter>,
    pacer: Pacer,
    ended: bool,
}

impl Subscription {
    /// Creates a subscription for the request with this id (literal as written).
    pub fn new(id: Box<str>, server: &Implementation) -> Self {
        Self {
            farewell: farewell(&id, server),
            id,
            honoured: None,
            pacer: Pacer::default(),
            ended: false,
        }
    }

    /// Acknowledged filter, once it is known.
    pub fn honoured(&self) -> Option<&Filter> {
        self.honoured.as_ref()
    }

    /// Number of pending notifications.
    pub fn waiting(&self) -> usize {
        self.pacer.waiting()
    }

    /// Applies an event and returns its effects.
    pub fn on(&mut self, event: Event) -> Vec<Output> {
        let mut out = Vec::new();
        if self.ended {
            return out;
        }
        match event {
            Event::Honoured(filter) => self.honour(filter, &mut out),
            Event::Changed(kinds) => {
                self.pacer.change(kinds);
                self.settle(&mut out);
            }
            Event::Updated(uri) => {
                self.note(uri);
                self.settle(&mut out);
            }
            Event::Task(id, params) => {
                self.pacer.task(id, params);
                self.settle(&mut out);
            }
            Event::Settled => {
                self.pacer.settled();
                self.tell(&mut out);
            }
            Event::End => {
                self.ended = true;
                if self.honoured.is_some() {
                    out.push(Output::Write(self.farewell.clone()));
                }
                out.push(Output::Stop);
            }
        }
        out
    }

    fn honour(&mut self, filter: Filter, out: &mut Vec<Output>) {
        if self.honoured.is_some() {
            return;
        }
        let told = message::acknowledged(&self.id, &filter.to_json());
        out.push(Output::Write(told));
        self.honoured = Some(filter);
        // Changes that occurred while the servers were asked.
        self.settle(out);
    }

    /// Records an update. If the limit is reached, the requested resource that covers it is recorded instead.
    fn note(&mut self, uri: Box<str>) {
        if let Err(uri) = self.pacer.update(uri)
            && let Some(whole) = self.honoured.as_ref().and_then(|f| f.covering(&uri))
        {
            self.pacer.update_whole(whole.into());
        }
    }

    /// Drops what was not requested, and starts a delay for the rest unless one is running.
    fn settle(&mut self, out: &mut Vec<Output>) {
        if let Some(filter) = &self.honoured {
            self.pacer.retain(filter);
            out.extend(self.pacer.gather().map(Output::Pause));
        }
    }

    fn tell(&mut self, out: &mut Vec<Output>) {
        if self.honoured.is_none() {
            return;
        }
        let told = self.pacer.tell();
        let messages = told.iter().filter_map(|it| it.to_message(Some(&self.id)));
        out.extend(messages.map(Output::Write));
        if !told.is_empty() {
            out.push(Output::Pause(Pause::Rest));
        }
    }
}

/// Response to the request with this id, which ends its stream.
pub fn farewell(id: &str, server: &Implementation) -> Bytes {
    let (key, us) = (quote(method::META_SUBSCRIPTION), quote(method::META_SERVER));
    let meta = format!("{{{us}:{},{key}:{id}}}", server.to_json());
    message::response(
        id,
        &format!("{{\"resultType\":\"complete\",\"_meta\":{meta}}}"),
    )
}

#[cfg(test)]
mod tests;
