//! Real clients: one script each in `tests/clients`, which takes a URL and a token and prints its observations as JSON.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use crate::{external_programs, toolgate};

const CLIENT_TIMEOUT: Duration = Duration::from_secs(90);

/// Interpreter of a client script.
#[derive(Clone, Copy, Debug)]
pub enum ScriptRuntime {
    /// Node 22 and the packages of `tests/clients/package.json`.
    Node,
    /// Python with this generation of the `mcp` package.
    Python(u8),
}

/// A client: its name, its script with the arguments before the URL, and the version that it must negotiate.
#[derive(Clone, Copy, Debug)]
pub struct RealClient {
    /// Display name.
    pub name: &'static str,
    /// Interpreter of its script.
    pub runtime: ScriptRuntime,
    /// Script and arguments before the URL.
    pub arguments: &'static [&'static str],
    /// Protocol version that it must negotiate.
    pub version: &'static str,
}

/// Protocol version of the modern era.
pub const MODERN: &str = "2026-07-28";
/// Last protocol version of the legacy era.
pub const LEGACY: &str = "2025-11-25";

impl RealClient {
    /// Creates a client.
    #[must_use]
    pub const fn new(
        name: &'static str,
        runtime: ScriptRuntime,
        arguments: &'static [&'static str],
        version: &'static str,
    ) -> Self {
        Self {
            name,
            runtime,
            arguments,
            version,
        }
    }

    /// Runs the client with `home` as its home folder and returns its output, successful or not.
    pub async fn run(&self, home: &Path, url: &str, token: &str, rest: &[&str]) -> Result<Value> {
        let program = match self.runtime {
            ScriptRuntime::Node => external_programs::node()?,
            ScriptRuntime::Python(generation) => external_programs::python(generation)?,
        };
        let (script, before) = self
            .arguments
            .split_first()
            .context("a client without a script")?;
        let mut command = Command::new(program);
        command
            .arg(external_programs::script(script)?)
            .args(before)
            .args([url, token])
            .args(rest);
        command
            .env("CLIENTS", external_programs::clients()?)
            .env("HOME", home)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(CLIENT_TIMEOUT, command.output())
            .await
            .with_context(|| format!("{} does not end", self.name))??;
        let printed = toolgate::text(&output.stdout);
        serde_json::from_str(&printed).with_context(|| {
            let errors = toolgate::text(&output.stderr);
            format!("{} printed {printed}{errors}", self.name)
        })
    }
}
