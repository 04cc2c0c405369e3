//! Maps redb errors to [`StoreError`].

use std::{
    io,
    path::{Path, PathBuf},
};

use redb::{DatabaseError, StorageError};
use toolgate_control_core::port::StoreError;

/// Error of opening the store file.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// The file is in use by another process.
    #[error(
        "{} is in use by another process; stop that one, or choose another data folder",
        .0.display()
    )]
    InUse(PathBuf),
    /// The file has an older format that this version does not read.
    #[error("{} has an old format (version {found}); restore it with the version that wrote it", .path.display())]
    OldFormat {
        /// Path of the file.
        path: PathBuf,
        /// Format version of the file.
        found: u8,
    },
    /// The content of the file is damaged.
    #[error(
        "the store file {} is damaged ({reason}). Restore it from a backup and start once with `--new-epoch`. Without a \
         backup, move it out of the data folder and begin a new deployment with `--new-deployment`", .path.display()
    )]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// Description of the damage.
        reason: String,
    },
    /// The file is not readable.
    #[error("{} cannot be opened: {reason}", .path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        reason: String,
    },
}

impl StoreOpenError {
    pub(super) fn from_redb(path: &Path, error: DatabaseError) -> Self {
        let path = path.to_owned();
        if let DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch = error {
            return Self::InUse(path);
        }
        if let DatabaseError::UpgradeRequired(found) = error {
            return Self::OldFormat { path, found };
        }
        let reason = error.to_string();
        match is_damage(&error) {
            true => Self::Damaged { path, reason },
            false => Self::Unreadable { path, reason },
        }
    }

    pub(super) fn damaged(path: &Path, reason: &str) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn from_io(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }

    pub(super) fn unreadable(path: &Path, error: StoreError) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }
}

/// Conversion of redb errors to [`StoreError`].
pub(super) trait OrStoreError<T> {
    fn or_store_error(self) -> Result<T, StoreError>;
}

impl<T, E: Into<redb::Error>> OrStoreError<T> for Result<T, E> {
    fn or_store_error(self) -> Result<T, StoreError> {
        self.map_err(|error| {
            let error = error.into();
            match is_full(&error) {
                true => StoreError::NoSpace("the disk of the store is full".to_owned()),
                false => StoreError::Unavailable(error.to_string()),
            }
        })
    }
}

/// Returns `true` if the error is a lack of room on the disk.
pub(super) fn is_full(error: &redb::Error) -> bool {
    let redb::Error::Io(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Returns `true` if the error means that the content of the file is damaged.
fn is_damage(error: &DatabaseError) -> bool {
    matches!(
        error,
        DatabaseError::RepairAborted | DatabaseError::Storage(StorageError::Corrupted(_))
    )
}
