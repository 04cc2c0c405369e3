//! Command line of the control plane and of gateways. Every command is a struct of its arguments with a `run`
//! method; results go through [`output::OutputWriter`], failures are [`output::error::CliError`]s.

pub mod arguments;
pub mod client;
pub mod commands;
pub mod output;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};
use toolgate_runtime::clock::{Clock as _, SystemClock};

use self::{
    commands::{
        credential::CredentialCommand, gateway::GatewayCommand,
        identity_provider::IdentityProviderCommand, mcp_resources::ResourcesCommand,
        prompts::PromptsCommand, server::ServerCommand, token::TokenCommand, tools::ToolsCommand,
    },
    output::{
        OutputFormat, OutputOptions, OutputWriter, connection_flags::ConnectionFlags,
        error::CliError,
    },
};
use crate::role::RoleCommand;

/// Help of the program.
const PROGRAM_HELP: &str = "Begin with `toolgate up`, which starts everything in one process and prints what to type next. `toolgate \
                            COMMAND --help` shows the arguments of a command, and examples; `toolgate explain` the kinds of objects \
                            and their fields; `toolgate doctor` looks for what is wrong.";

/// One endpoint per gateway for many MCP servers.
#[derive(Debug, Parser)]
#[command(
    name = "toolgate",
    version,
    about,
    after_help = PROGRAM_HELP,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Command to run.
    #[command(subcommand)]
    pub command: CliCommand,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Commands of the binary.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Commands that run a role of a deployment.
    #[command(flatten)]
    Role(RoleCommand),
    /// Commands that call the admin API or a gateway.
    #[command(flatten)]
    Client(Box<ClientCommand>),
}

/// Help of the commands for one kind.
const NOUN_HELP: &str = "Also: list, get, describe, edit, label, wait and delete, which work for all kinds, as in \
                         `toolgate server list`.";

/// Commands that run to completion.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Create and change objects as documents say.
    Apply(commands::apply::ApplyArgs),
    /// Show what `apply` would change.
    Diff(commands::apply::DiffArgs),
    /// List objects of a kind, or some of them.
    Get(commands::objects::GetObjectsArgs),
    /// Show all there is to know of an object.
    Describe(commands::describe::DescribeArgs),
    /// Delete objects.
    Delete(commands::delete::DeleteArgs),
    /// Open the document of an object in an editor, and apply it.
    Edit(commands::edit::EditArgs),
    /// Set and remove labels.
    Label(commands::label::LabelArgs),
    /// Wait until objects exist, are ready, or are deleted.
    Wait(commands::wait::WaitArgs),
    /// Describe kinds and their fields.
    Explain(commands::explain::ExplainArgs),
    /// Work with servers.
    #[command(subcommand, after_help = NOUN_HELP)]
    Server(commands::server::ServerCommand),
    /// Work with credentials.
    #[command(subcommand, after_help = NOUN_HELP)]
    Credential(commands::credential::CredentialCommand),
    /// Work with identity providers.
    #[command(subcommand, name = "idp", visible_alias = "identityprovider", after_help = NOUN_HELP)]
    IdentityProvider(commands::identity_provider::IdentityProviderCommand),
    /// Work with gateways.
    #[command(subcommand, after_help = NOUN_HELP)]
    Gateway(commands::gateway::GatewayCommand),
    /// Work with tokens.
    #[command(subcommand, after_help = NOUN_HELP)]
    Token(commands::token::TokenCommand),
    /// List and call tools through a gateway.
    #[command(subcommand)]
    Tools(commands::tools::ToolsCommand),
    /// List and fill in prompts through a gateway.
    #[command(subcommand)]
    Prompts(commands::prompts::PromptsCommand),
    /// List and read resources through a gateway.
    #[command(subcommand)]
    Resources(commands::mcp_resources::ResourcesCommand),
    /// Show, or write, the settings with which a client reaches a gateway.
    Connect(commands::connect::ConnectArgs),
    /// Show which version every proxy should hold, holds and has acknowledged.
    Proxies(commands::fleet::ProxiesArgs),
    /// Show the versions of the configuration, newest first.
    Versions(commands::fleet::VersionsArgs),
    /// Show changes of the configuration and the problems that exist.
    Events(commands::events::EventsArgs),
    /// Show the calls through a gateway as they happen.
    Logs(commands::logs::LogsArgs),
    /// Show the control plane and the token that commands use.
    Whoami(commands::whoami::WhoamiArgs),
    /// Look for what is wrong and say how to fix it.
    Doctor(commands::doctor::DoctorArgs),
    /// Print what a shell needs to complete commands and names.
    Completion(commands::completion::CompletionArgs),
}

