//! Start of synchronization: the stored configuration is served first, then the control plane is contacted.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use toolgate_egress::ControlConnector;
use toolgate_model::{Slug, Version};
use toolgate_runtime::{metrics::SnapshotGauge, random};

use crate::{
    applied_config::AppliedConfig,
    call_stream::CallStreamTask,
    confirmation,
    control_channels::{self, ConnectorSetter, ControlChannels, RoundRobinConnector},
    credentials::CredentialCache,
    disk::{DiskError, EncryptedDirectory},
    expulsion::Expulsion,
    fleet_share,
    handle::{SyncHandle, SyncState},
    identity::{self, IdentityTask, ProxyCertificate},
    keys,
    last_good::{self, SavedConfig},
    options::{ControlPlaneTransport, JoinBundle, ProxyContext, SyncOptions},
    push::{ProxyDescription, PushTask},
    repeated_problem::RepeatedProblems,
    report::ProxyReporter,
    revocations::{self, RevokedTokens},
};

/// File name of the proxy's id and region.
const NAME_FILE: &str = "name";

/// Error of a proxy that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The data directory is unusable.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The proxy has neither a certificate nor a join bundle.
    #[error(
        "this proxy has no certificate: make a join token with `toolgate proxies join-token > join.json` and start it with that"
    )]
    NoIdentity,
    /// No control-plane address is configured.
    #[error("no address of a control plane is given")]
    NoAddress,
    /// No id could be generated.
    #[error("give this proxy an id")]
    NoName,
}

/// Id and region of the proxy, stored across restarts.
#[derive(Clone, Serialize, Deserialize)]
struct ProxyName {
    proxy_id: Slug,
    region: String,
}

/// State shared by all tasks.
struct TaskContext {
    state: Arc<SyncState>,
    disk: Option<Arc<EncryptedDirectory>>,
    context: ProxyContext,
    channels: ControlChannels,
    reconnect: (Duration, Duration),
}

/// Starts synchronization: serves the stored configuration, connects to the control plane, and runs until the drain has
/// settled. Returns without waiting for a control plane; readiness of the context waits for it. Must be called inside
/// the runtime.
pub fn start(options: SyncOptions, context: &ProxyContext) -> Result<SyncHandle, SyncError> {
    let SyncOptions {
        proxy_id,
        region,
        build,
        listen,
        data_dir,
        transport: control,
        reconnect_backoff: reconnect,
    } = options;
    let disk = data_dir
        .as_deref()
        .map(EncryptedDirectory::open)
        .transpose()?
        .map(Arc::new);
    let certified = disk.as_deref().and_then(identity::load);
    let name = resolve_name(
        proxy_id,
        region,
        &control,
        certified.as_ref(),
        disk.as_deref(),
    )?;

    let shared = Arc::new(SyncState::new(&context.readiness));
    let (setter, channels) = control_channels::unset();
    let parts = TaskContext {
        state: shared,
        disk,
        context: context.clone(),
        channels,
        reconnect,
    };
    let (revoked, are_revocations_lost) = parts.restore_revocations();
    parts.state.set_revoked(Arc::clone(&revoked.hashes));
    if let Some(disk) = parts.disk.as_deref() {
        parts.state.set_serving_proxies(fleet_share::load(disk));
    }
    let can_be_expelled = !matches!(control, ControlPlaneTransport::Memory(_));
    let expulsion = can_be_expelled.then(|| parts.expulsion(&name.proxy_id));
    let is_expelled = expulsion.as_ref().is_some_and(Expulsion::is_in_force);
    let (held, saved) = parts.restore_last_good(!is_expelled && !are_revocations_lost);
    let (version, versions) = watch::channel(held.snapshot.version);
    let credentials = CredentialCache::new(
        parts.channels.clone(),
        context,
        parts.disk.as_deref(),
        &held.view,
        versions.clone(),
    );
    let region: Arc<str> = name.region.as_str().into();

    parts.connect(setter, control, certified, &name)?;
    let introduction = ProxyDescription {
        proxy_id: name.proxy_id.to_string(),
        region: name.region,
        build,
        listen,
        started: context.now(),
    };
    parts.spawn_followers(&name.proxy_id, revoked, &credentials, &versions);
    let state = Arc::clone(&parts.state);
    let reporter = ProxyReporter::new(name.proxy_id.clone(), context.clone(), state);
    parts.spawn_push_task(introduction, (held, saved), version, reporter, expulsion);
    let (shared, proxy_id) = (parts.state, name.proxy_id);
    Ok(SyncHandle {
        state: shared,
        credentials,
        version: versions,
        proxy_id,
        region,
    })
}

