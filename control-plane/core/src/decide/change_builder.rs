//! Builds a change together with its bookkeeping: marker, version log, request record, and removal of expired
//! records.

use toolgate_model::{Digest, ObjectName, Server, Timestamp, Token};

use crate::{
    change::{Change, KeyGuard, PrefixGuard},
    command::CommandContext,
    key::ObjectKey,
    kind::StateKind as _,
    limits,
    object::{ControlObject, RequestRecord, VersionMarker, VersionRecord},
    port::{MAX_TXN_OPS, Revision},
    state::StoreState,
};

/// Maximum number of objects of a list that a change guards one by one. A change that refers to more guards all compile
/// inputs, which takes a single compare.
const MAX_GUARDED_REFERENCES: usize = 24;

/// Maximum number of compares that a change has besides its guards of keys: of the version marker and of the keys with a
/// prefix.
const OTHER_COMPARES: usize = 4;

/// Number of low bits of the number of an entry of the version log that tell apart changes of the same time.
const VERSION_RECORD_SALT_BITS: u32 = 20;

pub(super) struct ChangeBuilder<'a> {
    pub(super) state: &'a StoreState,
    pub(super) context: &'a CommandContext,
    guards: Vec<KeyGuard>,
    prefix_guards: Vec<PrefixGuard>,
    pub(super) tolerated_commits: Option<u64>,
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
            prefix_guards: Vec::new(),
            tolerated_commits: None,
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

    /// Guards the objects that a list of the written object refers to, or all compile inputs if there are many.
    pub(super) fn guard_references(&mut self, keys: impl ExactSizeIterator<Item = ObjectKey>) {
        if keys.len() > MAX_GUARDED_REFERENCES {
            self.guard_compile_inputs();
            return;
        }
        for key in keys {
            self.guard(&key);
        }
    }

    /// Guards all compile inputs. For decisions that depend on the absence of objects, or on more objects than can be
    /// guarded one by one.
    pub(super) fn guard_compile_inputs(&mut self) {
        self.tolerated_commits = Some(0);
    }

    /// Guards a count of objects, of which one more is written: together with the objects of other control planes, there
    /// must not be more than `limit`. `found` is their number in this state, below `limit`.
    pub(super) fn guard_count(&mut self, found: usize, limit: usize) {
        let tolerated = commits_within(found, limit);
        let least = self
            .tolerated_commits
            .map_or(tolerated, |it| it.min(tolerated));
        self.tolerated_commits = Some(least);
    }

    /// Guards a count of the keys with a prefix, of which one more is written. `latest` is the revision of the latest write
    /// of such a key in this state.
    pub(super) fn guard_count_of(
        &mut self,
        prefix: String,
        latest: Revision,
        found: usize,
        limit: usize,
    ) {
        let revision = latest.saturating_add(commits_within(found, limit));
        self.prefix_guards.push(PrefixGuard { prefix, revision });
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
        self.guard_compile_inputs();
        let start = ControlObject::Marker(self.marker());
        self.put(ObjectKey::EpochStart, start);
        self.touch_marker();
    }

    pub(super) fn finish(mut self, subject: ObjectKey) -> Change {
        let mut written = self.puts.iter().map(|(key, _)| key).chain(&self.deletes);
        let makes_version = self.changes_compile_input || written.any(ObjectKey::is_compiled);
        if makes_version {
            self.touch_marker();
            self.append_version_record(&subject);
        }
        if !self.puts.is_empty() || !self.deletes.is_empty() {
            self.record_request(&subject);
            self.sweep_expired();
            self.sweep_proxies();
            self.sweep_parts();
        }
        // Proxies hold tokens: only a change of the version may delete some.
        if makes_version {
            self.sweep_tokens();
        }
        Change {
            subject,
            guards: self.guards,
            prefix_guards: self.prefix_guards,
            tolerated_commits: self.tolerated_commits,
            puts: self.puts,
            deletes: self.deletes,
            descriptions: self.descriptions,
            replayed: false,
        }
    }

    /// Writes the marker, unguarded: changes of different objects do not conflict. Only the start of the epoch is guarded,
    /// so that the marker never returns to an epoch before.
    fn touch_marker(&mut self) {
        if self.puts.iter().any(|(key, _)| *key == ObjectKey::Marker) {
            return;
        }
        self.guard(&ObjectKey::EpochStart);
        let marker = ControlObject::Marker(self.marker());
        self.put_unguarded(ObjectKey::Marker, marker);
    }

    fn marker(&self) -> VersionMarker {
        VersionMarker {
            epoch: self.epoch,
            // The clocks of two control planes may differ.
            last_change: self.state.last_change().max(self.now()),
        }
    }

    /// Returns the number of the next record of the version log, for a change of `subject`. It is higher than the number of
    /// each record of this state. Changes that two control planes decide at the same time have different numbers.
    pub(super) fn next_version_record(&self, subject: &ObjectKey) -> u64 {
        let last = self.state.history.iter().next_back();
        let next = last.map_or(1, |(number, _)| number.saturating_add(1));
        let time = self.now().0.saturating_mul(1 << VERSION_RECORD_SALT_BITS);
        let (author, revision) = (self.context.author.to_string(), self.state.revision());
        let identity = format!("{subject} {author} {revision}");
        let [a, b, c, d, ..] = Digest::of_bytes(identity.as_bytes()).0;
        let hash = u32::from_be_bytes([a, b, c, d]);
        let salt = u64::from(hash >> (u32::BITS - VERSION_RECORD_SALT_BITS));
        let mut number = next.max(time).saturating_add(salt);
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

    /// Appends a record to the version log. Its guard keeps two changes from using the same number.
    fn append_version_record(&mut self, subject: &ObjectKey) {
        let number = self.next_version_record(subject);
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
        self.put(ObjectKey::History(number), ControlObject::History(record));
        let entries = self.state.history.len() + 1;
        let excess = entries.saturating_sub(limits::VERSION_LOG_ENTRIES);
        let old = self.state.history.iter().map(|(number, _)| *number);
        let old = old.take(excess.min(limits::SWEEP_BATCH));
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
        let expired = self
            .state
            .proxies_silent_since(self.now(), limits::PROXY_RETENTION);
        let expired = expired.map(|id| ObjectKey::Proxy(id.clone()));
        let written = |key: &ObjectKey| self.puts.iter().any(|(put, _)| put == key);
        let expired: Vec<ObjectKey> = expired
            .filter(|key| !written(key) && !self.deletes.contains(key))
            .take(self.sweep_room())
            .collect();
        for key in expired {
            self.delete(key);
        }
    }

    /// Returns the number of records that the change may delete besides what it is made for, with at most two guards each.
    fn sweep_room(&self) -> usize {
        let operations = self.puts.len() + self.deletes.len();
        let compares = self.guards.len() + OTHER_COMPARES;
        let guarded = MAX_TXN_OPS.saturating_sub(compares) / 2;
        let room = MAX_TXN_OPS.saturating_sub(operations);
        limits::SWEEP_BATCH.min(room).min(guarded)
    }

    /// Deletes parts of the definitions of servers that do not exist. Guarded: a server that is created in the meantime
    /// keeps them.
    fn sweep_parts(&mut self) {
        let left_over = self.state.left_over_parts();
        let left_over = left_over.take(self.sweep_room());
        let left_over: Vec<(ObjectName, Digest)> = left_over.cloned().collect();
        for (server, digest) in left_over {
            let server_key = Server::key(server.clone());
            if self.puts.iter().any(|(key, _)| *key == server_key) {
                continue;
            }
            self.guard(&server_key);
            self.delete(ObjectKey::DefinitionsPart(server, digest));
        }
    }

    /// Deletes records of temporary tokens past their retention. Guarded: a token that gets another end in the meantime keeps
    /// its record.
    fn sweep_tokens(&mut self) {
        let ended = self.state.ended_temporary_tokens(self.now());
        let ended = ended.map(|name| Token::key(name.clone()));
        let written = |key: &ObjectKey| self.puts.iter().any(|(put, _)| put == key);
        let ended: Vec<ObjectKey> = ended
            .filter(|key| !written(key) && !self.deletes.contains(key))
            .take(self.sweep_room())
            .collect();
        for key in ended {
            self.delete(key);
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

/// Returns the number of commits of other control planes after which one more object still fits in `limit`. Each of them may
/// write as many objects as a transaction has operations.
fn commits_within(found: usize, limit: usize) -> u64 {
    let room = limit.saturating_sub(found).saturating_sub(1);
    u64::try_from(room / MAX_TXN_OPS).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
