//! Builds a change together with its bookkeeping: marker, version log, request record, and removal of expired
//! records.

use toolgate_model::{ObjectName, Server, Timestamp};

use crate::{
    change::{Change, KeyGuard},
    command::CommandContext,
    key::ObjectKey,
    kind::StateKind as _,
    limits,
    object::{ControlObject, RequestRecord, VersionMarker, VersionRecord},
    port::MAX_TXN_OPS,
    state::StoreState,
};

pub(super) struct ChangeBuilder<'a> {
    pub(super) state: &'a StoreState,
    pub(super) context: &'a CommandContext,
    guards: Vec<KeyGuard>,
    puts: Vec<(ObjectKey, ControlObject)>,
    deletes: Vec<ObjectKey>,
    descriptions: Vec<String>,
    epoch: u64,
    changes_compile_input: bool,
}

impl<'a> ChangeBuilder<'a> {
    pub(super) fn new(state: &'a StoreState, context: &'a CommandContext) -> Self {
        Self {
            state,
            context,
            guards: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            descriptions: Vec::new(),
            epoch: state.epoch(),
            changes_compile_input: false,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.context.now
    }

    /// Adds a guard: `key` must be unchanged since this state, existing or not.
    pub(super) fn guard(&mut self, key: &ObjectKey) {
        if !self.guards.iter().any(|guard| guard.key == *key) {
            self.guards.push(KeyGuard {
                key: key.clone(),
                mod_revision: self.state.mod_revision_at(key),
            });
        }
    }

    /// Writes `object` with a guard.
    pub(super) fn put(&mut self, key: ObjectKey, object: ControlObject) {
        self.guard(&key);
        self.puts.push((key, object));
    }

    /// Writes `object` without a guard.
    pub(super) fn put_unguarded(&mut self, key: ObjectKey, object: ControlObject) {
        self.puts.push((key, object));
    }

    /// Deletes `key` with a guard, if it exists.
    pub(super) fn delete(&mut self, key: ObjectKey) {
        if self.state.mod_revision_at(&key).is_some() {
            self.guard(&key);
            self.deletes.push(key);
        }
    }

    /// Deletes `key` without a guard.
    pub(super) fn delete_unguarded(&mut self, key: ObjectKey) {
        self.deletes.push(key);
    }

    pub(super) fn add_description(&mut self, what: String) {
        self.descriptions.push(what);
    }

    /// Marks the change as a change of a compile input although no written key implies it.
    pub(super) fn mark_compile_input_changed(&mut self) {
        self.changes_compile_input = true;
    }

    pub(super) fn start_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.touch_marker();
    }

    pub(super) fn finish(mut self, subject: ObjectKey) -> Change {
        let mut written = self.puts.iter().map(|(key, _)| key).chain(&self.deletes);
        if self.changes_compile_input || written.any(ObjectKey::is_compiled) {
            self.touch_marker();
            self.append_version_record();
        }
        if !self.puts.is_empty() || !self.deletes.is_empty() {
            self.record_request(&subject);
            self.sweep_expired();
            self.sweep_proxies();
            self.sweep_parts();
        }
        Change {
            subject,
            guards: self.guards,
            puts: self.puts,
            deletes: self.deletes,
            descriptions: self.descriptions,
            replayed: false,
        }
    }

    fn touch_marker(&mut self) {
        if self.puts.iter().any(|(key, _)| *key == ObjectKey::Marker) {
            return;
        }
        let marker = VersionMarker {
            epoch: self.epoch,
            // The clocks of two control planes may differ; the time that compile sees must not decrease.
            last_change: self.state.last_change().max(self.now()),
        };
        self.put(ObjectKey::Marker, ControlObject::Marker(marker));
    }

    /// Returns the number of the next record of the version log.
    pub(super) fn next_version_record(&self) -> u64 {
        let last = self.state.history.iter().next_back();
        let mut number = last.map_or(1, |(number, _)| number + 1);
        // A record that cannot be read is in no table.
        let is_taken = |number| {
            let key = ObjectKey::History(number);
            self.state.mod_revision_at(&key).is_some()
        };
        while is_taken(number) {
            number += 1;
        }
        number
    }

