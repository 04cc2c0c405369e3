//! Role `control-plane`: admin API and push of configuration, over etcd or one file.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use rustls::ServerConfig;
use toolgate_actor::ActorSystem;
use toolgate_control_core::port::Store;
use toolgate_control_plane::{
    AdminOptions, ControlPlane, FirstToken, RestoredAccess, StartOptions,
};
use toolgate_egress::{Egress, EgressPolicy, PoolOptions};
use toolgate_model::Slug;
use toolgate_runtime::{SharedClock, hosts::HostPolicy, random, tls};
use toolgate_store::{EmbeddedStore, EtcdOptions, EtcdStore, EtcdTls};

use super::{
    ProcessContext, RunningRole, announce, egress, listen,
    options::{AdminListenerOptions, ControlPlaneOptions},
};

#[cfg(test)]
mod tests;

/// Names of files in the data folder.
const STORE_FILE: &str = "store.redb";
const KEY_FILE: &str = "key";
const DEPLOYMENT_FILE: &str = "deployment";
/// File with the first admin token.
pub const TOKEN_FILE: &str = "admin-token";
/// Organization created in an empty store.
const DEFAULT_ORGANIZATION: &str = "default";

/// Settings in which `up` and `control-plane` differ.
pub struct ControlPlaneSettings<'a> {
    /// Data folder.
    pub data_dir: &'a Path,
    /// Key file, if not in the data folder.
    pub key_file: Option<&'a Path>,
    /// Prefix of bearer tokens.
    pub token_prefix: &'a str,
    /// True if a lost admin token is replaced.
    pub reset_admin_token: bool,
    /// True if the store was restored from a backup.
    pub new_epoch: bool,
    /// True if a new deployment may begin in an empty store, although an earlier deployment was served.
    pub new_deployment: bool,
    /// True if the store is a file, which no other process can have open.
    pub exclusive_store: bool,
    /// Id of the proxy in the same process, if there is one.
    pub local_proxy: Option<Slug>,
    /// Policy of outbound connections of probes.
    pub egress: EgressPolicy,
}

/// Builds the role.
pub async fn build(
    options: ControlPlaneOptions,
    context: &ProcessContext,
) -> anyhow::Result<RunningRole> {
    let admin_listener = AdminListenerBuilder::new(&options.admin, context)?;
    let store = if options.etcd.is_empty() {
        open_embedded_store(&options.common.data_dir, &context.clock)?
    } else {
        Arc::new(EtcdStore::new(etcd_options(&options)?)?)
    };
    let actors = ActorSystem::start(1)?;
    let setting = ControlPlaneSettings {
        data_dir: &options.common.data_dir,
        key_file: options.key_file.as_deref(),
        token_prefix: &options.admin.token_prefix,
        reset_admin_token: options.reset_admin_token,
        new_epoch: options.new_epoch,
        new_deployment: options.new_deployment,
        exclusive_store: options.etcd.is_empty(),
        local_proxy: None,
        egress: egress::policy(&options.egress, false)?,
    };
    let control_plane = start(setting, store, context, &actors).await?;
    let admin = admin_listener.bind(&control_plane, context).await?;
    let listener = listen::bind(options.push_listen, "push listener").await?;
    let push = listener.local_addr()?;
    let names = (!options.insecure_push).then(|| push_certificate_names(&options));
    if names.is_none() {
        tracing::warn!(%push, "proxies are served WITHOUT TLS: whoever reaches this port gets every secret");
    }
    control_plane.serve_fleet(listener, names)?;
    tracing::info!(%admin, %push, "serving");
    let token = options.common.data_dir.join(TOKEN_FILE);
    let mut announcement = match control_plane.first_token() {
        FirstToken::Created => vec![
            format!("admin API   {admin}"),
            announce::new_admin_token(&read_trimmed(&token)?, &token, announce::is_on_terminal()),
        ],
        FirstToken::Kept => Vec::new(),
        FirstToken::Elsewhere => vec![
            "the admin token lies with the control plane that started first; if it is lost: --reset-admin-token"
                .to_owned(),
        ],
    };
    announcement.extend(
        control_plane
            .restored()
            .map(RestoredAccess::lines)
            .unwrap_or_default(),
    );
    Ok(RunningRole {
        announcement,
        actors: vec![actors],
        address_file: None,
    })
}

/// Opens the embedded store, a file in the data folder.
pub fn open_embedded_store(data_dir: &Path, clock: &SharedClock) -> anyhow::Result<Arc<dyn Store>> {
    let file = data_dir.join(STORE_FILE);
    let store = EmbeddedStore::open(&file, Arc::clone(clock));
    Ok(Arc::new(store.context("cannot open the store")?))
}

