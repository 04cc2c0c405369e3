//! A folder for the data and logs of one scenario. It is removed when the scenario passes; otherwise it is kept and its
//! path is printed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

/// Folder of one scenario.
#[derive(Debug)]
pub struct Sandbox {
    folder: Option<TempDir>,
    path: PathBuf,
}

impl Sandbox {
    /// Creates a new folder; `name` identifies it after a failure.
    pub fn new(name: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("toolgate-{name}-"))
            .tempdir()?;
        let path = folder.path().to_owned();
        Ok(Self {
            folder: Some(folder),
            path,
        })
    }

    /// Path of the folder, which contains the logs.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path inside the folder.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Lines of each log that are printed when a scenario fails.
const LOG_TAIL_LINES: usize = 20;

fn print_log_tails(folder: &Path) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    writeln!(out, "logs and data are kept in {}", folder.display())?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|end| end == "err" || end == "out")
        {
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            writeln!(out, "---- {} ({} lines)", path.display(), lines.len())?;
            for line in lines
                .iter()
                .skip(lines.len().saturating_sub(LOG_TAIL_LINES))
            {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            // Errors of a closed standard error are ignored.
            drop(print_log_tails(&folder.keep()));
        }
    }
}