/// Resolves the proxy's id: configured, else from the certificate, else stored, else generated.
fn resolve_name(
    proxy_id: Option<Slug>,
    region: String,
    control: &ControlPlaneTransport,
    certified: Option<&ProxyCertificate>,
    disk: Option<&EncryptedDirectory>,
) -> Result<ProxyName, SyncError> {
    let before = disk.and_then(|disk| disk.load(NAME_FILE));
    let before = before.and_then(|bytes| serde_json::from_slice::<ProxyName>(&bytes).ok());
    let chosen = proxy_id.or_else(|| certified.map(|certified| certified.proxy_id.clone()));
    let chosen = chosen.or_else(|| before.as_ref().map(|before| before.proxy_id.clone()));
    let proxy_id = chosen.map_or_else(random_proxy_id, Ok)?;
    let given = match control.join_bundle() {
        Some(bundle) => bundle.region.clone(),
        None => String::new(),
    };
    let regions = [
        given,
        region,
        before.map(|before| before.region).unwrap_or_default(),
    ];
    let region = regions
        .into_iter()
        .find(|region| !region.is_empty())
        .unwrap_or_default();
    let name = ProxyName { proxy_id, region };
    if let (Some(disk), Ok(bytes)) = (disk, serde_json::to_vec(&name)) {
        disk.save(NAME_FILE, &bytes)?;
    }
    Ok(name)
}

/// Generates a random id. Fails only if the format is not a valid slug.
fn random_proxy_id() -> Result<Slug, SyncError> {
    let digits: String = random::bytes::<4>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("proxy-{digits}")
        .parse()
        .map_err(|_invalid| SyncError::NoName)
}

impl TaskContext {
    fn expulsion(&self, proxy_id: &Slug) -> Expulsion {
        let (state, disk) = (Arc::clone(&self.state), self.disk.clone());
        Expulsion::load(
            proxy_id.clone(),
            state,
            self.context.readiness.clone(),
            disk,
        )
    }

    /// Returns the stored revocations, and `true` if a configuration was saved whose revocations are gone. That configuration
    /// is set aside: the end of its log may be gone too, and with it the removal of a revoked token.
    fn restore_revocations(&self) -> (RevokedTokens, bool) {
        let Some(disk) = self.disk.as_deref() else {
            return Default::default();
        };
        if let Some(revoked) = revocations::load(disk) {
            return (revoked, false);
        }
        let are_lost = disk.contains(last_good::FILE);
        if are_lost {
            tracing::error!(
                folder = %disk.folder().display(),
                "the saved revocations are missing or damaged, so that the saved configuration is not served: a token that was \
                 revoked could be valid again; requests are served when a control plane is connected"
            );
            disk.quarantine(last_good::FILE);
        }
        if let Err(error) = revocations::create(disk) {
            tracing::warn!(%error, "revocations cannot be kept");
        }
        (RevokedTokens::default(), are_lost)
    }

    /// Serves the stored configuration and keys, if any. Returns the configuration, and its files. The stored configuration is
    /// not served unless it `may_serve`.
    fn restore_last_good(&self, may_serve: bool) -> (AppliedConfig, Option<SavedConfig>) {
        let nothing = AppliedConfig::empty();
        let Some(disk) = &self.disk else {
            return (nothing, None);
        };
        if let Some(keys) = keys::load(disk) {
            self.state.keys.store(Some(Arc::new(keys)));
        }
        let (stored, mut files) = SavedConfig::load(disk);
        let taken = stored
            .filter(|_| may_serve)
            .and_then(|update| nothing.apply(update).ok());
        let Some((held, rejected)) = taken else {
            files.set_loaded(&nothing.snapshot, true);
            self.state.release_if_ready();
            return (nothing, Some(files));
        };
        files.set_loaded(&held.snapshot, !rejected.is_empty());
        let version = held.snapshot.version;
        tracing::info!(%version, refused = rejected.len(), "serving the last good configuration");
        self.state.view.store(Arc::clone(&held.view));
        self.state
            .set_status(false, version, "not connected yet".to_owned());
        self.state.set_configured();
        (held, Some(files))
    }

    /// Sets the connector, at once or when the proxy has a certificate.
    fn connect(
        &self,
        setter: ConnectorSetter,
        control: ControlPlaneTransport,
        certified: Option<ProxyCertificate>,
        name: &ProxyName,
    ) -> Result<(), SyncError> {
        match control {
            ControlPlaneTransport::Memory(dialer) => {
                setter.set(RoundRobinConnector::new(vec![ControlConnector::memory(
                    dialer,
                )]));
            }
            ControlPlaneTransport::Custom(connector) => {
                setter.set(RoundRobinConnector::new(vec![connector]))
            }
            ControlPlaneTransport::Plaintext(addresses)
            | ControlPlaneTransport::MutualTls { addresses, .. }
                if addresses.is_empty() =>
            {
                return Err(SyncError::NoAddress);
            }
            ControlPlaneTransport::Plaintext(addresses) => {
                setter.set(RoundRobinConnector::plain(&addresses))
            }
            ControlPlaneTransport::MutualTls { addresses, join } => {
                self.start_identity_task(setter, addresses, join, certified, name)?;
            }
        }
        Ok(())
    }

