//! Listing of the store for a comparison: keys first, and then the values of the pages that have entries of other revisions
//! than the known state.

use futures_util::future::join_all;
use toolgate_control_core::{
    ControlObject, ListedObject, Revision, StoreState,
    key::ROOT,
    port::{KeyValue, Store, StoreError},
};
use toolgate_model::Timestamp;

use crate::{
    receipt::{RecordReceipt, received},
    record_codec,
};

/// Number of entries in one page of a listing.
const PAGE_ENTRIES: usize = 500;
/// Maximum number of earlier forms that are read of an entry that cannot be read.
const MAX_FORMS_READ: usize = 3;
/// Maximum number of reads of earlier forms at a time.
const MAX_CONCURRENT_READS: usize = 32;

/// Entries of the store and the revision that they were listed at.
pub(super) type StoreListing = (Vec<ListedObject>, Revision);

/// Returns `true` if `known` has the entry at this revision, and could read it.
fn is_unchanged(known: &StoreState, key: &str, mod_revision: Revision) -> bool {
    known.mod_revision(key) == Some(mod_revision) && !known.quarantine.contains_key(key)
}

/// Lists all entries of the store at one revision. If `known` has all entries of a page at the same revisions, only its keys
/// are read. Of another page, only the entries that `known` does not have are decoded. The last readable forms of entries
/// that cannot be read, if the history has them, precede all entries.
pub(super) async fn list(
    store: &dyn Store,
    known: &StoreState,
    now: Timestamp,
) -> Result<StoreListing, StoreError> {
    let (mut listing, mut unreadable) = (Vec::new(), Vec::new());
    let (mut at, mut after) = (None, None::<String>);
    loop {
        if known.revision() > 0 {
            let page = store
                .list_keys(ROOT, after.as_deref(), PAGE_ENTRIES, at)
                .await?;
            at = Some(page.revision);
            if page
                .keys
                .iter()
                .all(|it| is_unchanged(known, &it.key, it.mod_revision))
            {
                after = page.keys.last().map(|it| it.key.clone());
                listing.extend(page.keys.into_iter().map(|it| ListedObject {
                    key: it.key,
                    mod_revision: it.mod_revision,
                    object: None,
                }));
                if !page.more || after.is_none() {
                    return Ok((
                        with_earlier_forms(store, listing, &unreadable).await,
                        page.revision,
                    ));
                }
                continue;
            }
        }
        let page = store.list(ROOT, after.as_deref(), PAGE_ENTRIES, at).await?;
        at = Some(page.revision);
        after = page.entries.last().map(|entry| entry.key.clone());
        for entry in page.entries {
            let unchanged = is_unchanged(known, &entry.key, entry.mod_revision);
            let before = known.mod_revision(&entry.key);
            let receipt = match before {
                Some(_) => RecordReceipt::Written,
                None => RecordReceipt::Found,
            };
            let object = (!unchanged).then(|| decode(&entry, receipt, now));
            if matches!(object, Some(Err(_))) && before.is_none() {
                unreadable.push((entry.key.clone(), entry.mod_revision));
            }
            listing.push(ListedObject {
                key: entry.key,
                mod_revision: entry.mod_revision,
                object,
            });
        }
        if !page.more || after.is_none() {
            return Ok((
                with_earlier_forms(store, listing, &unreadable).await,
                page.revision,
            ));
        }
    }
}

/// Returns a listing preceded by the last readable forms of entries that cannot be read.
async fn with_earlier_forms(
    store: &dyn Store,
    mut listing: Vec<ListedObject>,
    unreadable: &[(String, Revision)],
) -> Vec<ListedObject> {
    let mut all = earlier_forms(store, unreadable).await;
    all.append(&mut listing);
    all
}

/// Returns the last readable forms of entries that cannot be read. Many are read at a time, so that they do not delay a
/// start.
async fn earlier_forms(store: &dyn Store, unreadable: &[(String, Revision)]) -> Vec<ListedObject> {
    let mut forms = Vec::new();
    for entries in unreadable.chunks(MAX_CONCURRENT_READS) {
        let reads = entries
            .iter()
            .map(|(key, modified)| last_readable(store, key, *modified));
        forms.extend(join_all(reads).await.into_iter().flatten());
    }
    forms
}

/// Returns the last readable form of an entry that cannot be read, from the history of the store.
async fn last_readable(store: &dyn Store, key: &str, modified: Revision) -> Option<ListedObject> {
    let mut before = modified;
    for _ in 0..MAX_FORMS_READ {
        let at = Some(before.checked_sub(1)?);
        // Compacted history has no earlier form.
        let page = store.list(key, None, 1, at).await.ok()?;
        let mut entries = page.entries.into_iter();
        let entry = entries.find(|entry| entry.key == key)?;
        let object = record_codec::decode(&entry.key, &entry.value).map(|it| it.object);
        if object.is_ok() {
            return Some(ListedObject {
                key: entry.key,
                mod_revision: entry.mod_revision,
                object: Some(object),
            });
        }
        before = entry.mod_revision;
    }
    None
}

pub(super) fn decode(
    entry: &KeyValue,
    receipt: RecordReceipt,
    now: Timestamp,
) -> Result<ControlObject, String> {
    let record = record_codec::decode(&entry.key, &entry.value)?;
    Ok(received(record, receipt, now))
}
