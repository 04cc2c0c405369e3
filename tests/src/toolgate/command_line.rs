//! The command line of the product.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::{COMMAND_TIMEOUT, ToolgateUp, command, text};
use crate::sandbox::Sandbox;

/// Command line of one control plane.
#[derive(Clone, Debug)]
pub struct CommandLine {
    address: String,
    token: String,
    endpoint: Option<String>,
    folder: PathBuf,
}

/// Starts a single process in a new sandbox; returns both, with the command line.
pub async fn start_deployment(name: &str) -> Result<(Sandbox, ToolgateUp, CommandLine)> {
    let sandbox = Sandbox::new(name)?;
    let up = ToolgateUp::start(&sandbox, &[]).await?;
    let cli = up.cli()?;
    Ok((sandbox, up, cli))
}

/// Runs a command, given as one line, that must succeed; returns its standard output.
pub async fn shown(cli: &CommandLine, line: &str) -> Result<String> {
    let words: Vec<_> = line.split(' ').collect();
    Ok(text(&cli.run(&words).await?.stdout))
}

/// Runs a command, given as one line, that must fail; returns its exit code and standard error.
pub async fn refused(cli: &CommandLine, line: &str) -> Result<(i32, String)> {
    let words: Vec<_> = line.split(' ').collect();
    cli.fails(&words).await
}

impl CommandLine {
    /// Creates a command line whose commands run in `folder`, which is also their home.
    #[must_use]
    pub fn new(address: &str, token: &str, folder: &Path) -> Self {
        let (address, token) = (address.to_owned(), token.to_owned());
        Self {
            address,
            token,
            endpoint: None,
            folder: folder.to_owned(),
        }
    }

    /// Sets the address of a proxy, for `tools` and `connect`.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: &str) -> Self {
        self.endpoint = Some(endpoint.to_owned());
        self
    }

    /// Uses another token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// Uses another address of the admin API.
    #[must_use]
    pub fn with_addr(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    /// Address of the admin API and token, as environment variables.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &str); 2] {
        [
            ("TOOLGATE_ADDR", &self.address),
            ("TOOLGATE_TOKEN", &self.token),
        ]
    }

    /// Runs a command and returns its output, successful or not.
    pub async fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(arguments)?;
        tokio::time::timeout(COMMAND_TIMEOUT, command.output())
            .await
            .with_context(|| format!("toolgate {arguments:?} does not end"))?
            .with_context(|| format!("toolgate {arguments:?}"))
    }

    /// A command without standard input, which ends with its value.
    pub fn command(&self, arguments: &[&str]) -> Result<tokio::process::Command> {
        let mut command = command()?;
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("HOME", &self.folder);
        command.envs(self.environment()).env("NO_COLOR", "1");
        if let Some(endpoint) = &self.endpoint {
            command.env("TOOLGATE_ENDPOINT", endpoint);
        }
        let mut command = tokio::process::Command::from(command);
        command
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs a command with text on its standard input and returns its output, successful or not.
    pub async fn output_of_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = self.command(arguments)?;
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        tokio::time::timeout(COMMAND_TIMEOUT, child.wait_with_output())
            .await
            .with_context(|| format!("toolgate {arguments:?} does not end"))?
            .with_context(|| format!("toolgate {arguments:?}"))
    }

    /// Runs a command that must succeed.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.output(arguments).await?;
        if !output.status.success() {
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            bail!(
                "toolgate {arguments:?} ended with {}:\n{out}\n{err}",
                output.status
            );
        }
        Ok(output)
    }

    /// Runs a command with `-o json` and parses what it prints.
    pub async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        let output = self.run(&all).await?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("toolgate {all:?} printed {}", text(&output.stdout)))
    }

    /// Runs a command that must fail; returns its exit code and standard error.
    pub async fn fails(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.output(arguments).await?;
        if output.status.success() {
            bail!(
                "toolgate {arguments:?} succeeded:\n{}",
                text(&output.stdout)
            );
        }
        let code = output.status.code().context("ended by a signal")?;
        Ok((code, text(&output.stderr)))
    }

    /// Creates a server, a gateway with the same name and a token for it; returns the token.
    pub async fn expose(&self, name: &str, url: &str, prefix: &str) -> Result<String> {
        self.run(&["server", "add", name, "--url", url]).await?;
        let gateway = [
            "gateway", "create", name, "--server", name, "--prefix", prefix,
        ];
        self.run(&gateway).await?;
        self.token(&format!("{name}-token"), &["--gateway", name])
            .await
    }

    /// Same as [`Self::expose`], with this spec of the server, in the flow style of YAML.
    pub async fn expose_spec(&self, name: &str, spec: &str, prefix: &str) -> Result<String> {
        let head = "apiVersion: toolgate/v1\nkind: Server";
        let file = self.folder.join(format!("{name}.yaml"));
        std::fs::write(
            &file,
            format!("{head}\nmetadata: {{name: {name}}}\nspec: {spec}\n"),
        )?;
        let file = file.to_str().context("a path that is no text")?;
        self.run(&["apply", "-f", file]).await?;
        let gateway = [
            "gateway", "create", name, "--server", name, "--prefix", prefix,
        ];
        self.run(&gateway).await?;
        self.token(&format!("{name}-token"), &["--gateway", name])
            .await
    }

    /// Allows all kinds of server requests in the relay policy of a server.
    pub async fn allow_all_requests(&self, name: &str, url: &str) -> Result<()> {
        let relay = "{elicitation: true, sampling: true, roots: true}";
        let document = format!(
            "apiVersion: toolgate/v1\nkind: Server\nmetadata:\n  name: {name}\nspec:\n  url: {url}\n  relay: {relay}\n"
        );
        let file = self.folder.join(format!("{name}.yaml"));
        std::fs::write(&file, document)?;
        let file = file.to_str().context("a path that is no text")?;
        self.run(&["apply", "-f", file]).await.map(drop)
    }

    /// Creates a bearer token.
    pub async fn token(&self, name: &str, flags: &[&str]) -> Result<String> {
        let mut arguments = vec!["token", "create", name];
        arguments.extend(flags);
        let made = self.json(&arguments).await?;
        let token = made.get("token").and_then(Value::as_str);
        token
            .map(str::to_owned)
            .with_context(|| format!("no token in {made}"))
    }
}
