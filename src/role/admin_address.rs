//! File with the address of the admin API of a running `up`, for commands on this machine. It lies beside the admin
//! token.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::cli::client::{admin::ADDRESS_FILE, gateway_address};

/// File with an address in a data folder. It is removed on drop.
#[derive(Debug)]
pub struct AdminAddressFile {
    file: PathBuf,
}

impl AdminAddressFile {
    /// Writes `address` into the folder. Replaces a file that a crashed process left.
    pub fn create(data_dir: &Path, address: &str) -> anyhow::Result<Self> {
        let file = data_dir.join(ADDRESS_FILE);
        let failed = || format!("cannot write {}", file.display());
        // The file is created anew, so that its mode does not depend on a former file.
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
            let address = gateway_address::connectable_url(address);
            writeln!(opened, "{address}")
        });
        written.with_context(failed)?;
        Ok(Self { file })
    }
}

impl Drop for AdminAddressFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::debug!(%error, file = %self.file.display(), "the address stays where it lies");
        }
    }
}

#[cfg(test)]
mod tests;
