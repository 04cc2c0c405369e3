//! A small disk: a tmpfs of a few mebibytes in a mount namespace of its own, which needs no rights on the machine.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::clock;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;

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
    /// Mounts a disk of this many bytes. Fails if the machine allows no user namespaces.
    pub async fn mount(sandbox: &Sandbox, bytes: u64) -> Result<Self> {
        let folder = sandbox.join("disk");
        fs::create_dir_all(&folder)?;
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            HOLDER,
            "sh",
        ]);
        command.arg(bytes.to_string()).arg(&folder);
        let holder = TestProcess::start("disk", sandbox.path(), command)?;
        let mut disk = Self { holder, folder };
        let mounted = disk.outside(&disk.folder.join("mounted"));
        let start = clock::now();
        while !mounted.exists() {
            disk.holder.ensure_running().context(
                "no small disk: unshare(1) of util-linux, and user namespaces, are needed",
            )?;
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

    /// Command that runs `command` inside the namespace.
    #[must_use]
    pub fn enter(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.args(["--target", &self.holder.id().to_string()]);
        entered.args(["--user", "--mount", "--preserve-credentials"]);
        entered.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(name, value),
                None => entered.env_remove(name),
            };
        }
        entered
    }

    /// Fills what is left with a file.
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
