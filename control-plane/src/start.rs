//! Start of a control plane: follows the store, prepares it, then serves.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::watch};
use toolgate_actor::ActorSystem;
use toolgate_api::{AdminOptions, FleetService, PeerAuthentication, admin};
use toolgate_client::ListingLimits;
use toolgate_control_core::port::{PublishedState, Store};
use toolgate_discovery::{
    DiscoveryOptions, ProbeTargets, ServerDiscovery, discovery::DEFAULT_CONCURRENCY,
    schedule::ScheduleOptions,
};
use toolgate_egress::HttpClient;
use toolgate_mcp::{cdn_loop::CdnId, message::Implementation};
use toolgate_model::Slug;
use toolgate_runtime::{
    Backoff, Drain, Metrics, Readiness, SharedClock, random,
    tls::{self, ClientAuth, ReloadableIdentity, TlsIdentity},
};
use toolgate_vault::{EnvelopeSealer, KeyFileError};

use crate::{
    WritePath,
    bootstrap::{BootstrapError, FirstToken},
    deployment_keys::{DeploymentKeysError, key_rotation},
    deployment_record::{self, DamagedRecordError, EmptyStoreError, OlderStoreError},
    leader_election::{LeaderElection, Leadership},
    probes::{self, CredentialHeaders, DefinitionsWriter, OnDemandProber},
    provider_keys::ProviderKeyFetcher,
    restored_access::RestoredAccess,
    space_monitor::{SpaceMetrics, SpaceMonitorTask},
    store_follower::StoreFollower,
    write_path::StoreWriter,
};
use preparation::PreparedStore;

mod preparation;

/// Options of a control plane.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Prefix of every bearer token.
    pub token_prefix: String,
    /// Organization that is created in an empty store.
    pub organization: Slug,
    /// File with the key-encryption keys. Created if it does not exist and nothing in the store is sealed. `None` keeps
    /// the keys in memory, for stores that end with the process.
    pub key_file: Option<PathBuf>,
    /// Path of the file for the first admin token.
    pub admin_token_file: PathBuf,
    /// Path of the record that this control plane has served a deployment.
    pub deployment_file: PathBuf,
    /// Replaces an admin token that was lost.
    pub reset_admin_token: bool,
    /// Starts a new epoch, after the store has been restored from a copy, so that proxies adopt its state although they
    /// have seen later revisions.
    pub new_epoch: bool,
    /// Begins a new deployment on an empty store, although there was one before.
    pub new_deployment: bool,
    /// True if no other control plane can have this store open.
    pub exclusive_store: bool,
    /// Id of the proxy in the same process. It is admitted, and cannot be deleted.
    pub local_proxy: Option<Slug>,
}

/// Services of the process that the control plane uses.
#[derive(Clone)]
pub struct ControlPlaneContext {
    /// Clock for timestamps and intervals.
    pub clock: SharedClock,
    /// Registry of metrics.
    pub metrics: Metrics,
    /// Readiness of the process; blocked until the store has been read.
    pub readiness: Readiness,
    /// Drain that ends the tasks.
    pub drain: Drain,
    /// Actor system for feeds and probes.
    pub actors: ActorSystem,
    /// HTTP client for probes and for the keys of identity providers.
    pub http: HttpClient,
}

/// Running control plane.
pub struct ControlPlane {
    write_path: Arc<WritePath>,
    context: ControlPlaneContext,
    fleet: FleetService,
    first_token: FirstToken,
    restored: Option<RestoredAccess>,
}

