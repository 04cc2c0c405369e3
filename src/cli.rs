//! Command line of the control plane and of gateways. Every command is a struct of its arguments with a `run`
//! method; results go through [`output::OutputWriter`], failures are [`error::CliError`]s.

pub mod admin;
pub mod apply;
pub mod cell;
pub mod completion;
pub mod connect;
pub mod dial;
pub mod doctor;
pub mod fault;
pub mod fleet;
pub mod gateway;
pub mod kind;
pub mod known;
pub mod lines;
pub mod manifest;
pub mod mcp;
pub mod out;
pub mod prompts;
pub mod reading;
pub mod remedy;
pub mod resources;
pub mod schema;
pub mod server;
pub mod through;
pub mod token;
pub mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use toolgate_runtime::clock::{Clock as _, SystemClock};

use self::{
    fault::Fault,
    out::{Format, Out, OutputOptions},
};
use crate::role::RoleCommand;

/// One endpoint per gateway for many MCP servers.
#[derive(Debug, Parser)]
#[command(
    name = "toolgate",
    version,
    about,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Commands of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Commands that run a role of a deployment.
    #[command(flatten)]
    Role(RoleCommand),
    /// Commands that call the admin API or a gateway.
    #[command(flatten)]
    Ask(Box<Ask>),
}

/// Commands that run to completion.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Create and change objects as documents say.
    Apply(apply::Apply),
    /// Show what `apply` would change.
    Diff(apply::Diff),
    /// List objects of a kind, or some of them.
    Get(resources::Get),
    /// Show all there is to know of an object.
    Describe(resources::Describe),
    /// Delete objects.
    Delete(resources::Delete),
    /// Work with servers.
    #[command(subcommand)]
    Server(server::ServerCommand),
    /// Work with gateways.
    #[command(subcommand)]
    Gateway(gateway::GatewayCommand),
    /// Work with tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// List and call tools through a gateway.
    #[command(subcommand)]
    Tools(tools::ToolsCommand),
    /// List and fill in prompts through a gateway.
    #[command(subcommand)]
    Prompts(prompts::PromptsCommand),
    /// List and read resources through a gateway.
    #[command(subcommand)]
    Resources(reading::ResourcesCommand),
    /// Show, or write, the settings with which a client reaches a gateway.
    Connect(connect::Connect),
    /// Show which version every proxy should hold, holds and has acknowledged.
    Proxies(fleet::Proxies),
    /// Show the versions of the configuration, newest first.
    Versions(fleet::Versions),
    /// Look for what is wrong and say how to fix it.
    Doctor(doctor::Doctor),
    /// Print what a shell needs to complete commands and names.
    Completion(completion::Completion),
}

/// Returns the exit code of the process. An error is printed to standard error first.
pub fn exit_code(done: Result<(), Fault>) -> ExitCode {
    let Err(fault) = done else {
        return ExitCode::SUCCESS;
    };
    let plain = OutputOptions {
        format: Format::Table,
        no_headers: false,
        quiet: false,
    };
    Out::standard(plain).fault(&fault);
    fault.exit_code()
}

/// Runs a command to completion.
pub async fn run(ask: Ask, out: &mut Out) -> Result<(), Fault> {
    Box::pin(dispatch(ask, out)).await
}

async fn dispatch(ask: Ask, out: &mut Out) -> Result<(), Fault> {
    match ask {
        Ask::Apply(command) => command.run(out).await,
        Ask::Diff(command) => command.run(out).await,
        Ask::Get(command) => command.run(out).await,
        Ask::Describe(command) => command.run(out).await,
        Ask::Delete(command) => command.run(out).await,
        Ask::Server(server::ServerCommand::Add(command)) => command.run(out).await,
        Ask::Server(server::ServerCommand::Probe(command)) => command.run(out).await,
        Ask::Gateway(gateway::GatewayCommand::Create(command)) => command.run(out).await,
        Ask::Token(token::TokenCommand::Create(command)) => command.run(out).await,
        Ask::Token(token::TokenCommand::Revoke(command)) => command.run(out).await,
        Ask::Tools(tools::ToolsCommand::List(command)) => command.run(out).await,
        Ask::Tools(tools::ToolsCommand::Call(command)) => command.run(out).await,
        Ask::Prompts(prompts::PromptsCommand::List(command)) => command.run(out).await,
        Ask::Prompts(prompts::PromptsCommand::Get(command)) => command.run(out).await,
        Ask::Resources(reading::ResourcesCommand::List(command)) => command.run(out).await,
        Ask::Resources(reading::ResourcesCommand::Read(command)) => command.run(out).await,
        Ask::Connect(command) => command.run(out).await,
        Ask::Proxies(command) => command.run(out).await,
        Ask::Versions(command) => command.run(out).await,
        Ask::Doctor(command) => command.run(out).await,
        Ask::Completion(command) => command.run(out),
    }
}

/// Returns the current time in Unix milliseconds.
pub fn now() -> u64 {
    SystemClock.now().0
}

#[cfg(test)]
mod tests;
