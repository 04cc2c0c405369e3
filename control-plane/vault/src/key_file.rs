//! Key file with the key-encryption keys of a control plane. No other file gives access to the secrets in the store: the
//! key file and the store together give access to all of them. The file is therefore created readable by its owner only,
//! and rejected if others may read or write it.
//!
//! Each line is one key, newest first: `<id> <64 hexadecimal digits>`. The first key wraps, all keys open. To
//! rotate, add a line at the top and restart: all values are sealed again, and the older line can be removed. With
//! several control planes, first add the new line at the end of each file, so that all of them can open the values
//! that the first one wraps with it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use toolgate_runtime::random;
use zeroize::Zeroizing;

/// Maximum size of the key file in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Maximum number of keys in a file.
const MAX_KEYS: usize = 64;
/// Maximum length of a key id in bytes.
const MAX_KEY_ID_BYTES: usize = 40;

/// Key-encryption keys, newest first. No `Debug`, because it contains keys.
pub struct KeyEncryptionKeys {
    /// Boxed, so that a vector that grows leaves no copies behind.
    keys: Vec<(String, Box<Zeroizing<[u8; 32]>>)>,
}

/// Error of reading or creating a key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading or writing failed.
    #[error("cannot use the key file {path}: {source}")]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        source: io::Error,
    },
    /// The permissions allow other users to read the file.
    #[error(
        "the key file {path} may be read by others (mode {mode:o}): run `chmod 600 {path}` and, if anybody did, rotate the key"
    )]
    Exposed {
        /// Path of the file.
        path: PathBuf,
        /// Permissions of the file.
        mode: u32,
    },
    /// A line is not a key. The content is not shown.
    #[error("line {line} of the key file {path} is not `<id> <64 hexadecimal digits>`")]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// Line number, starting at 1.
        line: usize,
    },
    /// The file contains no key.
    #[error(
        "the key file {path} holds no key; restore it from its backup, for without it nothing sealed can be read"
    )]
    Empty {
        /// Path of the file.
        path: PathBuf,
    },
}

impl KeyEncryptionKeys {
    /// Reads the keys in the file at `path`. Creates the file with a new key if it does not exist.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyFileError> {
        if let Some(there) = Self::open_existing(path)? {
            return Ok(there);
        }
        create(path).map_err(|source| KeyFileError::Io {
            path: path.into(),
            source,
        })?;
        Self::open(path)
    }

    /// Reads the keys in the file at `path`; `None` if it does not exist.
    pub fn open_existing(path: &Path) -> Result<Option<Self>, KeyFileError> {
        match Self::open(path) {
            Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            done => done.map(Some),
        }
    }

    /// Reads the keys in the file at `path`.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let text = read_private(path)?;
        let mut keys = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let malformed = || KeyFileError::Malformed {
                path: path.into(),
                line: at + 1,
            };
            keys.push(parse_line(line).ok_or_else(malformed)?);
            if keys.len() > MAX_KEYS {
                return Err(malformed());
            }
        }
        if keys.is_empty() {
            return Err(KeyFileError::Empty { path: path.into() });
        }
        Ok(Self { keys })
    }

    /// Creates one key that is not stored, for stores that end with the process.
    pub fn ephemeral() -> Self {
        Self {
            keys: vec![(fresh_id(), Box::new(Zeroizing::new(random::bytes())))],
        }
    }

    /// Returns the key that wraps.
    pub(crate) fn newest(&self) -> Option<(&str, &[u8; 32])> {
        self.keys.first().map(|(id, key)| (id.as_str(), &***key))
    }

    /// Returns the key with this id.
    pub(crate) fn find(&self, id: &str) -> Option<&[u8; 32]> {
        self.keys
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, key)| &***key)
    }
}

/// Creates a file with a new key at `path` atomically. If a concurrent process creates it first, its file is kept.
fn create(path: &Path) -> io::Result<()> {
    let key = Zeroizing::new(random::bytes::<32>());
    let line = Zeroizing::new(format!("{} {}\n", fresh_id(), &*hex(&*key)));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".new-{}", fresh_id()));
    let written = write_new(Path::new(&temporary), line.as_bytes());
    // A hard link never replaces a file: two processes that start concurrently must not use different keys.
    let linked = written.and_then(|()| fs::hard_link(&temporary, path));
    let _removed = fs::remove_file(&temporary);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // The file system does not support hard links.
        Err(_) => match write_new(path, line.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            written => written?,
        },
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.into(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

fn parse_line(line: &str) -> Option<(String, Box<Zeroizing<[u8; 32]>>)> {
    let (id, digits) = line.trim().split_once(' ')?;
    let valid =
        !id.is_empty() && id.len() <= MAX_KEY_ID_BYTES && id.bytes().all(|b| b.is_ascii_graphic());
    let key = unhex(digits.trim())?;
    valid.then(|| (id.to_owned(), Box::new(key)))
}

fn fresh_id() -> String {
    let id: [u8; 4] = random::bytes();
    format!("k{}", &*hex(&id))
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn unhex(digits: &str) -> Option<Zeroizing<[u8; 32]>> {
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests;