    fn start_identity_task(
        &self,
        setter: ConnectorSetter,
        addresses: Vec<String>,
        join: Option<JoinBundle>,
        certified: Option<ProxyCertificate>,
        name: &ProxyName,
    ) -> Result<(), SyncError> {
        // A certificate for another id is not usable.
        let held = certified.filter(|certified| certified.proxy_id == name.proxy_id);
        if held.is_none() && join.is_none() {
            return Err(SyncError::NoIdentity);
        }
        let task = IdentityTask {
            proxy_id: name.proxy_id.clone(),
            addresses,
            join,
            certificate: held,
            channels: self.channels.clone(),
            setter,
            state: Arc::clone(&self.state),
            disk: self.disk.clone(),
            context: self.context.clone(),
            reconnect: self.reconnect,
            problems: RepeatedProblems::default(),
        };
        self.context.drain.spawn_last("certificate", task.run());
        Ok(())
    }

    fn spawn_followers(
        &self,
        proxy_id: &Slug,
        revoked: RevokedTokens,
        credentials: &CredentialCache,
        versions: &watch::Receiver<Version>,
    ) {
        let Self {
            state: shared,
            disk,
            context,
            channels,
            reconnect,
        } = self;
        let keys = keys::follow(
            channels.clone(),
            Arc::clone(shared),
            disk.clone(),
            context.clone(),
            *reconnect,
        );
        context.drain.spawn_last("keyring", keys);
        let revocations = revocations::follow(
            channels.clone(),
            proxy_id.clone(),
            revoked,
            Arc::clone(shared),
            disk.clone(),
            context.clone(),
            *reconnect,
        );
        context.drain.spawn_last("revocations", revocations);
        let calls = CallStreamTask {
            proxy_id: proxy_id.clone(),
            log: Arc::clone(&shared.call_log),
            channels: channels.clone(),
            context: context.clone(),
            reconnect: *reconnect,
        };
        context.drain.spawn_last("call records", calls.run());
        let credentials = credentials.clone().follow(
            Arc::clone(shared),
            versions.clone(),
            disk.clone(),
            context.clone(),
            *reconnect,
        );
        context.drain.spawn_last("credentials", credentials);
    }

    fn spawn_push_task(
        &self,
        introduction: ProxyDescription,
        (held, saved): (AppliedConfig, Option<SavedConfig>),
        version: watch::Sender<Version>,
        reporter: ProxyReporter,
        expulsion: Option<Expulsion>,
    ) {
        let keep = watch::Sender::new(Arc::clone(&held.snapshot));
        if let (Some(disk), Some(files)) = (&self.disk, saved) {
            let (snapshots, disk) = (keep.subscribe(), Arc::clone(disk));
            let writing = last_good::save_changes(snapshots, files, disk, self.context.clone());
            self.context
                .drain
                .spawn_last("last good configuration", writing);
        }
        let gauge = self
            .context
            .metrics
            .snapshot(Arc::clone(&self.context.clock));
        gauge.held(held.snapshot.version);
        if let Some(disk) = &self.disk {
            self.keep_confirmation(disk, &gauge, held.snapshot.version);
        }
        let subscriber = PushTask {
            channels: self.channels.clone(),
            state: Arc::clone(&self.state),
            context: self.context.clone(),
            description: introduction,
            applied: held,
            version,
            persist: keep,
            gauge,
            reporter,
            reconnect: self.reconnect,
            problems: RepeatedProblems::default(),
            expulsion,
        };
        self.context.drain.spawn_last("push", subscriber.run());
    }

    /// Goes on with the age of the configuration that was restored, and stores it from now on.
    fn keep_confirmation(
        &self,
        disk: &Arc<EncryptedDirectory>,
        gauge: &SnapshotGauge,
        restored: Version,
    ) {
        if restored != Version::default()
            && let Some(at) = confirmation::load(disk)
        {
            gauge.set_confirmed(at);
        }
        let drain = self.context.drain.clone();
        let saving = confirmation::save_changes(gauge.clone(), Arc::clone(disk), drain);
        self.context
            .drain
            .spawn_last("age of the configuration", saving);
    }
}

#[cfg(test)]
mod tests;
