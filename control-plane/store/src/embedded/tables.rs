//! The tables; see the drawing in the parent module.

use redb::TableDefinition;

/// Key to revision and lease (0 for none).
pub(super) const CURRENT: TableDefinition<'_, &str, (u64, i64)> = TableDefinition::new("current");
/// Key and revision to value; nothing for a deletion.
pub(super) const VERSIONS: TableDefinition<'_, (&str, u64), Option<&[u8]>> =
    TableDefinition::new("versions");
/// Revision and index to key.
pub(super) const LOG: TableDefinition<'_, (u64, u32), &str> = TableDefinition::new("log");
/// Lease to seconds.
pub(super) const LEASES: TableDefinition<'_, i64, u64> = TableDefinition::new("leases");
/// Lease and key.
pub(super) const LEASE_KEYS: TableDefinition<'_, (i64, &str), ()> =
    TableDefinition::new("lease_keys");
/// Name to number.
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");

/// The latest revision.
pub(super) const REVISION: &str = "revision";
/// History up to here is gone.
pub(super) const COMPACTED: &str = "compacted";
/// The last lease given.
pub(super) const LEASE: &str = "lease";
