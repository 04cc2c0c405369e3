//! A wall clock that differs from the clock of the machine, for one process. Monotonic time is not changed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::sandbox::Sandbox;

/// Program that starts another program with a shifted clock (faketime(1)).
const PROGRAM: &str = "faketime";

/// Clock of one process, which can be set while the process runs.
#[derive(Debug, Clone)]
pub struct ShiftedClock {
    file: PathBuf,
}

impl ShiftedClock {
    /// Creates a clock with this difference, such as `+180s` or `-3d`.
    pub fn new(sandbox: &Sandbox, name: &str, difference: &str) -> Result<Self> {
        let clock = Self {
            file: sandbox.join(&format!("{name}.clock")),
        };
        clock.set(difference)?;
        Ok(clock)
    }

    /// Sets the difference. The process notices it within a second.
    pub fn set(&self, difference: &str) -> Result<()> {
        Ok(std::fs::write(&self.file, format!("{difference}\n"))?)
    }

    /// Makes a process that is started by `command` read this clock: `faketime` starts its program.
    pub fn apply(&self, command: &mut Command) {
        let mut faketime = Command::new(PROGRAM);
        // The file decides, not the argument; and the process ends with the program that started it.
        faketime.args([
            "-f",
            "+0",
            "env",
            "-u",
            "FAKETIME",
            "setpriv",
            "--pdeathsig",
            "KILL",
        ]);
        *command = process::wrap(faketime, command);
        command
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }
}
