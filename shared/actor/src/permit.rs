//! The bound of an actor. Actix's own does not hold: a message sent with `do_send` ignores it, and every clone of an
//! address owns a slot beyond it. So each message carries a permit of ours, given back when it has been worked off.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many messages of one actor are waiting or in work.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    taken: AtomicUsize,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Permits>);

impl Permits {
    /// One more, unless `capacity` are taken.
    pub(crate) fn take(self: &Arc<Self>, capacity: usize) -> Option<Permit> {
        let one_more = |taken| (taken < capacity).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.ok().map(|_before| Permit(Arc::clone(self)))
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
