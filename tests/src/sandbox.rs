//! One scenario's own corner of the machine: a folder for data and logs. It is removed when the
//! scenario passes and kept, with its path printed, when it does not.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

/// A folder for one scenario.
#[derive(Debug)]
pub struct Sandbox {
    folder: Option<TempDir>,
    path: PathBuf,
}

impl Sandbox {
    /// A fresh folder; `name` is for whoever finds it after a failure.
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

    /// The folder itself: logs lie here.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// How much of each log is shown when a scenario fails.
const TAIL: usize = 20;

fn last_words(folder: &Path) -> std::io::Result<()> {
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
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
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
            // Nothing can be done about a standard error that is closed.
            drop(last_words(&folder.keep()));
        }
    }
}
