//! One `subscriptions/listen` of a modern client, as a machine: changes in, messages out. The first message says what
//! is honoured; from then on nothing is told that was not asked for, several changes are told once, and every message
//! carries the id of the request that it answers.

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
    pacer: Pacer,
    ended: bool,
}

impl Subscription {
    /// Of the request with this id (the literal as written).
    pub fn new(id: Box<str>, server: &Implementation) -> Self {
        Self {
            farewell: farewell(&id, server),
            id,
            honoured: None,
            pacer: Pacer::default(),
            ended: false,
        }
    }

    /// What is told, once it is known.
    pub fn honoured(&self) -> Option<&Filter> {
        self.honoured.as_ref()
    }

    /// How much waits to be told.
    pub fn waiting(&self) -> usize {
        self.pacer.waiting()
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
        // What happened while upstreams were asked.
        self.settle(out);
    }

    /// Where there is no room for one more, the resource that was asked for stands for its parts.
    fn note(&mut self, uri: Box<str>) {
        if let Err(uri) = self.pacer.update(uri)
            && let Some(whole) = self.honoured.as_ref().and_then(|f| f.covering(&uri))
        {
            self.pacer.update_whole(whole.into());
        }
    }

    /// Forgets what nobody asked for; what is left is told after a pause, or after the one that runs.
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
