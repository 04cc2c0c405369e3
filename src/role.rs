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

use std::net::SocketAddr;

use clap::Subcommand;
use toolgate_actor::ActorSystem;

use self::address::Posted;
use self::options::{CommonOptions, ControlPlaneOptions, ProxyOptions, UpOptions};
pub use self::{egress::LOOPBACK, machine::Machine};

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

/// What the command is called that starts everything.
pub const UP: &str = "up";

/// What the role of a command logs unless something else is asked for: `up` talks to a person, who is told what matters.
pub fn default_filter(command: &str) -> &'static str {
    match command {
        UP => "warn",
        _ => "info",
    }
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

    /// What is logged unless something else is asked for.
    pub fn default_filter(&self) -> &'static str {
        default_filter(match self {
            Self::Up(_) => UP,
            Self::ControlPlane(_) => "control-plane",
            Self::Proxy(_) => "proxy",
        })
    }

    /// Where it will listen, and which setting says so.
    pub fn listeners(&self) -> Vec<(SocketAddr, &'static str)> {
        let private = (self.common().private_listen, "--private-listen");
        let mut listeners = vec![private];
        match self {
            Self::Up(options) => listeners.extend([
                (options.door.listen, "--listen"),
                (options.admin.admin_listen, "--admin-listen"),
            ]),
            Self::ControlPlane(options) => listeners.extend([
                (options.admin.admin_listen, "--admin-listen"),
                (options.push_listen, "--push-listen"),
            ]),
            Self::Proxy(options) => {
                listeners.push((options.door.listen, "--listen"));
                let neighbours = options.neighbour_listen;
                listeners.extend(neighbours.map(|at| (at, "--neighbour-listen")));
            }
        }
        listeners
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
