//! Set of the member names of one object, used to detect duplicates.

use std::{borrow::Cow, collections::BTreeSet};

use smallvec::SmallVec;

/// Number of names stored inline.
const INLINE_NAMES: usize = 16;

/// Names seen in one object. Few names are the common case; many names, as sent by an attacker, must not cost quadratic
/// time.
pub(super) struct NameSet<'a> {
    /// First unescaped names.
    inline: SmallVec<[&'a str; INLINE_NAMES]>,
    /// Names that do not fit inline, and names written with escapes.
    more: Option<BTreeSet<Cow<'a, str>>>,
    count: usize,
}

impl<'a> NameSet<'a> {
    pub(super) fn new() -> Self {
        Self {
            inline: SmallVec::new(),
            more: None,
            count: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds a name. Returns `true` if it is new.
    pub(super) fn add(&mut self, name: Cow<'a, str>) -> bool {
        let is_known = |more: &BTreeSet<Cow<'a, str>>| more.contains(&name);
        if self.inline.contains(&&*name) || self.more.as_ref().is_some_and(is_known) {
            return false;
        }
        match name {
            Cow::Borrowed(name) if self.inline.len() < INLINE_NAMES => self.inline.push(name),
            name @ (Cow::Borrowed(_) | Cow::Owned(_)) => {
                self.more.get_or_insert_default().insert(name);
            }
        }
        self.count += 1;
        true
    }
}
