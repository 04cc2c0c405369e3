//! A small disk: a tmpfs of a few mebibytes in a mount namespace of its own, which needs root or a user namespace.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::{clock, namespace, process};

/// Mounts the disk, and keeps the namespace until it is killed.
const HOLDER: &str =
    "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && touch \"$2/mounted\" && exec sleep infinity";

/// Mounted disk. Ends when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    holder: TestProcess,
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of this many bytes. Fails without root if the machine allows no user namespaces.
    pub async fn mount(sandbox: &Sandbox, bytes: u64) -> Result<Self> {
        let folder = sandbox.join("disk");
        fs::create_dir_all(&folder)?;
        let mut command = namespace::unshare(&["--mount"])?;
        command.args(["sh", "-c", HOLDER, "sh"]);
        command.arg(bytes.to_string()).arg(&folder);
        let holder = TestProcess::start("disk", sandbox.path(), command)?;
        let mut disk = Self { holder, folder };
        let mounted = disk.outside(&disk.folder.join("mounted"));
        let start = clock::now();
        while !mounted.exists() {
            disk.holder
                .ensure_running()
                .with_context(|| format!("no small disk: {}", namespace::REQUIREMENT))?;
            if start.elapsed() > clock::HANG_GUARD {
                bail!("the small disk was not mounted");
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Ok(disk)
    }

    /// Mount point, inside the namespace.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of a file of the disk for processes outside the namespace.
    #[must_use]
    pub fn outside(&self, file: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(file.strip_prefix("/").unwrap_or(file))
    }

    /// Returns a command that runs `command` inside the namespace.
    pub fn enter(&self, command: &Command) -> Result<Command> {
        let enter = namespace::enter_mounts(self.holder.id())?;
        Ok(process::wrap(enter, command))
    }

    /// Fills the rest of the disk with a file.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.outside(&self.folder.join("filler")))?;
        for piece in [64 * 1024, 4096] {
            loop {
                match file.write_all(&vec![b'x'; piece]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Removes the file of [`Self::fill`].
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.outside(&self.folder.join("filler")))?)
    }
}
