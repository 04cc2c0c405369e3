//! Namespaces of Linux, in which a test has a network or mounts of its own. They are made by root where the tests run as root,
//! and otherwise in a user namespace.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use anyhow::{Context, Result};

/// Requirement that an error names when a namespace cannot be made.
pub const REQUIREMENT: &str =
    "unshare(1) and nsenter(1) of util-linux are needed, and root or user namespaces";

/// Flags of unshare(1) that make the user root in its namespaces.
const AS_ROOT: [&str; 2] = ["--user", "--map-root-user"];

/// Returns `true` if this process belongs to root, and needs no user namespace. In a container, a user namespace is often
/// forbidden.
fn is_root() -> Result<bool> {
    let own = fs::metadata("/proc/self").context("the owner of this process")?;
    Ok(own.uid() == 0)
}

/// Returns a command that runs its further arguments in new namespaces of these kinds, which are flags of unshare(1).
pub fn unshare(kinds: &[&str]) -> Result<Command> {
    let mut command = Command::new("unshare");
    if !is_root()? {
        command.args(AS_ROOT);
    }
    command.args(kinds);
    Ok(command)
}

/// Command that runs its further arguments in the mount namespace of a process that [`unshare`] started.
pub fn enter_mounts(process: u32) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.args(["--target", &process.to_string(), "--mount"]);
    if !is_root()? {
        command.args(["--user", "--preserve-credentials"]);
    }
    Ok(command)
}
