//! The exact writes that a command comes to: all of them happen, or none.

use crate::{key::Key, object::Object, port::Revision};

/// What to write, if the guards hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What the command was about.
    pub subject: Key,
    /// All must hold.
    pub guards: Vec<KeyGuard>,
    /// Written.
    pub puts: Vec<(Key, Object)>,
    /// Deleted.
    pub deletes: Vec<Key>,
    /// What happens, for the version log and for people.
    pub notes: Vec<String>,
    /// Nothing is to be written: this request id has done its work before.
    pub replayed: bool,
}

/// A condition on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGuard {
    /// Which key.
    pub key: Key,
    /// Last written at this revision; none: it does not exist.
    pub modified: Option<Revision>,
}

impl Change {
    /// Nothing to write about `subject`.
    pub fn nothing(subject: Key) -> Self {
        Self {
            subject,
            guards: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            notes: Vec::new(),
            replayed: false,
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// The object that the command wrote, if it wrote one.
    pub fn written(&self) -> Option<&Object> {
        let of_subject = |(key, _): &&(Key, Object)| *key == self.subject;
        self.puts.iter().find(of_subject).map(|(_, object)| object)
    }
}
