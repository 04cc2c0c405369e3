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
    cli::{Cli, Command, fault::Fault, out::Out},
    role::{Machine, RoleCommand},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let completion = clap_complete::CompleteEnv::with_factory(Cli::command);
    completion.var(cli::completion::VARIABLE).complete();
    let done = match settings::parse(std::env::args_os().collect()) {
        Ok((cli, settings)) => {
            let mut out = Out::standard(cli.output);
            match cli.command {
                Command::Ask(ask) => cli::run(*ask, &mut out).await,
                Command::Role(role) if role.common().print_config => {
                    settings::print(&settings, &mut out)
                }
                Command::Role(role) => be(role, &mut out).await,
            }
        }
        Err(fault) => Err(fault),
    };
    cli::exit_code(done)
}

async fn be(role: RoleCommand, out: &mut Out) -> Result<(), Fault> {
    let (machine, starting) = Machine::start(&role).await.map_err(cli::fault::told)?;
    let running = tokio::select! {
        running = role.build(&machine) => running.map_err(cli::fault::told)?,
        _early = signals::terminate() => return Ok(()),
    };
    drop(starting);
    machine.notify_when_ready();
    running
        .announcement
        .iter()
        .try_for_each(|line| out.line(line))?;
    let _asked_to_end = signals::terminate().await;
    drop(running.posted);
    machine.end(running.actors).await;
    Ok(())
}