    /// Appends a record to the version log. The guard on the marker prevents two changes from using the same
    /// number.
    fn append_version_record(&mut self) {
        let number = self.next_version_record();
        let record = VersionRecord {
            author: self.context.author.to_string(),
            time: self.now(),
            epoch: self.epoch,
            changes: self
                .descriptions
                .iter()
                .take(limits::VERSION_LOG_LINES)
                .cloned()
                .collect(),
        };
        self.put_unguarded(ObjectKey::History(number), ControlObject::History(record));
        let kept = limits::VERSION_LOG_ENTRIES.saturating_sub(1);
        let old = self.state.history.iter().map(|(number, _)| *number);
        let old = old
            .take_while(|old| old + kept < number)
            .take(limits::SWEEP_BATCH);
        self.deletes.extend(old.map(ObjectKey::History));
    }

    fn record_request(&mut self, subject: &ObjectKey) {
        let Some(request) = &self.context.request else {
            return;
        };
        let record = RequestRecord {
            request: request.digest,
            subject: subject.clone(),
            expires: self.now().after(limits::REQUEST_ID_RETENTION),
        };
        let key = request.key(&self.context.author);
        self.put(key, ControlObject::Request(record));
    }

    /// Deletes records of proxies past their retention. Guarded: a proxy that reports again in the meantime keeps
    /// its record.
    fn sweep_proxies(&mut self) {
        let now = self.now();
        let proxies = self.state.proxies.iter();
        let expired =
            proxies.filter(|(_, proxy)| now.since(proxy.last_seen) > limits::PROXY_RETENTION);
        let expired = expired.map(|(id, _)| ObjectKey::Proxy(id.clone()));
        let written = |key: &ObjectKey| self.puts.iter().any(|(put, _)| put == key);
        let expired: Vec<ObjectKey> = expired
            .filter(|key| !written(key) && !self.deletes.contains(key))
            .take(self.sweep_room())
            .collect();
        for key in expired {
            self.delete(key);
        }
    }

    /// Returns the number of records that the change may delete besides what it is made for.
    fn sweep_room(&self) -> usize {
        let operations = self.puts.len() + self.deletes.len();
        limits::SWEEP_BATCH.min(MAX_TXN_OPS.saturating_sub(operations))
    }

    /// Deletes parts of the definitions of servers that do not exist. Guarded: a server that is created in the meantime
    /// keeps them.
    fn sweep_parts(&mut self) {
        let mut last: Option<(&ObjectName, bool)> = None;
        let mut orphans = Vec::new();
        let room = self.sweep_room();
        if room == 0 {
            return;
        }
        for (id, _) in self.state.definitions_parts.iter() {
            let (server, digest) = id;
            let exists = match last {
                Some((known, exists)) if known == server => exists,
                Some(_) | None => {
                    let key = Server::key(server.clone());
                    self.state.mod_revision_at(&key).is_some()
                }
            };
            last = Some((server, exists));
            if !exists {
                orphans.push((server.clone(), *digest));
            }
            if orphans.len() >= room {
                break;
            }
        }
        for (server, digest) in orphans {
            let server_key = Server::key(server.clone());
            if self.puts.iter().any(|(key, _)| *key == server_key) {
                continue;
            }
            self.guard(&server_key);
            self.delete(ObjectKey::DefinitionsPart(server, digest));
        }
    }

    /// Deletes expired records. Unguarded: concurrent deletions of the same record do not conflict.
    fn sweep_expired(&mut self) {
        let now = self.now();
        let own = self.context.request.as_ref();
        let own = own.map(|request| request.record_digest(&self.context.author));
        let own = own.map(ObjectKey::Request);
        let is_written = |key: &&ObjectKey| self.puts.iter().any(|(put, _)| put == *key);
        let expired = self.state.expired_records(now);
        let expired = expired.filter(|key| own.as_ref() != Some(*key) && !is_written(key));
        let expired: Vec<ObjectKey> = expired.take(self.sweep_room()).cloned().collect();
        for key in expired {
            if !self.deletes.contains(&key) {
                self.deletes.push(key);
            }
        }
    }
}
