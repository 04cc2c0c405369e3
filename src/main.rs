//! The `toolgate` binary: one program for all roles and commands. A role is parsed, built, announced, awaited and
//! drained; every other command runs to completion.

mod cli;
mod demo;
mod role;
mod settings;

use std::process::ExitCode;

use clap::CommandFactory as _;
use toolgate_runtime::signals;

use self::{
    cli::{Cli, CliCommand, commands::completion, output::OutputWriter, output::error},
    role::{ProcessContext, RoleCommand},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let completer = clap_complete::CompleteEnv::with_factory(Cli::command);
    completer.var(completion::VARIABLE).complete();
    let arguments: Vec<_> = std::env::args_os().collect();
    let parsed = match settings::parse(arguments.clone()) {
        Ok(parsed) => parsed,
        Err(fault) => return cli::usage_exit_code(fault, &arguments),
    };
    let mut out = OutputWriter::standard(parsed.cli.output, parsed.connection.clone());
    let done = match parsed.cli.command {
        CliCommand::Client(command) => cli::run(*command, &mut out).await,
        CliCommand::Role(role) if role.common().print_config => {
            settings::print(&parsed.settings, &mut out)
        }
        CliCommand::Role(role) => run_role(role, &mut out).await,
    };
    cli::exit_code(done, parsed.connection)
}

async fn run_role(role: RoleCommand, out: &mut OutputWriter) -> Result<(), error::CliError> {
    let (context, starting) = ProcessContext::start(&role)
        .await
        .map_err(error::from_startup_error)?;
    let running = tokio::select! {
        running = role.build(&context) => running.map_err(error::from_startup_error)?,
        _early = signals::terminate() => return Ok(()),
    };
    starting.release();
    context.notify_when_ready();
    running
        .announcement
        .iter()
        .try_for_each(|line| out.line(line))?;
    let _signal = signals::terminate().await;
    drop(running.address_file);
    context.shut_down(running.actors).await;
    Ok(())
}
