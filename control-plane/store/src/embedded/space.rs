//! Room of the store file: what the file has, and what is free on its disk. A second file beside it is the reserve.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use rustix::fs::statvfs;
use tokio::task::spawn_blocking;
use toolgate_control_core::port::{StoreError, StoreSpace};

use super::{EmbeddedInner, EmbeddedStore};

/// Size of the reserve.
const RESERVE_BYTES: u64 = 1024 * 1024;
/// Next step when the disk fills up.
const REMEDY: &str = "free room on the disk of the data folder";
/// Free bytes below which a store whose last write found no room counts as full.
const LEAST_FREE: u64 = 256 * 1024;

impl EmbeddedStore {
    /// Runs `work` on a blocking thread, whether the database is open or not.
    pub(super) async fn on_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EmbeddedInner) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        match spawn_blocking(move || work(&shared)).await {
            Ok(result) => result.map_err(|error| StoreError::Unavailable(error.to_string())),
            Err(_) => Err(StoreError::Unavailable("the process is ending".to_owned())),
        }
    }
}

impl EmbeddedInner {
    pub(super) fn measure(&self) -> io::Result<StoreSpace> {
        let Some(path) = &self.path else {
            return Ok(StoreSpace::default());
        };
        let used = fs::metadata(path)?.len();
        let free = self.free_bytes()?;
        if free >= LEAST_FREE {
            self.full.store(false, Relaxed);
        }
        Ok(StoreSpace {
            used,
            reusable: 0,
            quota: used.saturating_add(free),
            is_full: self.full.load(Relaxed),
            remedy: REMEDY,
        })
    }

    /// Returns the bytes that the disk has left besides the reserve.
    fn free_bytes(&self) -> io::Result<u64> {
        let Some(path) = &self.path else {
            return Ok(0);
        };
        let disk = statvfs(path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn reserve(&self) -> Option<PathBuf> {
        let path = self.path.as_deref()?;
        Some(path.with_extension("reserve"))
    }

    pub(super) fn write_reserve(&self) -> io::Result<()> {
        let Some(reserve) = self.reserve().filter(|file| !file.exists()) else {
            return Ok(());
        };
        // On a disk that is nearly full, the reserve would take the room of writes.
        if self.free_bytes()? < 4 * RESERVE_BYTES {
            return Ok(());
        }
        let written = File::create(&reserve).and_then(|mut file| {
            io::copy(&mut io::repeat(0).take(RESERVE_BYTES), &mut file)?;
            file.sync_all()
        });
        if written.is_err() {
            // Half of it would take the room that is left.
            fs::remove_file(&reserve)?;
        }
        written
    }

    pub(super) fn give_up_reserve(&self) -> io::Result<()> {
        match self.reserve().map(fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Some(_) | None => Ok(()),
        }
    }
}
