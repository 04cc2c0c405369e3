//! Table definitions. The parent module shows the layout.

use redb::TableDefinition;

/// Maps a key to its revision and lease (0 for none).
pub(super) const CURRENT: TableDefinition<'_, &str, (u64, i64)> = TableDefinition::new("current");
/// Maps a key and revision to the value; `None` for a deletion.
pub(super) const VERSIONS: TableDefinition<'_, (&str, u64), Option<&[u8]>> =
    TableDefinition::new("versions");
/// Maps a revision and index to the key.
pub(super) const LOG: TableDefinition<'_, (u64, u32), &str> = TableDefinition::new("log");
/// Maps a lease to its TTL in seconds.
pub(super) const LEASES: TableDefinition<'_, i64, u64> = TableDefinition::new("leases");
/// Keys attached to each lease.
pub(super) const LEASE_KEYS: TableDefinition<'_, (i64, &str), ()> =
    TableDefinition::new("lease_keys");
/// Maps a counter name to its value.
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");

/// Counter of the latest revision.
pub(super) const REVISION: &str = "revision";
/// Counter of the compacted revision: history up to it is removed.
pub(super) const COMPACTED: &str = "compacted";
/// Counter of the last granted lease.
pub(super) const LEASE: &str = "lease";
