//! The mailbox bound of an actor. The bound of actix is not reliable: `do_send` ignores it, and every clone of an
//! address owns one extra slot. Each message therefore carries a permit, which is released when the message has been
//! processed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counter of an actor's messages that are queued or being processed.
#[derive(Debug, Default)]
pub(crate) struct MailboxPermits {
    taken: AtomicUsize,
}

/// Permit of one message; released on drop.
#[derive(Debug)]
pub(crate) struct MailboxPermit(Arc<MailboxPermits>);

impl MailboxPermits {
    /// Acquires a permit unless `capacity` permits are taken.
    pub(crate) fn acquire(self: &Arc<Self>, capacity: usize) -> Option<MailboxPermit> {
        let one_more = |taken| (taken < capacity).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.ok().map(|_before| MailboxPermit(Arc::clone(self)))
    }

    /// Returns the number of permits taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for MailboxPermit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
