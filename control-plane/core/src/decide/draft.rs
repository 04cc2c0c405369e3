//! Builds a change together with its bookkeeping: marker, version log, request record, and removal of expired
//! records.

use toolgate_model::Timestamp;

use crate::{
    change::{Change, KeyGuard},
    command::Context,
    key::Key,
    limits,
    object::{Marker, Object, RequestRecord, VersionRecord},
    state::State,
};

pub(super) struct Draft<'a> {
    pub(super) state: &'a State,
    pub(super) context: &'a Context,
    guards: Vec<KeyGuard>,
    puts: Vec<(Key, Object)>,
    deletes: Vec<Key>,
    notes: Vec<String>,
    epoch: u64,
    compiles: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a State, context: &'a Context) -> Self {
        Self {
            state,
            context,
            guards: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            notes: Vec::new(),
            epoch: state.epoch(),
            compiles: false,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.context.now
    }

    /// Adds a guard: `key` must be unchanged since this state, existing or not.
    pub(super) fn guard(&mut self, key: &Key) {
        if !self.guards.iter().any(|guard| guard.key == *key) {
            self.guards.push(KeyGuard {
                key: key.clone(),
                modified: self.state.modified_at(key),
            });
        }
    }

    /// Writes `object` with a guard.
    pub(super) fn put(&mut self, key: Key, object: Object) {
        self.guard(&key);
        self.puts.push((key, object));
    }

    /// Writes `object` without a guard.
    pub(super) fn put_unguarded(&mut self, key: Key, object: Object) {
        self.puts.push((key, object));
    }

    /// Deletes `key` with a guard, if it exists.
    pub(super) fn delete(&mut self, key: Key) {
        if self.state.modified_at(&key).is_some() {
            self.guard(&key);
            self.deletes.push(key);
        }
    }

    pub(super) fn note(&mut self, what: String) {
        self.notes.push(what);
    }

    /// Marks the change as a change of a compile input although no written key implies it.
    pub(super) fn compiles(&mut self) {
        self.compiles = true;
    }

    pub(super) fn start_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.touch_marker();
    }

    pub(super) fn finish(mut self, subject: Key) -> Change {
        let mut written = self.puts.iter().map(|(key, _)| key).chain(&self.deletes);
        if self.compiles || written.any(Key::is_compiled) {
            self.touch_marker();
            self.log();
        }
        if !self.puts.is_empty() || !self.deletes.is_empty() {
            self.remember(&subject);
            self.sweep();
            self.sweep_proxies();
        }
        Change {
            subject,
            guards: self.guards,
            puts: self.puts,
            deletes: self.deletes,
            notes: self.notes,
            replayed: false,
        }
    }

    fn touch_marker(&mut self) {
        if self.puts.iter().any(|(key, _)| *key == Key::Marker) {
            return;
        }
        let marker = Marker {
            epoch: self.epoch,
            // The clocks of two control planes may differ; the time that compile sees must not decrease.
            written: self.state.written().max(self.now()),
        };
        self.put(Key::Marker, Object::Marker(marker));
    }

    /// Appends a record to the version log. The guard on the marker prevents two changes from using the same
    /// number.
    fn log(&mut self) {
        let last = self.state.history.iter().next_back();
        let mut number = last.map_or(1, |(number, _)| number + 1);
        while self.state.modified_at(&Key::History(number)).is_some() {
            number += 1;
        }
        let record = VersionRecord {
            author: self.context.author.clone(),
            time: self.now(),
            epoch: self.epoch,
            changes: self
                .notes
                .iter()
                .take(limits::HISTORY_CHANGES)
                .cloned()
                .collect(),
        };
        self.put_unguarded(Key::History(number), Object::History(record));
        let kept = limits::HISTORY.saturating_sub(1);
        let old = self.state.history.iter().map(|(number, _)| *number);
        let old = old
            .take_while(|old| old + kept < number)
            .take(limits::SWEEP);
        self.deletes.extend(old.map(Key::History));
    }

    fn remember(&mut self, subject: &Key) {
        let Some(request) = &self.context.request else {
            return;
        };
        let record = RequestRecord {
            request: request.digest,
            subject: subject.clone(),
            expires: self.now().after(limits::REQUEST_MEMORY),
        };
        let key = request.key(&self.context.author);
        self.put(key, Object::Request(record));
    }

    /// Deletes records of proxies past their retention. Guarded: a proxy that reports again in the meantime keeps
    /// its record.
    fn sweep_proxies(&mut self) {
        let now = self.now();
        let proxies = self.state.proxies.iter();
        let gone = proxies.filter(|(_, proxy)| now.since(proxy.last_seen) > limits::PROXY_MEMORY);
        let gone = gone.map(|(id, _)| Key::Proxy(id.clone()));
        let written = |key: &Key| self.puts.iter().any(|(put, _)| put == key);
        let gone: Vec<Key> = gone
            .filter(|key| !written(key) && !self.deletes.contains(key))
            .take(limits::SWEEP)
            .collect();
        for key in gone {
            self.delete(key);
        }
    }

    /// Deletes expired records. Unguarded: concurrent deletions of the same record do not conflict.
    fn sweep(&mut self) {
        let now = self.now();
        let own = self.context.request.as_ref();
        let own = own.map(|request| request.record_digest(&self.context.author));
        let requests = self.state.requests.iter();
        let requests =
            requests.filter(|(digest, record)| record.expires <= now && own != Some(**digest));
        let requests = requests.map(|(digest, _)| Key::Request(*digest));
        let tokens = self
            .state
            .join_tokens
            .iter()
            .filter(|(_, token)| token.expires <= now);
        let tokens = tokens.map(|(hash, _)| Key::JoinToken(*hash));
        let expelled = self.state.expelled.iter();
        let expelled = expelled.filter(|(id, until)| {
            let key = Key::Expelled((*id).clone());
            ***until <= now && !self.puts.iter().any(|(put, _)| *put == key)
        });
        let expelled = expelled.map(|(id, _)| Key::Expelled(id.clone()));
        let expired = requests.chain(tokens).chain(expelled);
        let expired: Vec<Key> = expired.take(limits::SWEEP).collect();
        for key in expired {
            if !self.deletes.contains(&key) {
                self.deletes.push(key);
            }
        }
    }
}
