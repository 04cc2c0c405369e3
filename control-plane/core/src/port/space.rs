//! Room of a store. Less important writes end first, so that deletions and revocations always find room:
//!
//! ```text
//! of the quota        60 %            80 %                   95 %
//!   everything   |  + warning  |  no observations  |  deletions and revocations only
//! ```

use crate::command::WritePriority;

/// Share of the quota, in percent, from which on operators are warned.
const WARNED_PERCENT: u64 = 60;
/// Share of the quota, in percent, from which on no observations are stored.
const CROWDED_PERCENT: u64 = 80;
/// Share of the quota, in percent, from which on only deletions and revocations are stored.
const RESERVED_PERCENT: u64 = 95;

/// Measured room of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSpace {
    /// Bytes that count against the quota, of the fullest member.
    pub used: u64,
    /// Part of `used` that the store can return without deleting anything.
    pub reusable: u64,
    /// Maximum of `used`.
    pub quota: u64,
    /// True if the store refuses writes for lack of room.
    pub is_full: bool,
    /// Next step for an operator.
    pub remedy: &'static str,
}

/// Fill level of a store, from empty to full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpaceLevel {
    /// Room for everything.
    #[default]
    Ample,
    /// Room for everything; operators are warned.
    Warned,
    /// Room for what operators write.
    Crowded,
    /// Room for deletions and revocations.
    Reserved,
}

impl StoreSpace {
    /// Returns the used share in percent.
    pub fn percent(&self) -> u64 {
        let share = self.used.saturating_mul(100).checked_div(self.quota);
        share.unwrap_or_default()
    }

    /// Returns `true` if a write of this priority may be made.
    pub fn admits(&self, priority: WritePriority) -> bool {
        let last = match priority {
            WritePriority::Observation => SpaceLevel::Warned,
            WritePriority::Configuration => SpaceLevel::Crowded,
            WritePriority::Removal => SpaceLevel::Reserved,
        };
        self.level() <= last
    }

    /// Returns the fill level.
    pub fn level(&self) -> SpaceLevel {
        match self.percent() {
            _ if self.is_full => SpaceLevel::Reserved,
            RESERVED_PERCENT.. => SpaceLevel::Reserved,
            CROWDED_PERCENT.. => SpaceLevel::Crowded,
            WARNED_PERCENT.. => SpaceLevel::Warned,
            _ => SpaceLevel::Ample,
        }
    }
}

#[cfg(test)]
mod tests;
