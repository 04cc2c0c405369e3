//! Access to the store file. After an error of the file, such as a full disk, redb refuses everything until the file is
//! opened again. The next operation does that.

use std::sync::{
    PoisonError,
    atomic::Ordering::{Relaxed, SeqCst},
};

use redb::Database;
use toolgate_control_core::port::StoreError;

use super::{EmbeddedInner, error::is_full};

impl EmbeddedInner {
    /// Runs `work` on the open database. Opens the file again first, if the last operation failed.
    pub(super) fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.reopen_after_failure()?;
        let result = {
            let database = self.database.read();
            let database = database.unwrap_or_else(PoisonError::into_inner);
            let open = database.as_ref().ok_or_else(|| self.not_open())?;
            work(open)
        };
        result.map_err(|error| self.record_failure(error))
    }

    fn reopen_after_failure(&self) -> Result<(), StoreError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        if !self.failed.load(SeqCst) {
            return Ok(());
        }
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if !self.failed.load(SeqCst) {
            return Ok(());
        }
        // The lock of the file ends with the old handle.
        drop(database.take());
        match Database::open(path) {
            Ok(open) => {
                *database = Some(open);
                self.failed.store(false, SeqCst);
                tracing::info!(path = %path.display(), "the store file is open again");
                Ok(())
            }
            Err(error) => match is_full(&error.into()) {
                true => Err(self.no_space()),
                false => Err(self.not_open()),
            },
        }
    }

    /// Notes errors of the file, and names the file in the error.
    fn record_failure(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::NoSpace(_) => {
                self.failed.store(true, SeqCst);
                self.full.store(true, Relaxed);
                self.no_space()
            }
            StoreError::Unavailable(_) => {
                self.failed.store(true, SeqCst);
                error
            }
            StoreError::Compacted(_)
            | StoreError::LeaseNotFound
            | StoreError::InvalidRequest(_)
            | StoreError::NotFollowed(_) => error,
        }
    }

    fn no_space(&self) -> StoreError {
        let path = self.path.as_deref().unwrap_or("memory".as_ref());
        StoreError::NoSpace(format!(
            "the disk that holds {} is full; free some room on it: writes go on by themselves",
            path.display()
        ))
    }

    /// Returns the error for a panic of redb over the content of the file.
    pub(super) fn damaged(&self) -> StoreError {
        let path = self.path.as_deref().unwrap_or("memory".as_ref());
        StoreError::Unavailable(format!(
            "{} cannot be read: a page of it is damaged; check the disk and restart, which checks the whole file",
            path.display()
        ))
    }

    fn not_open(&self) -> StoreError {
        let path = self.path.as_deref().unwrap_or("memory".as_ref());
        StoreError::Unavailable(format!(
            "{} cannot be opened again; check the disk: writes go on by themselves",
            path.display()
        ))
    }
}
