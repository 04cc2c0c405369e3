//! Roles of a process. Each module only assembles a role: it takes settings, wires the planes and returns a running
//! role.

pub mod options;

mod admin_address;
mod announce;
mod control_plane;
mod demo_token;
mod egress;
mod listen;
mod process_context;
mod proxy;
mod seed;
mod up;

use std::net::SocketAddr;

use clap::Subcommand;
use toolgate_actor::ActorSystem;

use self::admin_address::AdminAddressFile;
use self::options::{CommonOptions, ControlPlaneOptions, ProxyOptions, UpOptions};
pub use self::{egress::LOOPBACK, process_context::ProcessContext};

/// Roles, as commands.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Everything in one process: control plane, proxy, one data folder, and a demo server to call.
    Up(Box<UpOptions>),
    /// Decide and publish: admin API and push of configuration, over one store.
    #[command(after_help = FLEET_HELP)]
    ControlPlane(Box<ControlPlaneOptions>),
    /// Serve gateways to clients, fed by a control plane.
    #[command(after_help = FLEET_HELP)]
    Proxy(Box<ProxyOptions>),
}

/// Help of the roles of a fleet.
const FLEET_HELP: &str =
    "docs/deploy.md sets up a fleet step by step; `toolgate up` is everything in one process.";

/// Name of the command that starts everything in one process.
pub const UP: &str = "up";

/// Default log filter of a command's role. `up` runs in a terminal, so that it logs warnings only.
pub fn default_filter(command: &str) -> &'static str {
    match command {
        UP => "warn",
        _ => "info",
    }
}

/// Running role.
pub struct RunningRole {
    /// Lines to print when the role is ready.
    pub announcement: Vec<String>,
    /// Actor systems of the role. They end after everything else.
    pub actors: Vec<ActorSystem>,
    /// File with the address of the admin API for commands on this machine. It is removed when this is dropped.
    pub address_file: Option<AdminAddressFile>,
}

impl RoleCommand {
    /// Options common to all roles.
    pub fn common(&self) -> &CommonOptions {
        match self {
            Self::Up(options) => &options.common,
            Self::ControlPlane(options) => &options.common,
            Self::Proxy(options) => &options.common,
        }
    }

    /// Service name in logs, traces and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "toolgate",
            Self::ControlPlane(_) => "toolgate-control-plane",
            Self::Proxy(_) => "toolgate-proxy",
        }
    }

    /// Default log filter.
    pub fn default_filter(&self) -> &'static str {
        default_filter(match self {
            Self::Up(_) => UP,
            Self::ControlPlane(_) => "control-plane",
            Self::Proxy(_) => "proxy",
        })
    }

    /// Returns the addresses of the role's listeners, with the flags that set them.
    pub fn listeners(&self) -> Vec<(SocketAddr, &'static str)> {
        let private = (self.common().private_listen, "--private-listen");
        let mut listeners = vec![private];
        match self {
            Self::Up(options) => listeners.extend([
                (options.listener.listen, "--listen"),
                (options.admin.admin_listen, "--admin-listen"),
            ]),
            Self::ControlPlane(options) => listeners.extend([
                (options.admin.admin_listen, "--admin-listen"),
                (options.push_listen, "--push-listen"),
            ]),
            Self::Proxy(options) => {
                listeners.push((options.listener.listen, "--listen"));
                let peer_listener = options.peer_listener();
                listeners.extend(peer_listener.map(|at| (at, "--peer-listen")));
            }
        }
        listeners
    }

    /// Builds the role. Returns when it is running.
    pub async fn build(self, context: &ProcessContext) -> anyhow::Result<RunningRole> {
        let running = match self {
            Self::Up(options) => up::build(*options, context).await,
            Self::ControlPlane(options) => control_plane::build(*options, context).await,
            Self::Proxy(options) => proxy::build(*options, context).await,
        }?;
        context.observe_actors(&running.actors);
        Ok(running)
    }
}
