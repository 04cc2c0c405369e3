//! Starting a control plane: follow the store, make it ready for use, then serve.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::watch};
use toolgate_actor::ActorSystem;
use toolgate_api::{AdminOptions, Fleet, Published, Trust, admin};
use toolgate_catalog::{Catalog, CatalogOptions, Targets, catalog::CONCURRENCY, schedule::Pace};
use toolgate_client::Caps;
use toolgate_control_core::{State, port::Store};
use toolgate_egress::HttpClient;
use toolgate_mcp::message::Implementation;
use toolgate_model::Slug;
use toolgate_runtime::{
    Backoff, Drain, Metrics, Readiness, SharedClock, random,
    tls::{self, ClientAuth, HotIdentity, Identity},
};
use toolgate_vault::{KeyFileError, KeyRing, Vault};

use crate::{
    Spine,
    bootstrap::{self, BootstrapError, FirstToken},
    follow::Follower,
    keys::{self, DeploymentKeys, KeysError},
    probes::{self, Headers, OnDemand, Sink},
    reseal,
    spine::Writer,
    tenure::{Candidate, Tenure},
};

/// How a control plane is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// In front of every bearer token.
    pub token_prefix: String,
    /// The organization that an empty store gets.
    pub organization: Slug,
    /// The key-encryption keys; made if it is not there and nothing lies sealed in the store. None keeps them in memory, for stores that end with the
    /// process.
    pub key_file: Option<PathBuf>,
    /// Where the first admin token is kept.
    pub admin_token_file: PathBuf,
    /// Replace an admin token that was lost.
    pub reset_admin_token: bool,
    /// The store has been restored from a copy: begin a new epoch, so that proxies adopt what it says now, though
    /// they have seen later revisions.
    pub new_epoch: bool,
    /// No other control plane can have this store open.
    pub alone: bool,
}

/// What the process offers.
#[derive(Clone)]
pub struct Machine {
    /// The time.
    pub clock: SharedClock,
    /// Instruments.
    pub metrics: Metrics,
    /// Not ready before the store has been read.
    pub readiness: Readiness,
    /// Ends the tasks.
    pub drain: Drain,
    /// Where actors live.
    pub actors: ActorSystem,
    /// The way out, for probes.
    pub http: HttpClient,
}

/// A running control plane.
pub struct ControlPlane {
    spine: Arc<Spine>,
    machine: Machine,
    fleet: Fleet,
    first_token: FirstToken,
}

/// Why a control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// There is no key file, and something it has to open.
    #[error(
        "the key file {path} is missing, and {sealed} in the store opens with it alone; {WAYS}"
    )]
    KeyFileMissing {
        /// The file.
        path: PathBuf,
        /// Something that it has to open.
        sealed: String,
    },
    /// The key file is one of another store.
    #[error(
        "the key file {path} does not belong to this store: {sealed} in it does not open with it; {WAYS}"
    )]
    OtherKeyFile {
        /// The file.
        path: PathBuf,
        /// Something that does not open.
        sealed: String,
    },
    /// The deployment's keys cannot be had.
    #[error(transparent)]
    Keys(KeysError),
    /// The store cannot be made ready.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The process is ending.
    #[error("stopped before the store could be read")]
    Stopped,
    /// The listener for proxies cannot present a certificate.
    #[error("cannot make a certificate for the proxies' listener: {0}")]
    Certificate(String),
}

#[cfg(test)]
mod tests;

/// What to do without the right key file.
const WAYS: &str = "put it back from its backup, or copy it from another control plane of this store (`--key-file` names \
                    another place); or begin anew, without the tokens and credentials of this store, over an empty one: \
                    another `--etcd-prefix`, or another `--data-dir`";

/// The certificate of the proxies' listener is replaced this often.
const REISSUE: Duration = Duration::from_secs(7 * 24 * 3600);
/// After a failed replacement, for the first time.
const REISSUE_AGAIN: Duration = Duration::from_secs(60);

