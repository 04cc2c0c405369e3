//! What one client is to be told of changes, and when: any number of changes of one thing are one notice, what belongs
//! together is told together, and after something was told there is a pause. Sessions and subscriptions alike.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use toolgate_mcp::message;

use crate::{
    change::{Kinds, Pause},
    subscription::{Filter, filter::TASKS},
};

/// Resources whose updates wait to be told.
pub const UPDATES: usize = 128;

/// What waits to be told to one client.
#[derive(Debug, Clone, Default)]
pub struct Pacer {
    changed: Kinds,
    updated: BTreeSet<Box<str>>,
    /// How far tasks have come, the newest word of each.
    tasks: BTreeMap<Box<str>, Bytes>,
    pausing: bool,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The list of this method has changed.
    Changed(&'static str),
    /// This resource was updated.
    Updated(Box<str>),
    /// A task has come so far: the parameters of the notice.
    Task(Bytes),
}

impl Pacer {
    /// Lists changed.
    pub fn change(&mut self, kinds: Kinds) {
        self.changed = self.changed.or(kinds);
    }

    /// A resource was updated; it is given back if there is no room for one more.
    pub fn update(&mut self, uri: Box<str>) -> Result<(), Box<str>> {
        if self.updated.len() >= UPDATES && !self.updated.contains(&uri) {
            return Err(uri);
        }
        self.updated.insert(uri);
        Ok(())
    }

    /// A resource that stands for others, of which there are no more than one filter may name.
    pub fn update_whole(&mut self, uri: Box<str>) {
        self.updated.insert(uri);
    }

    /// A task has come so far.
    pub fn task(&mut self, id: Box<str>, params: Bytes) {
        if self.tasks.len() < TASKS || self.tasks.contains_key(&id) {
            self.tasks.insert(id, params);
        }
    }

    /// Forgets what is not asked for.
    pub fn retain(&mut self, filter: &Filter) {
        self.changed = self.changed.and(filter.kinds);
        self.updated.retain(|uri| filter.covering(uri).is_some());
        self.tasks.retain(|id, _| filter.tasks.contains(id));
    }

    /// How many resources wait.
    pub fn updates(&self) -> usize {
        self.updated.len()
    }

    /// How much waits.
    pub fn waiting(&self) -> usize {
        self.updated.len() + self.tasks.len() + self.changed.methods().count()
    }

    /// A pause to be made before what waits is told; none if nothing does, or if one is under way.
    pub fn gather(&mut self) -> Option<Pause> {
        let begins = !self.pausing && self.waiting() > 0;
        self.pausing |= begins;
        begins.then_some(Pause::Gather)
    }

    /// The pause is over.
    pub fn settled(&mut self) {
        self.pausing = false;
    }

    /// All that waits, unless a pause is under way. If it is anything, [`Pause::Rest`] has to follow.
    pub fn tell(&mut self) -> Vec<Notice> {
        if self.pausing {
            return Vec::new();
        }
        let changed = std::mem::take(&mut self.changed).methods();
        let updated = std::mem::take(&mut self.updated).into_iter();
        let tasks = std::mem::take(&mut self.tasks).into_values();
        let told: Vec<Notice> = changed
            .map(Notice::Changed)
            .chain(updated.map(Notice::Updated))
            .chain(tasks.map(Notice::Task))
            .collect();
        self.pausing = !told.is_empty();
        told
    }

    /// Nothing is to be told any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Notice {
    /// As a message, under the id of a subscription or of none. Of tasks only subscriptions are told.
    pub fn to_message(&self, subscription: Option<&str>) -> Option<Bytes> {
        match self {
            Self::Changed(method) => Some(message::changed(method, subscription)),
            Self::Updated(uri) => Some(message::updated(uri, subscription)),
            Self::Task(params) => subscription.map(|id| message::task_news(params, id)),
        }
    }
}

#[cfg(test)]
mod tests;
