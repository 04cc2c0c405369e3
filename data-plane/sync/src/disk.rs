//! Files that a proxy keeps across restarts.
//!
//! Each file is sealed with XChaCha20-Poly1305. The key is stored beside the files, readable by its owner only. A
//! copied file can thus be neither read nor modified unnoticed, and no file can take the place of another. Files are
//! replaced atomically.

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

/// Directory of sealed files.
pub(crate) struct SealedDirectory {
    folder: PathBuf,
    cipher: XChaCha20Poly1305,
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

impl SealedDirectory {
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

    /// Seals `plain` and replaces the file `name` with it.
    pub(crate) fn save(&self, name: &'static str, plain: &[u8]) -> Result<(), DiskError> {
        let path = self.path(name);
        let nonce: [u8; NONCE] = random::bytes();
        let payload = Payload {
            msg: plain,
            aad: name.as_bytes(),
        };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed =
            sealed.map_err(|_too_long| io_error(&path, io::ErrorKind::FileTooLarge.into()))?;
        let temporary = self.folder.join(format!("{name}.new"));
        let write = || {
            if let Err(error) = fs::remove_file(&temporary)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            write_new(&temporary, &[nonce.as_slice(), &sealed].concat())?;
            fs::rename(&temporary, &path)?;
            // Without the sync, the rename may be lost in a crash.
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| io_error(&path, source))
    }

    /// Removes the file `name` if it exists.
    pub(crate) fn remove(&self, name: &'static str) {
        let path = self.path(name);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot be removed");
        }
    }

    /// Returns the content of the file `name`. A file that cannot be opened is moved aside, logged and treated as
    /// absent: the proxy must start regardless.
    pub(crate) fn load(&self, name: &'static str) -> Option<Zeroizing<Vec<u8>>> {
        let path = self.path(name);
        let sealed = match read_limited(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot be read; going on without");
                return None;
            }
        };
        let opened = self.open_sealed(name, &sealed);
        if opened.is_none() {
            self.quarantine(name);
        }
        opened
    }

    /// Renames an unusable file, so that it can be examined later.
    pub(crate) fn quarantine(&self, name: &'static str) {
        let (path, aside) = (self.path(name), self.folder.join(format!("{name}.bad")));
        let moved = fs::rename(&path, &aside).is_ok();
        tracing::warn!(path = %path.display(), moved, "damaged or of another folder; going on without");
    }

    fn open_sealed(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, msg) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg,
            aad: name.as_bytes(),
        };
        self.cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .ok()
            .map(Zeroizing::new)
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

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
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

fn io_error(path: &Path, source: io::Error) -> DiskError {
    DiskError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