/// Error of the start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The key file is missing, and the store contains values that only it can open.
    #[error(
        "the key file {path} is missing, and {sealed} in the store opens with it alone; {KEY_FILE_ADVICE}"
    )]
    KeyFileMissing {
        /// Path of the key file.
        path: PathBuf,
        /// Name of a sealed object.
        sealed: String,
    },
    /// The key file belongs to another store.
    #[error(
        "the key file {path} does not belong to this store: {sealed} in it does not open with it; {KEY_FILE_ADVICE}"
    )]
    OtherKeyFile {
        /// Path of the key file.
        path: PathBuf,
        /// Name of an object that does not open.
        sealed: String,
    },
    /// The store is empty, although there was a deployment.
    #[error(transparent)]
    EmptyStore(#[from] EmptyStoreError),
    /// The store lacks changes that this control plane has served.
    #[error(transparent)]
    OlderStore(#[from] OlderStoreError),
    /// The record of the deployment is damaged.
    #[error(transparent)]
    DamagedRecord(#[from] DamagedRecordError),
    /// The deployment's keys cannot be opened or created.
    #[error(transparent)]
    Keys(DeploymentKeysError),
    /// The store cannot be prepared.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The process is ending.
    #[error("stopped before the store could be read")]
    Stopped,
    /// No certificate can be issued for the fleet listener.
    #[error("cannot make a certificate for the proxies' listener: {0}")]
    Certificate(String),
}

#[cfg(test)]
mod tests;

/// Advice for a missing or wrong key file.
const KEY_FILE_ADVICE: &str = "put it back from its backup, or copy it from another control plane of this store (`--key-file` names \
                    another place); or begin anew, without the tokens and credentials of this store, over an empty one: \
                    another `--etcd-prefix` with `--new-deployment`, or another `--data-dir`";

/// Interval at which the certificate of the fleet listener is replaced.
const REISSUE_INTERVAL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Delay after the first failed replacement.
const REISSUE_RETRY: Duration = Duration::from_secs(60);

impl ControlPlane {
    /// Follows the store and prepares it. Returns when both are done.
    pub async fn start(
        options: StartOptions,
        store: Arc<dyn Store>,
        context: ControlPlaneContext,
    ) -> Result<Self, StartError> {
        let PreparedStore {
            writer,
            vault,
            keys,
            first_token,
            restored,
        } = preparation::prepare(&options, Arc::clone(&store), &context).await?;
        let reseal = reseal_all(writer.clone(), Arc::clone(&vault));
        let draining = context.drain.draining();
        context.drain.spawn("resealing of secrets", async move {
            tokio::select! {
                () = reseal => {}
                () = draining => {}
            }
        });
        let recording = deployment_record::follow(
            options.deployment_file.clone(),
            writer.published.clone(),
            context.drain.draining(),
        );
        context.drain.spawn("record of the deployment", recording);
        let (candidate, leadership) = LeaderElection::new(
            Arc::clone(&store),
            writer.published.clone(),
            options.exclusive_store,
        );
        let election = candidate.run(context.drain.clone());
        context.drain.spawn("leader election", election);
        let monitor = SpaceMonitorTask {
            monitor: writer.space_monitor(),
            store,
            published: writer.published.clone(),
            leadership: leadership.clone(),
            readiness: context.readiness.clone(),
            metrics: SpaceMetrics::new(&context.metrics),
            revisions: VecDeque::new(),
        };
        let monitoring = monitor.run(context.drain.clone());
        context.drain.spawn("store space", monitoring);
        fetch_provider_keys(&writer, &context, leadership.clone());
        let cdn_id = CdnId::derive(keys.token_minter.key());
        let prober = Arc::new(probe(&writer, &vault, &context, (leadership, cdn_id)));
        let write_path = Arc::new(WritePath {
            writer,
            vault,
            keys,
            prober,
            local_proxy: options.local_proxy,
        });
        let control_api = Arc::clone(&write_path);
        let (actors, readiness) = (context.actors.clone(), context.readiness.clone());
        let fleet = FleetService::new(
            control_api,
            actors,
            readiness,
            &context.metrics,
            context.drain.clone(),
        );
        Ok(Self {
            write_path,
            context,
            fleet,
            first_token,
            restored,
        })
    }

    /// Returns the write path.
    pub fn write_path(&self) -> &Arc<WritePath> {
        &self.write_path
    }

    /// Returns the service that proxies connect to; [`FleetService::connect`] opens an in-memory connection.
    pub fn fleet(&self) -> &FleetService {
        &self.fleet
    }

    /// Returns the state of the first admin token.
    pub fn first_token(&self) -> &FirstToken {
        &self.first_token
    }

    /// Returns the access that was withdrawn because the store was restored from a copy; `None` if it was not.
    pub fn restored(&self) -> Option<&RestoredAccess> {
        self.restored.as_ref()
    }

    /// Serves the admin API until the drain starts.
    pub fn serve_admin(&self, listener: TcpListener, options: AdminOptions) {
        let options = AdminOptions {
            call_readers: self.fleet.call_readers().clone(),
            ..options
        };
        let (control_api, drain) = (Arc::clone(&self.write_path), self.context.drain.clone());
        let serving = admin::serve(listener, control_api, options, drain);
        drop(self.context.drain.spawn("admin API", serving));
    }

    /// Serves proxies until the drain starts, with a certificate for these names (DNS names or IP addresses). `None`
    /// means plain text, for development.
    pub fn serve_fleet(
        &self,
        listener: TcpListener,
        names: Option<Vec<String>>,
    ) -> Result<(), StartError> {
        let trust = match names {
            Some(names) => PeerAuthentication::MutualTls(self.server_tls(names)?),
            None => PeerAuthentication::Insecure,
        };
        let serving = self.fleet.clone().serve(listener, trust);
        drop(self.context.drain.spawn("push listener", serving));
        Ok(())
    }

    /// Builds a TLS configuration whose certificate is replaced long before it expires.
    fn server_tls(&self, names: Vec<String>) -> Result<Arc<ServerConfig>, StartError> {
        let bad = |error: &dyn std::fmt::Display| StartError::Certificate(error.to_string());
        let identity =
            ReloadableIdentity::new(self.identity(&names)?).map_err(|error| bad(&error))?;
        let authority = vec![self.write_path.keys.authority.certificate().clone()];
        let optional = ClientAuth::Optional;
        let config = tls::mutual_server(&identity, &authority, optional, tls::ALPN_H2);
        let config = config.map_err(|error| bad(&error))?;
        let write_path = Arc::clone(&self.write_path);
        let draining = self.context.drain.draining();
        let reissue = async move {
            let mut backoff = Backoff::new(REISSUE_RETRY, REISSUE_RETRY * 60);
            let mut wait = REISSUE_INTERVAL;
            loop {
                tokio::time::sleep(wait).await;
                let fresh = issue(&write_path, &names).map(|fresh| identity.set(fresh));
                if matches!(fresh, Ok(Ok(()))) {
                    backoff.reset();
                    wait = REISSUE_INTERVAL;
                } else {
                    wait = backoff.next(random::number());
                    tracing::error!(
                        ?wait,
                        "the proxies' listener could not get a new certificate; trying again"
                    );
                }
            }
        };
        self.context.drain.spawn("certificate", async move {
            tokio::select! {
                () = reissue => {}
                () = draining => {}
            }
        });
        Ok(config)
    }

    fn identity(&self, names: &[String]) -> Result<TlsIdentity, StartError> {
        issue(&self.write_path, names)
    }
}

fn issue(write_path: &WritePath, names: &[String]) -> Result<TlsIdentity, StartError> {
    let now = write_path.writer.clock.now();
    let issued = write_path.keys.authority.issue_server(names, now);
    let (issued, key) = issued.map_err(|error| StartError::Certificate(error.to_string()))?;
    Ok(TlsIdentity {
        chain: issued.chain,
        key,
    })
}

/// Runs in the background, because values under older keys can still be opened.
async fn reseal_all(writer: StoreWriter, vault: Arc<EnvelopeSealer>) {
    match key_rotation::run(writer, vault).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "sealed anew under the newest key of the key file"),
        Err(error) => tracing::warn!(%error, "not all is sealed anew; the next start goes on"),
    }
}

