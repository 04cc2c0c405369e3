//! Process context of every role: clock, telemetry, readiness, drain, and the private port that shows them.

use std::{
    fs::{DirBuilder, Permissions},
    io::ErrorKind,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::Router;
#[cfg(target_os = "linux")]
use rustix::process::DumpableBehavior;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use toolgate_actor::ActorSystem;
use toolgate_runtime::{
    Drain, DrainOutcome, DrainTrigger, Liveness, Metrics, Readiness, SharedClock, clock, drain,
    hosts::HostPolicy,
    private_port,
    readiness::ReadyGuard,
    signals,
    telemetry::{self, LogFormat, Telemetry, TelemetryOptions},
    tls,
};

use super::{
    RoleCommand, listen,
    options::{CommonOptions, LogFormatArg},
};

/// Time for actors to end after everything that uses them has ended.
const ACTOR_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Parts of the process that do not depend on its role.
pub struct ProcessContext {
    /// System clock.
    pub clock: SharedClock,
    /// Metric instruments.
    pub metrics: Metrics,
    /// Readiness of the process to serve requests.
    pub readiness: Readiness,
    /// Liveness of the threads that serve.
    pub liveness: Liveness,
    /// Drain of the process's tasks.
    pub drain: Drain,
    /// Address at which the private port listens, with its actual port.
    pub private_address: SocketAddr,
    trigger: DrainTrigger,
    drain_timeout: Duration,
    /// Flushes on drop.
    _telemetry: Telemetry,
}

impl ProcessContext {
    /// Starts telemetry, creates the data folder, and opens the private port. Must be called inside the runtime.
    /// The process is not ready until the guard is released: once the role is running.
    pub async fn start(role: &RoleCommand) -> anyhow::Result<(Self, ReadyGuard)> {
        let options = role.common();
        tls::install_provider();
        let telemetry = telemetry::init(&telemetry_options(role, options))?;
        disable_huge_pages();
        disable_core_dumps();
        raise_descriptor_limit();
        listen::ensure_free(&role.listeners())?;
        create_private_folder(&options.data_dir)?;
        let listener = listen::bind(options.private_listen, "the private port").await?;
        let private_address = listener.local_addr()?;
        let (drain, trigger) = drain::new();
        let context = Self {
            clock: clock::system(),
            metrics: telemetry.metrics(),
            readiness: Readiness::new(),
            liveness: Liveness::default(),
            drain,
            private_address,
            trigger,
            drain_timeout: options.drain,
            _telemetry: telemetry,
        };
        let starting = context.readiness.block("start");
        let heartbeat = context.liveness.register("main");
        drop(context.drain.spawn_unguarded(heartbeat.run()));
        let clock = Arc::clone(&context.clock);
        context.liveness.start(clock, &context.metrics)?;
        let states = (context.readiness.clone(), context.liveness.clone());
        let metrics = context.metrics.clone();
        let hosts = HostPolicy::new(
            private_address,
            options.private_hosts.iter().map(String::as_str),
            "--private-host",
        )
        .context("--private-host")?
        .with_metrics("private", &context.metrics);
        let serving = private_port::serve(
            listener,
            states,
            metrics,
            Router::new(),
            hosts,
            context.drain.clone(),
        );
        // The private port answers until the very end, so that a drain can be observed; the drain does not wait for
        // it.
        drop(context.drain.spawn_unguarded(serving));
        Ok((context, starting))
    }

    /// Returns the context of the data plane.
    pub fn proxy_context(&self) -> toolgate_data_plane::ProxyContext {
        toolgate_data_plane::ProxyContext {
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            readiness: self.readiness.clone(),
            drain: self.drain.clone(),
        }
    }

    /// Observes the threads of actors, like the threads of connections.
    pub fn observe_actors(&self, systems: &[ActorSystem]) {
        let mut number = 0;
        for system in systems {
            system.spawn_on_each_thread(|| {
                let name = format!("actors-{number}");
                number += 1;
                self.liveness.register(&name).run()
            });
        }
    }

    /// Notifies the service supervisor once the process is ready.
    pub fn notify_when_ready(&self) {
        let readiness = self.readiness.clone();
        drop(self.drain.spawn_unguarded(async move {
            readiness.ready().await;
            signals::notify_ready();
        }));
    }

    /// Drains the process within its drain timeout. A second signal ends the process at once.
    pub async fn shut_down(self, actors: Vec<ActorSystem>) {
        signals::notify_stopping("draining");
        self.readiness.withdraw();
        let ended = async {
            let outcome = self.trigger.drain(self.drain_timeout).await;
            for actors in &actors {
                let _too_slow_or_not_they_end = actors.drain(ACTOR_DRAIN_TIMEOUT).await;
            }
            outcome
        };
        tokio::select! {
            outcome = ended => match outcome {
                DrainOutcome::Drained => tracing::info!("drained"),
                blocked @ DrainOutcome::Blocked(_) => tracing::warn!(%blocked, "cut off"),
            },
            _again = signals::terminate() => tracing::warn!("second signal: ending at once"),
        }
    }
}

/// Disables transparent huge pages. With them, the first access to a memory region costs two mebibytes: a freshly
/// started process is twice as large, while calls take as much processor time with as without
/// (docs/performance.md).
fn disable_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as this system has them");
    }
}

/// Makes the process not dumpable: no core file holds its keys and tokens, and processes of the same user cannot read its
/// memory.
fn disable_core_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process stays dumpable: a core file would hold its keys");
    }
}

/// Raises the limit of open files as far as the system permits: each connection needs one. Many systems start processes with
/// 1,024, for programs that cannot handle more.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files stays {:?}", limit.current);
    }
}

fn telemetry_options(role: &RoleCommand, options: &CommonOptions) -> TelemetryOptions {
    TelemetryOptions {
        format: match options.log_format {
            LogFormatArg::Text => LogFormat::Text,
            LogFormatArg::Json => LogFormat::Json,
        },
        filter: options
            .log
            .clone()
            .unwrap_or_else(|| role.default_filter().to_owned()),
        otlp_endpoint: options.otlp_endpoint.clone(),
        service_name: role.name().to_owned(),
    }
}

/// Creates a folder that only its owner can access: it holds keys and tokens.
pub fn create_private_folder(path: &Path) -> anyhow::Result<()> {
    let made = match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => std::fs::create_dir_all(path)
            .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(0o700))),
        made => made,
    };
    made.with_context(|| format!("cannot make the folder {}", path.display()))
}

#[cfg(test)]
mod tests;
