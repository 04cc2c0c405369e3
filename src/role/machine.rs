//! What every role stands on: clock, telemetry, readiness, drain, and the private port that shows them.

use std::{
    fs::{DirBuilder, Permissions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::Router;
use toolgate_actor::ActorSystem;
use toolgate_runtime::{
    Drain, DrainOutcome, Metrics, Readiness, SharedClock, Trigger, clock, drain, private,
    readiness::ReadyGuard,
    signals,
    telemetry::{self, LogFormat, Telemetry, TelemetryOptions},
    tls,
};

use super::{
    RoleCommand, listen,
    options::{CommonOptions, LogFormatWord},
};

/// How long actors have to end, after everything that talks to them has.
const ACTORS_END: Duration = Duration::from_secs(5);

/// The process, apart from its role.
pub struct Machine {
    /// The time.
    pub clock: SharedClock,
    /// Instruments.
    pub metrics: Metrics,
    /// What is waited for before requests may come.
    pub readiness: Readiness,
    /// Ends the tasks.
    pub drain: Drain,
    trigger: Trigger,
    patience: Duration,
    /// Flushes at the end.
    _telemetry: Telemetry,
}

impl Machine {
    /// Starts logging, makes the data folder, and opens the private port. Call it inside the runtime. Not ready as
    /// long as the guard lives: keep it until the role does its work.
    pub async fn start(role: &RoleCommand) -> anyhow::Result<(Self, ReadyGuard)> {
        let options = role.common();
        tls::install_provider();
        let telemetry = telemetry::init(&telemetry_options(role, options))?;
        use_ordinary_pages();
        listen::ensure_free(&role.listeners())?;
        make_folder(&options.data_dir)?;
        let (drain, trigger) = drain::new();
        let machine = Self {
            clock: clock::system(),
            metrics: telemetry.metrics(),
            readiness: Readiness::new(),
            drain,
            trigger,
            patience: options.drain,
            _telemetry: telemetry,
        };
        let starting = machine.readiness.block("start");
        let listener = listen::at(options.private_listen, "the private port").await?;
        let (readiness, metrics) = (machine.readiness.clone(), machine.metrics.clone());
        let serving = private::serve(
            listener,
            readiness,
            metrics,
            Router::new(),
            machine.drain.clone(),
        );
        // It answers until the very end, so that a drain can be watched: nothing waits for it.
        drop(machine.drain.spawn_unguarded(serving));
        Ok((machine, starting))
    }

    /// As the data plane takes it.
    pub fn for_proxy(&self) -> toolgate_data_plane::Machine {
        toolgate_data_plane::Machine {
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            readiness: self.readiness.clone(),
            drain: self.drain.clone(),
        }
    }

    /// Tells the service supervisor as soon as requests may come.
    pub fn notify_when_ready(&self) {
        let readiness = self.readiness.clone();
        drop(self.drain.spawn_unguarded(async move {
            readiness.ready().await;
            signals::notify_ready();
        }));
    }

    /// Ends what runs, within the time that was given for it. A second signal ends the process at once.
    pub async fn end(self, actors: Vec<ActorSystem>) {
        signals::notify_stopping("draining");
        self.readiness.withdraw();
        let ended = async {
            let outcome = self.trigger.drain(self.patience).await;
            for actors in &actors {
                let _too_slow_or_not_they_end = actors.drain(ACTORS_END).await;
            }
            outcome
        };
        tokio::select! {
            outcome = ended => match outcome {
                DrainOutcome::Drained => tracing::info!("drained"),
                blocked @ DrainOutcome::Blocked(_) => tracing::warn!(%blocked, "cut off"),
            },
            _again = signals::terminate() => tracing::warn!("told twice: ending at once"),
        }
    }
}

/// Huge pages make every first touch of a corner of memory cost two mebibytes: a process that has only started is twice as
/// large with them, and calls take as much processor time with as without (docs/performance.md).
fn use_ordinary_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as this system has them");
    }
}

fn telemetry_options(role: &RoleCommand, options: &CommonOptions) -> TelemetryOptions {
    TelemetryOptions {
        format: match options.log_format {
            LogFormatWord::Text => LogFormat::Text,
            LogFormatWord::Json => LogFormat::Json,
        },
        filter: options
            .log
            .clone()
            .unwrap_or_else(|| role.default_filter().to_owned()),
        otlp_endpoint: options.otlp_endpoint.clone(),
        service_name: role.name().to_owned(),
    }
}

/// A folder that is its owner's alone: keys and tokens lie in it.
pub fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => std::fs::create_dir_all(path)
            .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(0o700))),
        made => made,
    };
    made.with_context(|| format!("cannot make the folder {}", path.display()))
}