/// Starts the control plane over any store.
pub async fn start(
    setting: ControlPlaneSettings<'_>,
    store: Arc<dyn Store>,
    context: &ProcessContext,
    actors: &ActorSystem,
) -> anyhow::Result<ControlPlane> {
    let egress = Egress::new(setting.egress)?;
    let in_folder = setting.data_dir.join(KEY_FILE);
    let options = StartOptions {
        token_prefix: setting.token_prefix.to_owned(),
        organization: DEFAULT_ORGANIZATION.parse()?,
        key_file: Some(setting.key_file.map_or(in_folder, Path::to_owned)),
        admin_token_file: setting.data_dir.join(TOKEN_FILE),
        deployment_file: setting.data_dir.join(DEPLOYMENT_FILE),
        reset_admin_token: setting.reset_admin_token,
        new_epoch: setting.new_epoch,
        new_deployment: setting.new_deployment,
        exclusive_store: setting.exclusive_store,
        local_proxy: setting.local_proxy,
    };
    let context = toolgate_control_plane::ControlPlaneContext {
        clock: Arc::clone(&context.clock),
        metrics: context.metrics.clone(),
        readiness: context.readiness.clone(),
        drain: context.drain.clone(),
        actors: actors.clone(),
        http: egress.http(PoolOptions::default()),
    };
    Ok(ControlPlane::start(options, store, context).await?)
}

/// Validated settings of the admin listener. They are checked before the store is written to, so that a start with
/// forbidden settings has no effect.
pub struct AdminListenerBuilder {
    listen: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    hosts: HostPolicy,
}

impl AdminListenerBuilder {
    /// Checks the options and loads the certificate.
    pub fn new(options: &AdminListenerOptions, context: &ProcessContext) -> anyhow::Result<Self> {
        let certificate = listen::CertificateFiles {
            subject: "certificate of the admin API",
            chain: options.admin_cert.as_ref(),
            key: options.admin_key.as_ref(),
        };
        let tls = listen::tls_config(certificate, tls::ALPN_BOTH, context)?;
        if tls.is_none() {
            check_plaintext(options)?;
        }
        let names = options.admin_hosts.iter().map(String::as_str);
        let hosts = HostPolicy::new(options.admin_listen, names, "--admin-host");
        Ok(Self {
            listen: options.admin_listen,
            tls,
            hosts: hosts
                .context("--admin-host")?
                .with_metrics("admin", &context.metrics),
        })
    }

    /// Opens the admin API and returns its address.
    pub async fn bind(
        self,
        control_plane: &ControlPlane,
        context: &ProcessContext,
    ) -> anyhow::Result<String> {
        let listener = listen::bind(self.listen, "admin API").await?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", listener.local_addr()?);
        control_plane.serve_admin(
            listener,
            AdminOptions {
                tls: self.tls,
                readiness: context.readiness.clone(),
                hosts: Some(self.hosts),
                ..AdminOptions::default()
            },
        );
        Ok(address)
    }
}

/// Rejects a listener without TLS beyond loopback, unless it is explicitly allowed.
fn check_plaintext(options: &AdminListenerOptions) -> anyhow::Result<()> {
    let at = options.admin_listen;
    if at.ip().is_loopback() {
        return Ok(());
    }
    anyhow::ensure!(
        options.insecure_admin,
        "the admin API at {at} would be served without TLS, and tokens and credentials could be read on the way; \
         give --admin-cert and --admin-key, or, where the network is trusted, --insecure-admin"
    );
    tracing::warn!(%at, "the admin API is served WITHOUT TLS: whoever listens in gets every token and credential");
    Ok(())
}

/// Returns the names of the push listener's certificate: the given names, the loopback names and the listen
/// address.
fn push_certificate_names(options: &ControlPlaneOptions) -> Vec<String> {
    let ourselves = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names: Vec<_> = options
        .push_names
        .iter()
        .cloned()
        .chain(ourselves)
        .collect();
    let address = options.push_listen.ip();
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    names.sort();
    names.dedup();
    names
}

fn etcd_options(options: &ControlPlaneOptions) -> anyhow::Result<EtcdOptions> {
    let read =
        |file: &Path| fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let ca = options.etcd_ca.as_deref().map(read).transpose()?;
    let pair = options
        .etcd_cert
        .as_deref()
        .zip(options.etcd_key.as_deref());
    let client_pem = pair
        .map(|(cert, key)| Ok::<_, anyhow::Error>((read(cert)?, read(key)?)))
        .transpose()?;
    let encrypted = options.etcd.iter().any(|member| member.scheme() == "https");
    let tls = encrypted.then(|| EtcdTls {
        ca_pem: ca.unwrap_or_default(),
        client_pem,
        server_name: None,
    });
    let user = options
        .etcd_user
        .as_ref()
        .zip(options.etcd_password_file.as_deref());
    let user = user
        .map(|(user, file)| Ok::<_, anyhow::Error>((user.clone(), self::read_trimmed(file)?)))
        .transpose()?;
    let endpoints = options.etcd.iter().map(ToString::to_string).collect();
    Ok(EtcdOptions {
        endpoints: from_member(endpoints, random::number()),
        namespace: options.etcd_prefix.clone(),
        tls,
        user,
        quota: Some(u64::from(options.etcd_quota) << 20),
    })
}

/// Returns the members in the given order, from a random one on. The control planes of a deployment start at different
/// members, so that a frozen member affects some of them only.
fn from_member(mut endpoints: Vec<String>, random: u64) -> Vec<String> {
    let count = u64::try_from(endpoints.len()).unwrap_or(u64::MAX).max(1);
    let first = usize::try_from(random % count).unwrap_or_default();
    endpoints.rotate_left(first);
    endpoints
}

/// Reads a file of one line.
pub fn read_trimmed(file: &Path) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim().to_owned())
}
