//! Log of the latest requests of one organization: a ring of slots, whose size can change while it is written and read.

use std::sync::{
    Mutex, OnceLock, PoisonError, TryLockError,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;

use super::CallLogEntry;

/// Maximum number of slots that are allocated at a time.
const SLOTS_PER_BLOCK: usize = 256;

/// Log of the latest requests of one organization. Its numbers go on when it loses its slots.
#[derive(Default)]
pub(super) struct OrganizationLog {
    /// Number of the next entry.
    next: AtomicU64,
    /// Time of arrival of the latest request, in Unix milliseconds.
    latest: AtomicU64,
    ring: ArcSwap<SlotRing>,
}

/// State of a slot for a reader.
pub(super) enum SlotContent {
    /// Entry with the number.
    Entry(CallLogEntry),
    /// The number is taken, and its entry is not there.
    Missing,
    /// A later entry has replaced it.
    Replaced,
}

/// Slots, of which an entry takes the one of its number.
#[derive(Default)]
struct SlotRing {
    capacity: usize,
    /// Allocated when the first of their slots is used: an organization with few requests has few.
    blocks: Box<[OnceLock<Box<[LogSlot]>>]>,
}

type LogSlot = Mutex<Option<NumberedEntry>>;

#[derive(Debug, Clone)]
struct NumberedEntry {
    number: u64,
    entry: CallLogEntry,
}

impl OrganizationLog {
    /// Records a request. Without slots, and while a reader holds the slot, the entry is dropped.
    pub(super) fn record(&self, entry: CallLogEntry) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.latest.store(entry.received.0, Ordering::Relaxed);
        self.ring.load().record(NumberedEntry { number, entry });
    }

    /// Returns the number of the next entry.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Returns the time of arrival of the latest request, in Unix milliseconds.
    pub(super) fn latest(&self) -> u64 {
        self.latest.load(Ordering::Relaxed)
    }

    /// Returns the number of the oldest entry that may be there while `next` is the number of the next one.
    pub(super) fn oldest(&self, next: u64) -> u64 {
        next.saturating_sub(self.capacity() as u64)
    }

    /// Returns the entry with this number.
    pub(super) fn content(&self, number: u64) -> SlotContent {
        self.ring.load().content(number)
    }

    /// Returns the number of entries that it keeps.
    pub(super) fn capacity(&self) -> usize {
        self.ring.load().capacity
    }

    /// Returns `true` if it keeps entries.
    pub(super) fn has_share(&self) -> bool {
        self.capacity() > 0
    }

    /// Changes the number of entries that it keeps, and keeps the newest ones. An entry that is recorded at this moment may be
    /// dropped. To be called by one thread at a time.
    pub(super) fn resize(&self, capacity: usize) {
        let (former, ring) = (self.ring.load_full(), SlotRing::new(capacity));
        let next = self.next();
        for number in next.saturating_sub(capacity as u64)..next {
            if let SlotContent::Entry(entry) = former.content(number) {
                ring.record(NumberedEntry { number, entry });
            }
        }
        self.ring.store(ring.into());
    }
}

impl SlotRing {
    fn new(capacity: usize) -> Self {
        let blocks = capacity.div_ceil(SLOTS_PER_BLOCK);
        Self {
            capacity,
            blocks: (0..blocks).map(|_| OnceLock::new()).collect(),
        }
    }

    fn record(&self, entry: NumberedEntry) {
        let Some(slot) = self.slot(entry.number) else {
            return;
        };
        let mut slot = match slot.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        // A thread that was held up here does not replace a later entry.
        if slot
            .as_ref()
            .is_none_or(|found| found.number < entry.number)
        {
            *slot = Some(entry);
        }
    }

    fn content(&self, number: u64) -> SlotContent {
        let Some(slot) = self.slot(number) else {
            return SlotContent::Missing;
        };
        let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(found) if found.number == number => SlotContent::Entry(found.entry.clone()),
            Some(found) if found.number > number => SlotContent::Replaced,
            Some(_) | None => SlotContent::Missing,
        }
    }

    fn slot(&self, number: u64) -> Option<&LogSlot> {
        let index = number.checked_rem(self.capacity as u64)?;
        let index = usize::try_from(index).ok()?;
        let length = self.capacity.min(SLOTS_PER_BLOCK);
        let block = self.blocks.get(index / SLOTS_PER_BLOCK)?;
        let allocate = || (0..length).map(|_| LogSlot::default()).collect();
        block.get_or_init(allocate).get(index % SLOTS_PER_BLOCK)
    }
}
