//! How much each principal has open.

use std::sync::Arc;

use toolgate_model::Principal;

use crate::shard::Shards;

/// A number for each principal that has any.
pub(crate) struct Tally(Shards<Arc<Principal>, usize>);

impl Tally {
    /// Nobody has anything. There are never more principals than things, whose number is bounded by `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self(Shards::new(limit))
    }

    pub(crate) fn of(&self, principal: &Arc<Principal>) -> usize {
        self.0.get(principal).unwrap_or_default()
    }

    pub(crate) fn add(&self, principal: &Arc<Principal>, by: isize) {
        self.0.update(principal, |count| {
            let now = count.unwrap_or_default().saturating_add_signed(by);
            *count = (now > 0).then_some(now);
        });
    }

    /// One more, unless there are `limit` already.
    pub(crate) fn take(&self, principal: &Arc<Principal>, limit: usize) -> bool {
        self.0.update(principal, |count| {
            let before = count.unwrap_or_default();
            let room = before < limit;
            *count = Some(before + usize::from(room)).filter(|now| *now > 0);
            room
        })
    }
}
