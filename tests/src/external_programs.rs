//! Locations of the external programs that the scenarios need. A missing program is a failure, not a reason to skip.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

/// Root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default()
}

fn tools_folder() -> PathBuf {
    std::env::var_os("TOOLGATE_TEST_TOOLS")
        .map_or_else(|| repository().join("target/test-tools"), PathBuf::from)
}

fn existing_path(path: PathBuf) -> Result<PathBuf> {
    if !path.exists() {
        bail!("{} is missing: `make test` installs it", path.display());
    }
    Ok(path)
}

/// Folder of the installed node packages.
pub fn clients() -> Result<PathBuf> {
    existing_path(tools_folder().join("clients"))
}

/// Node 22, which the conformance suite needs.
pub fn node() -> Result<PathBuf> {
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    existing_path(clients()?.join(format!("node_modules/node-linux-{machine}/bin/node")))
}

/// A file of a node package.
pub fn package(path: &str) -> Result<PathBuf> {
    existing_path(clients()?.join("node_modules").join(path))
}

/// Python with the `mcp` package of this generation.
pub fn python(generation: u8) -> Result<PathBuf> {
    existing_path(tools_folder().join(format!("venv-mcp{generation}/bin/python")))
}

/// A script of `tests/clients`.
pub fn script(name: &str) -> Result<PathBuf> {
    existing_path(repository().join("tests/clients").join(name))
}

/// Program from a package manager: searched among the tools, then on the path.
pub fn program(name: &str) -> Result<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let own = [tools_folder().join("bin"), PathBuf::from("/usr/sbin")];
    own.into_iter()
        .chain(std::env::split_paths(&search))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is missing: `make test` installs it"))
}

/// `target/<profile>`, which contains this test program and the fixture.
fn target_folder() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    test.ancestors()
        .nth(2)
        .map(Path::to_owned)
        .context("where is target/<profile>?")
}

/// The fixture server, built together with the tests.
pub fn fixture() -> Result<PathBuf> {
    existing_path(target_folder()?.join("fixture"))
}

/// The product binary. Cargo does not rebuild it for the tests of another package, so this function does.
pub fn toolgate() -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    if let Some(given) = std::env::var_os("TOOLGATE_TEST_BINARY") {
        return existing_path(PathBuf::from(given));
    }
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    let profile = target_folder()?;
    let name = profile
        .file_name()
        .and_then(|n| n.to_str())
        .context("a profile without a name")?;
    let name = if name == "debug" { "dev" } else { name };
    let target = profile
        .parent()
        .context("a profile without a target folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(repository())
        .args([
            "build",
            "--quiet",
            "--package",
            "toolgate",
            "--profile",
            name,
            "--target-dir",
        ])
        .arg(target)
        .output()?;
    if !output.status.success() {
        bail!(
            "toolgate does not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    existing_path(profile.join("toolgate"))
}
