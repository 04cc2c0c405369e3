//! Where `up` tells commands on this machine how to reach its admin API: a file beside the admin token, as long as it
//! runs.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::cli::{admin::ADDRESS_FILE, through};

/// An address that lies in a data folder; taken away again when this is dropped.
#[derive(Debug)]
pub struct Posted {
    file: PathBuf,
}

impl Posted {
    /// Writes `address` into the folder, in place of what one that crashed may have left.
    pub fn at(data_dir: &Path, address: &str) -> anyhow::Result<Self> {
        let file = data_dir.join(ADDRESS_FILE);
        let failed = || format!("cannot write {}", file.display());
        // Anew, so that the mode is ours whatever lay there.
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(failed);
            }
            Ok(()) | Err(_) => {}
        }
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file);
        let written = opened.and_then(|mut opened| {
            let address = through::reachable(address);
            writeln!(opened, "{address}")
        });
        written.with_context(failed)?;
        Ok(Self { file })
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::debug!(%error, file = %self.file.display(), "the address stays where it lies");
        }
    }
}

#[cfg(test)]
mod tests;