impl ControlPlane {
    /// Follows the store and makes it ready; returns when both is done.
    pub async fn start(
        options: Options,
        store: Arc<dyn Store>,
        machine: Machine,
    ) -> Result<Self, StartError> {
        let key_file = options.key_file.as_deref();
        let found = key_file.map(KeyRing::open_if_there).transpose()?.flatten();
        let writer = follow(Arc::clone(&store), &machine).await?;
        let vault = Arc::new(vault(&writer.current(), found, key_file)?);
        bootstrap::prepare(&writer, &options.organization).await?;
        if options.new_epoch {
            let epoch = bootstrap::new_epoch(&writer).await?;
            tracing::warn!(
                epoch,
                "a new epoch begins: proxies adopt what the store says now"
            );
        }
        let keys = DeploymentKeys::open_or_create(&writer, &vault, &options.token_prefix).await;
        let keys = keys.map_err(|error| refused(error, key_file))?;
        let (organization, file) = (&options.organization, &options.admin_token_file);
        let reset = options.reset_admin_token;
        let first_token =
            bootstrap::first_token(&writer, &keys.minter, organization, file, reset).await?;
        let anew = seal_anew(writer.clone(), Arc::clone(&vault));
        let draining = machine.drain.draining();
        machine.drain.spawn("sealing anew", async move {
            tokio::select! {
                () = anew => {}
                () = draining => {}
            }
        });
        let (candidate, tenure) = Candidate::new(store, options.alone);
        let standing = candidate.run(machine.drain.clone());
        machine.drain.spawn("tenure of the prober", standing);
        let prober = Arc::new(probe(&writer, &vault, &machine, tenure));
        let spine = Arc::new(Spine {
            writer,
            vault,
            keys,
            prober,
        });
        let desk = Arc::clone(&spine);
        let (actors, readiness) = (machine.actors.clone(), machine.readiness.clone());
        let fleet = Fleet::new(desk, actors, readiness, machine.drain.clone());
        Ok(Self {
            spine,
            machine,
            fleet,
            first_token,
        })
    }

    /// The write path and what is published.
    pub fn spine(&self) -> &Arc<Spine> {
        &self.spine
    }

    /// What proxies connect to; in memory by [`Fleet::connect`].
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Whether there is an admin token to start with.
    pub fn first_token(&self) -> &FirstToken {
        &self.first_token
    }

    /// Serves the admin API until the drain starts.
    pub fn serve_admin(&self, listener: TcpListener, options: AdminOptions) {
        let (desk, drain) = (Arc::clone(&self.spine), self.machine.drain.clone());
        self.machine.drain.spawn("admin API", async move {
            if let Err(error) = admin::serve(listener, desk, options, drain).await {
                tracing::error!(%error, "the admin API ended");
            }
        });
    }

    /// Serves proxies until the drain starts, with a certificate for these names (DNS names or IP addresses), or in
    /// plain text if `names` is none: for development.
    pub fn serve_fleet(
        &self,
        listener: TcpListener,
        names: Option<Vec<String>>,
    ) -> Result<(), StartError> {
        let trust = match names {
            Some(names) => Trust::Mutual(self.certified(names)?),
            None => Trust::Insecure,
        };
        let serving = self.fleet.clone().serve(listener, trust);
        self.machine.drain.spawn("proxies' listener", async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the proxies' listener ended");
            }
        });
        Ok(())
    }

    /// A TLS configuration whose certificate is replaced long before it ends.
    fn certified(&self, names: Vec<String>) -> Result<Arc<ServerConfig>, StartError> {
        let bad = |error: &dyn std::fmt::Display| StartError::Certificate(error.to_string());
        let identity = HotIdentity::new(self.identity(&names)?).map_err(|error| bad(&error))?;
        let authority = vec![self.spine.keys.authority.certificate().clone()];
        let optional = ClientAuth::Optional;
        let config = tls::mutual_server(&identity, &authority, optional, tls::ALPN_H2);
        let config = config.map_err(|error| bad(&error))?;
        let spine = Arc::clone(&self.spine);
        let draining = self.machine.drain.draining();
        let reissue = async move {
            let mut backoff = Backoff::new(REISSUE_AGAIN, REISSUE_AGAIN * 60);
            let mut wait = REISSUE;
            loop {
                tokio::time::sleep(wait).await;
                let fresh = issue(&spine, &names).map(|fresh| identity.set(fresh));
                if matches!(fresh, Ok(Ok(()))) {
                    backoff.reset();
                    wait = REISSUE;
                } else {
                    wait = backoff.next(random::number());
                    tracing::error!(
                        ?wait,
                        "the proxies' listener could not get a new certificate; trying again"
                    );
                }
            }
        };
        self.machine.drain.spawn("certificate", async move {
            tokio::select! {
                () = reissue => {}
                () = draining => {}
            }
        });
        Ok(config)
    }

    fn identity(&self, names: &[String]) -> Result<Identity, StartError> {
        issue(&self.spine, names)
    }
}

