//! The names of one object, to find the one that comes twice.

use std::{borrow::Cow, collections::BTreeSet};

/// Names of one object that are kept in place.
const FEW: usize = 16;

/// Names seen in one object: a handful, as a rule; a hostile crowd must not cost its square.
pub(super) struct Names<'a> {
    /// Plain names, the first of them.
    few: [&'a str; FEW],
    filled: usize,
    /// Those that do not fit there, and those that were written with escapes.
    more: BTreeSet<Cow<'a, str>>,
    count: usize,
}

impl<'a> Names<'a> {
    pub(super) fn new() -> Self {
        Self {
            few: [""; FEW],
            filled: 0,
            more: BTreeSet::new(),
            count: 0,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether it was new.
    pub(super) fn add(&mut self, name: Cow<'a, str>) -> bool {
        let known = self.few.get(..self.filled).unwrap_or_default();
        if known.contains(&&*name) || (!self.more.is_empty() && self.more.contains(&name)) {
            return false;
        }
        if let (&Cow::Borrowed(name), Some(place)) = (&name, self.few.get_mut(self.filled)) {
            *place = name;
            self.filled += 1;
        } else {
            self.more.insert(name);
        }
        self.count += 1;
        true
    }
}