/// Returns the exit code of the process. An error is printed to standard error first; commands in it get `flags`.
pub fn exit_code(done: Result<(), CliError>, flags: ConnectionFlags) -> ExitCode {
    let Err(fault) = done else {
        return ExitCode::SUCCESS;
    };
    let plain = OutputOptions {
        output: OutputFormat::Table.into(),
        no_headers: false,
        quiet: false,
    };
    OutputWriter::standard(plain, flags).error(&fault);
    fault.exit_code()
}

/// Returns the exit code of a command line that could not be parsed, after its error is printed.
pub fn usage_exit_code(fault: CliError, arguments: &[OsString]) -> ExitCode {
    exit_code(Err(fault), ConnectionFlags::of_words(arguments))
}

/// Runs a command to completion.
pub async fn run(command: ClientCommand, out: &mut OutputWriter) -> Result<(), CliError> {
    Box::pin(dispatch(command, out)).await
}

async fn dispatch(command: ClientCommand, out: &mut OutputWriter) -> Result<(), CliError> {
    match command {
        ClientCommand::Apply(command) => command.run(out).await,
        ClientCommand::Diff(command) => command.run(out).await,
        ClientCommand::Get(command) => command.run(out).await,
        ClientCommand::Describe(command) => command.run(out).await,
        ClientCommand::Delete(command) => command.run(out).await,
        ClientCommand::Edit(command) => command.run(out).await,
        ClientCommand::Label(command) => command.run(out).await,
        ClientCommand::Wait(command) => command.run(out).await,
        ClientCommand::Explain(command) => command.run(out),
        ClientCommand::Server(command) => match command {
            ServerCommand::Add(command) => command.run(out).await,
            ServerCommand::Probe(command) => command.run(out).await,
            ServerCommand::Update(command) => command.run(out).await,
        },
        ClientCommand::Credential(CredentialCommand::Set(command)) => command.run(out).await,
        ClientCommand::IdentityProvider(command) => match command {
            IdentityProviderCommand::Create(command) => command.run(out).await,
            IdentityProviderCommand::Admit(command) => command.run(out).await,
            IdentityProviderCommand::Exclude(command) => command.run(out).await,
        },
        ClientCommand::Gateway(command) => match command {
            GatewayCommand::Create(command) => command.run(out).await,
            GatewayCommand::AddTool(command) => command.run(out).await,
            GatewayCommand::RemoveTool(command) => command.run(out).await,
        },
        ClientCommand::Token(command) => match command {
            TokenCommand::Create(command) => command.run(out).await,
            TokenCommand::Update(command) => command.run(out).await,
            TokenCommand::Revoke(command) => command.run(out).await,
        },
        ClientCommand::Tools(command) => match command {
            ToolsCommand::List(command) => command.run(out).await,
            ToolsCommand::Describe(command) => command.run(out).await,
            ToolsCommand::Call(command) => command.run(out).await,
        },
        ClientCommand::Prompts(command) => match command {
            PromptsCommand::List(command) => command.run(out).await,
            PromptsCommand::Get(command) => command.run(out).await,
        },
        ClientCommand::Resources(command) => match command {
            ResourcesCommand::List(command) => command.run(out).await,
            ResourcesCommand::Read(command) => command.run(out).await,
        },
        ClientCommand::Connect(command) => command.run(out).await,
        ClientCommand::Proxies(command) => command.run(out).await,
        ClientCommand::Versions(command) => command.run(out).await,
        ClientCommand::Events(command) => command.run(out).await,
        ClientCommand::Logs(command) => command.run(out).await,
        ClientCommand::Whoami(command) => command.run(out).await,
        ClientCommand::Doctor(command) => command.run(out).await,
        ClientCommand::Completion(command) => command.run(out),
    }
}

/// Returns the current time in Unix milliseconds.
pub fn now() -> u64 {
    SystemClock.now().0
}

#[cfg(test)]
mod tests;