/// The vault for this store. A fresh key is made where nothing lies sealed: it would open nothing, and would stand where
/// the lost one belongs.
fn vault(
    state: &State,
    found: Option<KeyRing>,
    key_file: Option<&Path>,
) -> Result<Vault, StartError> {
    let Some(path) = key_file else {
        return Ok(Vault::new(found.unwrap_or_else(KeyRing::ephemeral)));
    };
    // Whoever has sealed something in a folder that it shares with us has made the file before.
    let found = found.map_or_else(|| KeyRing::open_if_there(path), |found| Ok(Some(found)))?;
    let Some(keys) = found else {
        let path = path.to_owned();
        return match keys::sealed(state) {
            Some(sealed) => Err(StartError::KeyFileMissing { path, sealed }),
            None => Ok(Vault::new(KeyRing::open_or_create(&path)?)),
        };
    };
    let vault = Vault::new(keys);
    match keys::foreign(state, &vault) {
        Some(sealed) => Err(StartError::OtherKeyFile {
            path: path.to_owned(),
            sealed,
        }),
        None => Ok(vault),
    }
}

/// Another control plane that started at the same time, with another key file, was first.
fn refused(error: KeysError, key_file: Option<&Path>) -> StartError {
    match (error, key_file) {
        (KeysError::Sealed { name, .. }, Some(path)) => StartError::OtherKeyFile {
            path: path.to_owned(),
            sealed: format!("the key `{name}`"),
        },
        (error, _) => StartError::Keys(error),
    }
}

fn issue(spine: &Spine, names: &[String]) -> Result<Identity, StartError> {
    let now = spine.writer.clock.now();
    let issued = spine.keys.authority.issue_server(names, now);
    let (issued, key) = issued.map_err(|error| StartError::Certificate(error.to_string()))?;
    Ok(Identity {
        chain: issued.chain,
        key,
    })
}

/// Beside everything else: what is sealed under an older key can be read all the same.
async fn seal_anew(writer: Writer, vault: Arc<Vault>) {
    match reseal::run(writer, vault).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "sealed anew under the newest key of the key file"),
        Err(error) => tracing::warn!(%error, "not all is sealed anew; the next start goes on"),
    }
}

/// Starts the follower, and waits until it has read everything once.
async fn follow(store: Arc<dyn Store>, machine: &Machine) -> Result<Writer, StartError> {
    let (sender, mut published) = watch::channel(Arc::<Published>::default());
    let unready = machine.readiness.block("store");
    let follower = Follower::new(Arc::clone(&store), sender, unready, &machine.metrics);
    let suspicion = follower.suspicion();
    let drain = machine.drain.clone();
    machine
        .drain
        .spawn("follower of the store", follower.run(drain));
    published.changed().await.map_err(|_| StartError::Stopped)?;
    let clock = Arc::clone(&machine.clock);
    Ok(Writer::new(store, published, clock, suspicion))
}

fn probe(writer: &Writer, vault: &Arc<Vault>, machine: &Machine, tenure: Tenure) -> OnDemand {
    let (sender, targets) = watch::channel(Arc::<Targets>::default());
    let published = writer.published.clone();
    let draining = machine.drain.draining();
    let asked = Arc::new(watch::Sender::default());
    let questions = asked.subscribe();
    let deriving =
        probes::derive_targets(published.clone(), tenure.clone(), questions.clone(), sender);
    machine.drain.spawn("probe targets", async move {
        tokio::select! {
            () = deriving => {}
            () = draining => {}
        }
    });
    let options = CatalogOptions {
        http: machine.http.clone(),
        headers: Arc::new(Headers {
            published,
            vault: Arc::clone(vault),
        }),
        sink: Arc::new(Sink {
            writer: writer.clone(),
            tenure,
            asked: questions,
        }),
        clock: Arc::clone(&machine.clock),
        us: Implementation {
            name: "toolgate".to_owned(),
            title: "Toolgate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        pace: Pace::default(),
        concurrency: CONCURRENCY,
        caps: Caps::default(),
    };
    let catalog = Catalog::start(options, targets, machine.actors.clone(), &machine.drain);
    OnDemand::new(catalog, asked)
}
