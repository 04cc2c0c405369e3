//! A wall clock that differs from that of the machine, for one process. Monotonic time is not changed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::sandbox::Sandbox;

/// Library of the package `faketime`, for programs with threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Dynamic loader, which has the same name on every architecture (ld.so(8)).
const LOADER: &str = "ld.so";

/// Clock of one process, which can be set while the process runs.
#[derive(Debug, Clone)]
pub struct ShiftedClock {
    file: PathBuf,
    library: PathBuf,
}

impl ShiftedClock {
    /// Creates a clock with this difference, such as `+180s` or `-3d`.
    pub fn new(sandbox: &Sandbox, name: &str, difference: &str) -> Result<Self> {
        let library = library().context("faketime is missing: `make test` installs it")?;
        let clock = Self {
            file: sandbox.join(&format!("{name}.clock")),
            library,
        };
        clock.set(difference)?;
        Ok(clock)
    }

    /// Sets the difference. The process notices it within a second.
    pub fn set(&self, difference: &str) -> Result<()> {
        Ok(std::fs::write(&self.file, format!("{difference}\n"))?)
    }

    /// Makes a process that is started by `command` read this clock: the dynamic loader starts its program with the library.
    pub fn apply(&self, command: &mut Command) {
        let mut loaded = Command::new(LOADER);
        loaded.arg("--preload").arg(&self.library);
        loaded.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => loaded.env(name, value),
                None => loaded.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            loaded.current_dir(folder);
        }
        *command = loaded;
        command
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }
}

/// Returns the library, which is in a folder of the machine's architecture.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let mut paths = folders.filter_map(|entry| Some(entry.ok()?.path().join(LIBRARY)));
    paths.find(|path| path.is_file())
}
