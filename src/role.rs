//! Roles: what a process has been asked to be. Each module is assembly only: settings in, planes wired, a running
//! role out.

pub mod options;

mod address;
mod announce;
mod control_plane;
mod egress;
mod listen;
mod machine;
mod proxy;
mod seed;
mod up;

use clap::Subcommand;
use toolgate_actor::ActorSystem;

use self::address::Posted;
pub use self::machine::Machine;
use self::options::{CommonOptions, ControlPlaneOptions, ProxyOptions, UpOptions};

/// The roles, as commands.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Everything in one process: control plane, proxy, one data folder, and a demo server to call.
    Up(Box<UpOptions>),
    /// Decide and publish: admin API and push of configuration, over one store.
    ControlPlane(Box<ControlPlaneOptions>),
    /// Carry: serve gateways to clients, fed by a control plane.
    Proxy(Box<ProxyOptions>),
}

/// A role that does its work.
pub struct Running {
    /// What to tell the person who started it, line by line.
    pub announcement: Vec<String>,
    /// Where its actors live; they end after everything else.
    pub actors: Vec<ActorSystem>,
    /// Where commands on this machine find its admin API, as long as this lives.
    pub posted: Option<Posted>,
}

impl RoleCommand {
    /// What every role has.
    pub fn common(&self) -> &CommonOptions {
        match self {
            Self::Up(options) => &options.common,
            Self::ControlPlane(options) => &options.common,
            Self::Proxy(options) => &options.common,
        }
    }

    /// As in logs, traces and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "toolgate",
            Self::ControlPlane(_) => "toolgate-control-plane",
            Self::Proxy(_) => "toolgate-proxy",
        }
    }

    /// What is logged unless something else is asked for: `up` talks to a person, who is told what matters.
    pub fn default_filter(&self) -> &'static str {
        match self {
            Self::Up(_) => "warn",
            Self::ControlPlane(_) | Self::Proxy(_) => "info",
        }
    }

    /// Puts the role together; returns when it does its work.
    pub async fn build(self, machine: &Machine) -> anyhow::Result<Running> {
        match self {
            Self::Up(options) => up::build(*options, machine).await,
            Self::ControlPlane(options) => control_plane::build(*options, machine).await,
            Self::Proxy(options) => proxy::build(*options, machine),
        }
    }
}
