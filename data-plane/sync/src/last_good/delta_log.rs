//! Append-only log of encrypted records. Each record is encrypted for its place: the base that the log belongs to, and its
//! number. What is read back is a prefix of what was appended: a record that is incomplete, damaged, or of another place
//! ends it.
//!
//! | bytes of a record | content |
//! |---|---|
//! | 4 | length of the rest, little-endian |
//! | 24 | nonce |
//! | all others | encrypted content |

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::disk::{DiskError, EncryptedDirectory, FileId, io_error, read_limited};

const PREFIX: &str = "view-";
const SUFFIX: &str = ".log";

/// Purpose of the records, as it is encrypted with them.
const PURPOSE: &[u8] = b"view.log";

/// Open log, written by one task.
#[derive(Debug)]
pub(super) struct DeltaLog {
    file: File,
    path: PathBuf,
    base: FileId,
    /// Number of records.
    records: u64,
    /// Length of all records. Bytes beyond are no part of the log.
    length: u64,
}

/// Content of a log.
#[derive(Debug, Default)]
pub(super) struct LogContent {
    pub(super) records: Vec<Zeroizing<Vec<u8>>>,
    /// Length of these records.
    length: u64,
}

impl DeltaLog {
    /// Creates an empty log of this base.
    pub(super) fn create(disk: &EncryptedDirectory, base: FileId) -> Result<Self, DiskError> {
        Self::resume(disk, base, &LogContent::default())
    }

    /// Opens the log of this base after what was read of it. The rest is cut off.
    pub(super) fn resume(
        disk: &EncryptedDirectory,
        base: FileId,
        content: &LogContent,
    ) -> Result<Self, DiskError> {
        let path = log_path(disk.folder(), base);
        let open = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&path)?;
            file.set_len(content.length)?;
            file.sync_all()?;
            File::open(disk.folder())?.sync_all()?;
            Ok(file)
        };
        let file = open().map_err(|source| io_error(&path, source))?;
        Ok(Self {
            file,
            path,
            base,
            records: content.records.len() as u64,
            length: content.length,
        })
    }

    /// Appends a record, which is durable afterwards. A failure leaves the log as it was, and the log usable; an error
    /// of [`Self::repair`] means that it is not.
    pub(super) fn append(
        &mut self,
        disk: &EncryptedDirectory,
        plain: &[u8],
    ) -> Result<(), DiskError> {
        let write = || -> io::Result<u64> {
            let (_id, encrypted) = disk.encrypt(&place(self.base, self.records), plain)?;
            let length = u32::try_from(encrypted.len());
            let length = length.map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
            let record = [length.to_le_bytes().as_slice(), &encrypted].concat();
            self.file.write_all_at(&record, self.length)?;
            self.file.sync_data()?;
            Ok(record.len() as u64)
        };
        let length = write().map_err(|source| io_error(&self.path, source))?;
        self.length += length;
        self.records += 1;
        Ok(())
    }

    /// Cuts off what a failed append has left.
    pub(super) fn repair(&self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_all()
    }

    /// Length of all records.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Deletes the log.
    pub(super) fn remove(self) {
        remove(&self.path);
    }
}

/// Reads the log of this base; `None` if that fails. A log that does not exist is empty.
pub(super) fn read(disk: &EncryptedDirectory, base: FileId) -> Option<LogContent> {
    let path = log_path(disk.folder(), base);
    let bytes = match read_limited(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some(LogContent::default());
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot be read; going on without");
            return None;
        }
    };
    let content = parse(disk, base, &bytes);
    let dropped = bytes.len() as u64 - content.length;
    if dropped > 0 {
        let records = content.records.len();
        tracing::warn!(path = %path.display(), records, dropped, "ends with bytes that are no record; they are ignored");
    }
    Some(content)
}

fn parse(disk: &EncryptedDirectory, base: FileId, bytes: &[u8]) -> LogContent {
    let mut content = LogContent::default();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        let encrypted = usize::try_from(length).ok();
        let Some((encrypted, after)) = encrypted.and_then(|length| after.split_at_checked(length))
        else {
            break;
        };
        let number = content.records.len() as u64;
        let Some((_id, record)) = disk.decrypt(&place(base, number), encrypted) else {
            break;
        };
        content.records.push(record);
        content.length += 4 + u64::from(length);
        rest = after;
    }
    content
}

/// Deletes the logs of other bases, which a crash may have left.
pub(super) fn remove_others(disk: &EncryptedDirectory, base: Option<FileId>) {
    let own = base.map(|base| log_path(disk.folder(), base));
    let Ok(files) = fs::read_dir(disk.folder()) else {
        return;
    };
    for file in files.flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        let is_log = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        if is_log && own.as_ref() != Some(&file.path()) {
            remove(&file.path());
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "cannot be removed");
    }
}

fn log_path(folder: &Path, base: FileId) -> PathBuf {
    let id: String = base.0.iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("{PREFIX}{id}{SUFFIX}"))
}

/// Place of a record, as it is encrypted with it.
fn place(base: FileId, record: u64) -> Vec<u8> {
    [PURPOSE, &base.0, &record.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests;
