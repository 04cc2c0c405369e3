//! Result of a command: the writes to commit in one transaction.

use crate::{key::ObjectKey, object::ControlObject, port::Revision};

/// Writes of one command, committed together if all guards hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Key of the object that the command addresses.
    pub subject: ObjectKey,
    /// Preconditions. The change is committed only if all of them hold.
    pub guards: Vec<KeyGuard>,
    /// Preconditions on all keys with a prefix.
    pub prefix_guards: Vec<PrefixGuard>,
    /// Maximum number of commits that may have written compile inputs between the state that the change was decided on and
    /// the commit of the change; `None` for any number. With 0, the decision may have read any compile input.
    pub tolerated_commits: Option<u64>,
    /// Objects to write, with their keys.
    pub puts: Vec<(ObjectKey, ControlObject)>,
    /// Keys to delete.
    pub deletes: Vec<ObjectKey>,
    /// Human-readable lines that describe the change, for the version log and log output.
    pub descriptions: Vec<String>,
    /// True if the request id was already processed. The change is then empty.
    pub replayed: bool,
}

/// Precondition on the last write of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGuard {
    /// Key that the guard checks.
    pub key: ObjectKey,
    /// Expected revision of the last write; `None` if the key must not exist.
    pub mod_revision: Option<Revision>,
}

/// Precondition on the last writes of the keys with a prefix: none is later than a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixGuard {
    /// Prefix of the keys that the guard checks.
    pub prefix: String,
    /// Latest revision at which any of them may have been written.
    pub revision: Revision,
}

impl Change {
    /// Returns a change of `subject` that writes nothing.
    pub fn empty(subject: ObjectKey) -> Self {
        Self {
            subject,
            guards: Vec::new(),
            prefix_guards: Vec::new(),
            tolerated_commits: None,
            puts: Vec::new(),
            deletes: Vec::new(),
            descriptions: Vec::new(),
            replayed: false,
        }
    }

    /// Returns `true` if the change writes and deletes nothing.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// Returns `true` if the change writes only what has to be stored before the subject. The command is then repeated.
    pub fn is_preparation(&self) -> bool {
        let Self {
            subject,
            puts,
            deletes,
            ..
        } = self;
        !puts.is_empty() && self.written().is_none() && !deletes.contains(subject)
    }

    /// Returns `true` if the change writes the version marker, or guards its revision.
    pub fn depends_on_marker(&self) -> bool {
        let mut puts = self.puts.iter();
        self.tolerated_commits.is_some() || puts.any(|(key, _)| *key == ObjectKey::Marker)
    }

    /// Returns the object written at [`Self::subject`], if any.
    pub fn written(&self) -> Option<&ControlObject> {
        let of_subject = |(key, _): &&(ObjectKey, ControlObject)| *key == self.subject;
        self.puts.iter().find(of_subject).map(|(_, object)| object)
    }
}

#[cfg(test)]
mod tests;
