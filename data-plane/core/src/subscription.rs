//! One `subscriptions/listen` of a modern client, as a machine: changes in, messages out. The first message says what
//! is honoured; from then on nothing is told that was not asked for, several changes are told once, and every message
//! carries the id of the request that it answers.

pub mod filter;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use toolgate_mcp::{
    message::{self, Implementation},
    method,
    text::quote,
};

use crate::change::{Kinds, Pause};

pub use filter::{Filter, URI_LIMIT, URIS};

/// Updates of resources that wait to be told. With one more, the resource that was asked for stands for its parts.
pub const UPDATES: usize = 128;

/// What happens to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is known what can be honoured.
    Honoured(Filter),
    /// Lists changed.
    Changed(Kinds),
    /// This resource was updated, or a part of one that was asked for.
    Updated(Box<str>),
    /// The task of this id, the client's own, has come so far: parameters of a notice, an object.
    Task(Box<str>, Bytes),
    /// The pause is over.
    Settled,
    /// It ends, in order.
    End,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell the client.
    Write(Bytes),
    /// Say [`Event::Settled`] after this pause.
    Pause(Pause),
    /// Nothing more will be told.
    Stop,
}

/// One subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    id: Box<str>,
    farewell: Bytes,
    /// What is honoured, once that is known and told.
    honoured: Option<Filter>,
    changed: Kinds,
    updated: BTreeSet<Box<str>>,
    /// How far tasks have come, as far as it was not told.
    tasks: BTreeMap<Box<str>, Bytes>,
    pausing: bool,
    ended: bool,
}

impl Subscription {
    /// Of the request with this id (the literal as written).
    pub fn new(id: Box<str>, server: &Implementation) -> Self {
        Self {
            farewell: farewell(&id, server),
            id,
            honoured: None,
            changed: Kinds::NONE,
            updated: BTreeSet::new(),
            tasks: BTreeMap::new(),
            pausing: false,
            ended: false,
        }
    }

    /// What is told, once it is known.
    pub fn honoured(&self) -> Option<&Filter> {
        self.honoured.as_ref()
    }

    /// How much waits to be told.
    pub fn waiting(&self) -> usize {
        self.updated.len() + self.tasks.len() + self.changed.methods().count()
    }

    /// Takes an event.
    pub fn on(&mut self, event: Event) -> Vec<Output> {
        let mut out = Vec::new();
        if self.ended {
            return out;
        }
        match event {
            Event::Honoured(filter) => self.honour(filter, &mut out),
            Event::Changed(kinds) => {
                self.changed = self.changed.or(kinds);
                self.settle(&mut out);
            }
            Event::Updated(uri) => {
                self.note(uri);
                self.settle(&mut out);
            }
            Event::Task(id, params) => {
                if self.tasks.len() < filter::TASKS || self.tasks.contains_key(&id) {
                    self.tasks.insert(id, params);
                }
                self.settle(&mut out);
            }
            Event::Settled => {
                self.pausing = false;
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
        // What happened while upstreams were asked.
        self.settle(out);
    }

    fn note(&mut self, uri: Box<str>) {
        if self.updated.len() < UPDATES {
            self.updated.insert(uri);
        } else if let Some(whole) = self.honoured.as_ref().and_then(|f| f.covering(&uri)) {
            self.updated.insert(whole.into());
        }
    }

    /// Forgets what nobody asked for; what is left is told after a pause, or after the one that runs.
    fn settle(&mut self, out: &mut Vec<Output>) {
        let Some(filter) = &self.honoured else {
            return;
        };
        self.changed = self.changed.and(filter.kinds);
        self.updated.retain(|uri| filter.covering(uri).is_some());
        self.tasks.retain(|id, _| filter.tasks.contains(id));
        let something = self.waiting() > 0;
        if something && !std::mem::replace(&mut self.pausing, true) {
            out.push(Output::Pause(Pause::Gather));
        }
    }

    fn tell(&mut self, out: &mut Vec<Output>) {
        if self.honoured.is_none() {
            return;
        }
        for method in std::mem::take(&mut self.changed).methods() {
            out.push(Output::Write(message::changed(method, Some(&self.id))));
        }
        for uri in std::mem::take(&mut self.updated) {
            out.push(Output::Write(message::updated(&uri, Some(&self.id))));
        }
        for params in std::mem::take(&mut self.tasks).into_values() {
            out.push(Output::Write(message::task_news(&params, &self.id)));
        }
        if !out.is_empty() {
            self.pausing = true;
            out.push(Output::Pause(Pause::Rest));
        }
    }
}

/// The answer to the request with this id: the end of its stream, in order.
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
