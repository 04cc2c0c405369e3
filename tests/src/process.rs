//! A real process: its output goes to files, and it is signalled and ended by its id, never by its name.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock;

/// Process that ends when this value is dropped.
#[derive(Debug)]
pub struct TestProcess {
    name: String,
    child: Child,
    folder: PathBuf,
}

/// Adds the program, the arguments, the environment and the folder of `command` to `wrapper`, which starts its arguments.
pub fn wrap(mut wrapper: Command, command: &Command) -> Command {
    wrapper.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapper.env(name, value),
            None => wrapper.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapper.current_dir(folder);
    }
    wrapper
}

impl TestProcess {
    /// Starts `command`, writing `<name>.out` and `<name>.err` into `folder`.
    pub fn start(name: &str, folder: &Path, mut command: Command) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let append = |end: &str| {
            let path = folder.join(format!("{name}.{end}"));
            File::options().create(true).append(true).open(path)
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(append("out")?)
            .stderr(append("err")?)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            folder: folder.to_owned(),
        })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.read("out")
    }

    /// Standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.read("err")
    }

    fn read(&self, end: &str) -> String {
        let bytes = fs::read(self.folder.join(format!("{}.{end}", self.name))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line of output that contains `text`.
    pub async fn wait_for_line(&mut self, text: &str, within: Duration) -> Result<String> {
        let start = clock::now();
        loop {
            let output = self.stdout();
            if let Some(line) = output.lines().find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            self.ensure_running()?;
            if start.elapsed() > within {
                bail!(
                    "{}: no line with {text:?} within {within:?}; it said:\n{output}",
                    self.name
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails with the end of its standard error if it has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let errors = self.stderr();
            let tail: Vec<&str> = errors.lines().rev().take(30).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!(
                "{} ended with {status}:\n{}\n{}",
                self.name,
                self.stdout(),
                tail.join("\n")
            );
        }
        Ok(())
    }

    /// CPU time used so far.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name, in brackets, may contain any character.
        let (_, fields) = stat.rsplit_once(')').context("no stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        // Linux reports clock ticks of 10 ms, regardless of its internal clock.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Peak resident memory in bytes since [`Self::reset_peak`].
    pub fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Resets the peak resident memory.
    pub fn reset_peak(&self) -> Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.id()), "5").context("clear_refs")
    }

    /// Number of open file descriptors. A process of Toolgate allows no dumps, so that only root reads them.
    pub fn descriptors(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.id());
        let open = fs::read_dir(&folder);
        let open = open.with_context(|| format!("{folder}, which only root may read"))?;
        Ok(open.count())
    }

    /// Sets the soft limit of open file descriptors of the running process.
    pub fn limit_descriptors(&self, count: usize) -> Result<()> {
        let (pid, limit) = (self.id().to_string(), format!("--nofile={count}:"));
        let status = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status()?;
        if !status.success() {
            bail!("prlimit {limit} of {} ended with {status}", self.name);
        }
        Ok(())
    }

    fn status(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.with_context(|| format!("no {field}"))? * 1024)
    }

    /// Sends a signal by name: TERM, STOP, CONT.
    pub fn signal(&self, signal: &str) -> Result<()> {
        self::signal(self.id(), signal).with_context(|| self.name.clone())
    }

    /// Waits until the process has ended by itself.
    pub async fn wait_for_exit(&mut self, within: Duration) -> Result<ExitStatus> {
        let start = clock::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > within {
                bail!("{} did not end within {within:?}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the process, as a crash does.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Sends a signal by name to the process with this id.
pub fn signal(id: u32, signal: &str) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", signal, &id.to_string()])
        .status()?;
    if !status.success() {
        bail!("kill -s {signal} {id} ended with {status}");
    }
    Ok(())
}

impl Drop for TestProcess {
    fn drop(&mut self) {
        // The process may have ended already; errors are ignored.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
