//! Reads at the latest or at an earlier revision.

use redb::{ReadTransaction, ReadableTable};
use toolgate_control_core::port::{
    KeyValue, Revision, StoreError, StoreEvent, StorePage, WatchBatch,
};

use super::{
    error::OrStoreError,
    tables::{COMPACTED, COUNTERS, CURRENT, LEASES, LOG, REVISION, VERSIONS},
};

/// Size in bytes at which a page or batch ends.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn counter(read: &ReadTransaction, name: &str) -> Result<u64, StoreError> {
    let counters = read.open_table(COUNTERS).or_store_error()?;
    let value = counters.get(name).or_store_error()?;
    Ok(value.map_or(0, |value| value.value()))
}

pub(super) fn leases(read: &ReadTransaction) -> Result<Vec<(i64, u64)>, StoreError> {
    let table = read.open_table(LEASES).or_store_error()?;
    let mut leases = Vec::new();
    for entry in table.iter().or_store_error()? {
        let (lease, ttl) = entry.or_store_error()?;
        leases.push((lease.value(), ttl.value()));
    }
    Ok(leases)
}

/// Parts of the entries that a page has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PageContent {
    Keys,
    KeysAndValues,
}

pub(super) fn list(
    read: &ReadTransaction,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    at: Option<Revision>,
    content: PageContent,
) -> Result<StorePage, StoreError> {
    let latest = counter(read, REVISION)?;
    let compacted = counter(read, COMPACTED)?;
    let revision = at.unwrap_or(latest);
    if revision < compacted {
        return Err(StoreError::Compacted(compacted));
    }
    if revision > latest {
        let reason = format!("revision {revision} lies in the future; the latest is {latest}");
        return Err(StoreError::InvalidRequest(reason));
    }
    let mut listing = PageBuilder::new(revision, limit, content);
    if revision == latest {
        listing.read_latest(read, prefix, after)?;
    } else {
        listing.read_at_revision(read, prefix, after)?;
    }
    Ok(listing.page)
}

struct PageBuilder {
    page: StorePage,
    limit: usize,
    bytes: usize,
    content: PageContent,
}

impl PageBuilder {
    fn new(revision: Revision, limit: usize, content: PageContent) -> Self {
        let page = StorePage {
            entries: Vec::new(),
            revision,
            more: false,
        };
        Self {
            page,
            limit,
            bytes: 0,
            content,
        }
    }

    /// Adds an entry if the page has room. Otherwise marks the page as incomplete and returns `false`.
    fn push(&mut self, key: &str, modified: Revision, value: &[u8]) -> bool {
        if self.page.entries.len() >= self.limit || self.bytes >= MAX_PAGE_BYTES {
            self.page.more = true;
            return false;
        }
        self.bytes += key.len() + value.len();
        self.page.entries.push(KeyValue {
            key: key.to_owned(),
            value: value.to_vec(),
            mod_revision: modified,
        });
        true
    }

    fn read_latest(
        &mut self,
        read: &ReadTransaction,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<(), StoreError> {
        let current = read.open_table(CURRENT).or_store_error()?;
        let versions = read.open_table(VERSIONS).or_store_error()?;
        for entry in current.range(start(prefix, after)..).or_store_error()? {
            let (key, state) = entry.or_store_error()?;
            let key = key.value();
            if !key.starts_with(prefix) {
                break;
            }
            if after.is_some_and(|after| key <= after) {
                continue;
            }
            let (modified, _) = state.value();
            if self.content == PageContent::Keys {
                if !self.push(key, modified, &[]) {
                    break;
                }
                continue;
            }
            let value = versions.get((key, modified)).or_store_error()?;
            let value = value.as_ref().and_then(|value| value.value());
            if !self.push(key, modified, value.unwrap_or_default()) {
                break;
            }
        }
        Ok(())
    }

    /// Reads the last version of each key up to the revision of the page.
    fn read_at_revision(
        &mut self,
        read: &ReadTransaction,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<(), StoreError> {
        let versions = read.open_table(VERSIONS).or_store_error()?;
        let content = self.content;
        let mut last: Option<KeyValue> = None;
        for entry in versions
            .range((start(prefix, after), 0)..)
            .or_store_error()?
        {
            let (key, value) = entry.or_store_error()?;
            let (key, revision) = key.value();
            if !key.starts_with(prefix) {
                break;
            }
            if revision > self.page.revision || after.is_some_and(|after| key <= after) {
                continue;
            }
            if last.as_ref().is_some_and(|last| last.key != key) && !self.push_pending(&mut last) {
                return Ok(());
            }
            last = value.value().map(|value| KeyValue {
                key: key.to_owned(),
                value: match content {
                    PageContent::Keys => Vec::new(),
                    PageContent::KeysAndValues => value.to_vec(),
                },
                mod_revision: revision,
            });
        }
        self.push_pending(&mut last);
        Ok(())
    }

    fn push_pending(&mut self, last: &mut Option<KeyValue>) -> bool {
        match last.take() {
            Some(entry) => self.push(&entry.key, entry.mod_revision, &entry.value),
            None => true,
        }
    }
}

fn start<'a>(prefix: &'a str, after: Option<&'a str>) -> &'a str {
    after.map_or(prefix, |after| after.max(prefix))
}

/// Returns the first changes under `prefix` from revision `from` on. Includes complete revisions only.
pub(super) fn changes(
    read: &ReadTransaction,
    prefix: &str,
    from: Revision,
) -> Result<WatchBatch, StoreError> {
    let compacted = counter(read, COMPACTED)?;
    if from <= compacted {
        return Err(StoreError::Compacted(compacted));
    }
    let log = read.open_table(LOG).or_store_error()?;
    let versions = read.open_table(VERSIONS).or_store_error()?;
    let mut batch = WatchBatch {
        events: Vec::new(),
        revision: counter(read, REVISION)?,
    };
    let mut bytes = 0;
    let mut last = from;
    for entry in log.range((from, 0)..).or_store_error()? {
        let (at, key) = entry.or_store_error()?;
        let (revision, _) = at.value();
        if revision > last && bytes >= MAX_PAGE_BYTES {
            batch.revision = last;
            break;
        }
        last = revision;
        let key = key.value();
        if !key.starts_with(prefix) {
            continue;
        }
        let value = versions.get((key, revision)).or_store_error()?;
        let value = value.as_ref().and_then(|value| value.value());
        bytes += key.len() + value.map_or(0, <[u8]>::len);
        batch.events.push(event(key.to_owned(), revision, value));
    }
    Ok(batch)
}

fn event(key: String, revision: Revision, value: Option<&[u8]>) -> StoreEvent {
    match value {
        Some(value) => StoreEvent::Put(KeyValue {
            key,
            value: value.to_vec(),
            mod_revision: revision,
        }),
        None => StoreEvent::Delete { key, revision },
    }
}
