//! Files that a proxy keeps across restarts.
//!
//! Each file is encrypted with XChaCha20-Poly1305. The key is stored beside the files, readable by its owner only. A
//! copied file can thus be neither read nor modified unnoticed, and no file can take the place of another. Files are
//! replaced atomically. Each state of a file has an identity, by which other files can belong to it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use toolgate_runtime::random;
use zeroize::Zeroizing;

const KEY_FILE: &str = "local.key";
const NONCE: usize = 24;

/// Maximum size of a file that is read, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024 * 1024;

/// Directory of encrypted files.
pub(crate) struct EncryptedDirectory {
    folder: PathBuf,
    cipher: XChaCha20Poly1305,
}

/// Identity of one state of a file: its nonce, which is random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(pub(crate) [u8; NONCE]);

/// Opened content of a file.
pub(crate) struct LoadedFile {
    pub(crate) id: FileId,
    /// Length of the file.
    pub(crate) length: u64,
    pub(crate) content: Zeroizing<Vec<u8>>,
}

/// New state of a file, which is complete on disk and does not replace the former one yet.
#[derive(Debug)]
pub(crate) struct PreparedFile {
    pub(crate) id: FileId,
    /// Length of the file.
    pub(crate) length: u64,
    temporary: PathBuf,
    path: PathBuf,
}

/// Error of an unusable data directory.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Reading or writing failed.
    #[error("cannot use {path}: {source}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The key file is readable by other users.
    #[error(
        "the key file {path} may be read by others (mode {mode:o}): run `chmod 600 {path}`, or delete the folder to start anew"
    )]
    Exposed {
        /// Key file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// The key file does not contain a key.
    #[error("the key file {path} does not hold a key: delete the folder to start anew")]
    Malformed {
        /// Key file.
        path: PathBuf,
    },
}

impl EncryptedDirectory {
    /// Opens the directory; creates it with a new key if it does not exist.
    pub(crate) fn open(folder: &Path) -> Result<Self, DiskError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| io_error(folder, source))?;
        let path = folder.join(KEY_FILE);
        let key = match read_key(&path)? {
            Some(key) => key,
            None => {
                let key = Zeroizing::new(random::bytes::<32>());
                // If another process was faster, the key in the file is used.
                match write_new(&path, &*key) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        read_key(&path)?.ok_or(DiskError::Malformed { path })?
                    }
                    written => written
                        .map(|()| key)
                        .map_err(|source| io_error(&path, source))?,
                }
            }
        };
        let cipher = XChaCha20Poly1305::new((&*key).into());
        Ok(Self {
            folder: folder.to_owned(),
            cipher,
        })
    }

    /// Encrypts `plain` and replaces the file `name` with it.
    pub(crate) fn save(&self, name: &'static str, plain: &[u8]) -> Result<(), DiskError> {
        self.commit(self.prepare(name, &format!("{name}.new"), plain)?)
    }

    /// Returns `true` if there is a file `name`, readable or not.
    pub(crate) fn contains(&self, name: &str) -> bool {
        match fs::symlink_metadata(self.path(name)) {
            Ok(_file) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Encrypts `plain` for the file `name` and writes it to the file `temporary` beside it. A failure leaves nothing behind.
    pub(crate) fn prepare(
        &self,
        name: &'static str,
        temporary: &str,
        plain: &[u8],
    ) -> Result<PreparedFile, DiskError> {
        let path = self.path(name);
        let temporary = self.folder.join(temporary);
        let write = || -> io::Result<(FileId, u64)> {
            let (id, encrypted) = self.encrypt(name.as_bytes(), plain)?;
            remove_if_exists(&temporary)?;
            write_new(&temporary, &encrypted)?;
            Ok((id, encrypted.len() as u64))
        };
        match write() {
            Ok((id, length)) => Ok(PreparedFile {
                id,
                length,
                temporary,
                path,
            }),
            Err(source) => {
                // A part of a file would occupy a disk that may be full.
                let _ignored = remove_if_exists(&temporary);
                Err(io_error(&path, source))
            }
        }
    }

    /// Replaces the file with its new state.
    pub(crate) fn commit(&self, prepared: PreparedFile) -> Result<(), DiskError> {
        let PreparedFile {
            temporary, path, ..
        } = prepared;
        let renamed = fs::rename(&temporary, &path);
        // Without the sync, the rename may be lost in a crash.
        let synced = renamed.and_then(|()| File::open(&self.folder)?.sync_all());
        synced.map_err(|source| io_error(&path, source))
    }

    /// Encrypts `plain` for the place that `aad` names. The result begins with the nonce.
    pub(crate) fn encrypt(&self, aad: &[u8], plain: &[u8]) -> io::Result<(FileId, Vec<u8>)> {
        let nonce: [u8; NONCE] = random::bytes();
        let payload = Payload { msg: plain, aad };
        let encrypted = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let mut encrypted =
            encrypted.map_err(|_too_long| io::Error::from(io::ErrorKind::FileTooLarge))?;
        drop(encrypted.splice(..0, nonce));
        Ok((FileId(nonce), encrypted))
    }

    /// Opens what [`encrypt`](Self::encrypt) returned for the same place.
    pub(crate) fn decrypt(
        &self,
        aad: &[u8],
        encrypted: &[u8],
    ) -> Option<(FileId, Zeroizing<Vec<u8>>)> {
        let (nonce, msg) = encrypted.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg, aad };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        Some((FileId(*nonce), Zeroizing::new(plain)))
    }

    /// Directory of the files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the file `name` if it exists.
    pub(crate) fn remove(&self, name: &'static str) {
        let path = self.path(name);
        if let Err(error) = remove_if_exists(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot be removed");
        }
    }

    /// Returns the content of the file `name`. A file that cannot be opened is moved aside, logged and treated as
    /// absent: the proxy must start regardless.
    pub(crate) fn load(&self, name: &'static str) -> Option<Zeroizing<Vec<u8>>> {
        self.load_file(name).map(|file| file.content)
    }

    /// Returns the content of the file `name` with its identity, like [`load`](Self::load).
    pub(crate) fn load_file(&self, name: &'static str) -> Option<LoadedFile> {
        let path = self.path(name);
        let encrypted = match read_limited(&path) {
            Ok(encrypted) => encrypted,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot be read; going on without");
                return None;
            }
        };
        let Some((id, content)) = self.decrypt(name.as_bytes(), &encrypted) else {
            self.quarantine(name);
            return None;
        };
        let length = encrypted.len() as u64;
        Some(LoadedFile {
            id,
            length,
            content,
        })
    }

    /// Renames an unusable file, so that it can be examined later.
    pub(crate) fn quarantine(&self, name: &'static str) {
        let (path, aside) = (self.path(name), self.folder.join(format!("{name}.bad")));
        let moved = fs::rename(&path, &aside).is_ok();
        tracing::warn!(path = %path.display(), moved, "damaged or of another folder; going on without");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.sealed"))
    }
}

fn read_key(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, DiskError> {
    let mode = match fs::metadata(path) {
        Ok(file) => file.mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(path, source)),
    };
    if mode & 0o077 != 0 {
        return Err(DiskError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(|source| io_error(path, source))?);
    let malformed = |_length| DiskError::Malformed {
        path: path.to_owned(),
    };
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(malformed)?;
    Ok(Some(Zeroizing::new(key)))
}

pub(crate) fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn io_error(path: &Path, source: io::Error) -> DiskError {
    DiskError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