/// Starts the follower and waits until it has read the whole store once. `serves_clients` is true if the process is ready also
/// while its store is not followed.
async fn follow(
    store: Arc<dyn Store>,
    context: &ControlPlaneContext,
    serves_clients: bool,
) -> Result<StoreWriter, StartError> {
    let (sender, mut published) = watch::channel(Arc::<PublishedState>::default());
    let clock = Arc::clone(&context.clock);
    let (readiness, metrics) = (&context.readiness, &context.metrics);
    let follower = StoreFollower::new(Arc::clone(&store), clock, sender, readiness, metrics);
    let follower = follower.serving_clients(serves_clients);
    let resync = follower.resync();
    let drain = context.drain.clone();
    context.drain.spawn("store follower", follower.run(drain));
    published.changed().await.map_err(|_| StartError::Stopped)?;
    let (clock, drain) = (Arc::clone(&context.clock), context.drain.clone());
    Ok(StoreWriter::new(store, published, clock, resync, drain))
}

fn fetch_provider_keys(
    writer: &StoreWriter,
    context: &ControlPlaneContext,
    leadership: Leadership,
) {
    let fetcher = ProviderKeyFetcher {
        writer: writer.clone(),
        leadership,
        http: context.http.clone(),
    };
    let fetching = fetcher.run(context.drain.clone());
    let _task = context.drain.spawn("keys of identity providers", fetching);
}

fn probe(
    writer: &StoreWriter,
    vault: &Arc<EnvelopeSealer>,
    context: &ControlPlaneContext,
    (leadership, cdn_id): (Leadership, CdnId),
) -> OnDemandProber {
    let (sender, targets) = watch::channel(Arc::<ProbeTargets>::default());
    let published = writer.published.clone();
    let draining = context.drain.draining();
    let requested = Arc::new(watch::Sender::default());
    let requests = requested.subscribe();
    let deriving = probes::derive_targets(
        published.clone(),
        leadership.clone(),
        requests.clone(),
        sender,
    );
    context.drain.spawn("probe targets", async move {
        tokio::select! {
            () = deriving => {}
            () = draining => {}
        }
    });
    let options = DiscoveryOptions {
        http: context.http.clone(),
        cdn_id,
        headers: Arc::new(CredentialHeaders {
            published,
            vault: Arc::clone(vault),
        }),
        sink: Arc::new(DefinitionsWriter {
            writer: writer.clone(),
            leadership,
            requested: requests,
            limiter: Mutex::default(),
        }),
        clock: Arc::clone(&context.clock),
        implementation: Implementation {
            name: "toolgate".to_owned(),
            title: "Toolgate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        schedule: ScheduleOptions::default(),
        concurrency: DEFAULT_CONCURRENCY,
        list_limits: ListingLimits::default(),
    };
    let discovery =
        ServerDiscovery::start(options, targets, context.actors.clone(), &context.drain);
    OnDemandProber::new(discovery, requested)
}
