//! Set of the member names of one object, used to detect duplicates.

use std::{borrow::Cow, collections::BTreeSet};

/// Number of names stored inline.
const INLINE_NAMES: usize = 16;

/// Names seen in one object. Few names are the common case; many names, as sent by an attacker, must not cost quadratic
/// time.
pub(super) struct NameSet<'a> {
    /// First unescaped names.
    inline: [&'a str; INLINE_NAMES],
    filled: usize,
    /// Names that do not fit inline, and names written with escapes.
    more: BTreeSet<Cow<'a, str>>,
    count: usize,
}

impl<'a> NameSet<'a> {
    pub(super) fn new() -> Self {
        Self {
            inline: [""; INLINE_NAMES],
            filled: 0,
            more: BTreeSet::new(),
            count: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds a name. Returns `true` if it is new.
    pub(super) fn add(&mut self, name: Cow<'a, str>) -> bool {
        let known = self.inline.get(..self.filled).unwrap_or_default();
        if known.contains(&&*name) || (!self.more.is_empty() && self.more.contains(&name)) {
            return false;
        }
        if let (&Cow::Borrowed(name), Some(slot)) = (&name, self.inline.get_mut(self.filled)) {
            *slot = name;
            self.filled += 1;
        } else {
            self.more.insert(name);
        }
        self.count += 1;
        true
    }
}
