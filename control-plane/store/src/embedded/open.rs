//! Opening of the store file. redb trusts a file that was closed properly and panics over damaged pages in it, so the pages
//! are checked against their checksums first. What panics all the same is caught here.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use redb::{Builder, Database, DatabaseError, RepairSession};

use super::error::StoreOpenError;

/// Progress of a check at which redb is about to give up the latest commit, because one of its pages is damaged.
const LOSES_COMMIT: std::ops::Range<f64> = 0.2..0.5;

/// Opens the file at `path`, or creates it, and checks all of its pages.
pub(super) fn open_checked(path: &Path) -> Result<Database, StoreOpenError> {
    let opened = catch(path, || {
        let mut builder = Builder::new();
        builder.set_check_integrity_on_open(true);
        builder.set_repair_callback(keep_latest_commit);
        builder.create(path)
    })?;
    match opened {
        Err(DatabaseError::RepairAborted) => recover(path),
        opened => opened.map_err(|error| StoreOpenError::from_redb(path, error)),
    }
}

/// Runs `work`, of which a panic means that the file is damaged.
pub(super) fn catch<T>(path: &Path, work: impl FnOnce() -> T) -> Result<T, StoreOpenError> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_panic| StoreOpenError::damaged(path, "a page has unexpected content"))
}

fn keep_latest_commit(session: &mut RepairSession) {
    if LOSES_COMMIT.contains(&session.progress()) {
        session.abort();
    }
}

/// Opens a file whose latest commit cannot be read completely. After a crash this is the commit that was interrupted, which
/// was not acknowledged. In a file that was closed properly it is damage: without the commit, the store would go back in time.
fn recover(path: &Path) -> Result<Database, StoreOpenError> {
    let was_interrupted = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&was_interrupted);
    catch(path, || {
        let mut builder = Builder::new();
        builder.set_repair_callback(move |_| noted.store(true, Relaxed));
        let opened = builder.open(path);
        let opened = opened.map_err(|error| StoreOpenError::from_redb(path, error))?;
        match was_interrupted.load(Relaxed) {
            true => Ok(opened),
            false => Err(StoreOpenError::damaged(
                path,
                "the checksum of a page is wrong",
            )),
        }
    })?
}
