//! Role `proxy`: serves gateways to clients with configuration from a control plane.

use std::{fs, path::Path};

use anyhow::Context as _;
use tokio::task::spawn_blocking;
use toolgate_data_plane::{
    DataPlane, DataPlaneOptions, PeerListenerOptions, RequestLimits,
    sync::{self, ControlPlaneTransport, JoinBundle, SyncHandle, SyncOptions},
};
use toolgate_egress::EgressPolicy;
use toolgate_runtime::tls;
use url::Url;

use super::{
    ProcessContext, RunningRole, egress, listen,
    options::{ClientListenerOptions, ProxyOptions, RequestLimitOptions},
};

/// Number of threads for the actors of a proxy.
const ACTOR_THREADS: usize = 1;
/// Port of a control plane if its URL names none.
const PUSH_PORT: u16 = 7410;

/// Builds the role.
pub async fn build(options: ProxyOptions, context: &ProcessContext) -> anyhow::Result<RunningRole> {
    let id = options
        .id
        .as_deref()
        .map(str::parse)
        .transpose()
        .context("--id")?;
    let sync = SyncOptions {
        proxy_id: id,
        region: options.listener.region.clone(),
        listen: advertised_url(&options.listener),
        data_dir: Some(options.common.data_dir.clone()),
        ..SyncOptions::new(control_link(&options)?)
    };
    let source = start_sync(sync, context).await?;
    let policy = egress::policy(&options.egress, false)?;
    let peers = peer_listener(&options)?;
    let data_plane = serve(source, &options.listener, policy, peers, context)?;
    Ok(RunningRole {
        announcement: Vec::new(),
        actors: vec![data_plane.actors().clone()],
        address_file: None,
    })
}

/// Starts the synchronization of the proxy's configuration. A saved configuration is read first, which takes a while if it
/// is large.
pub async fn start_sync(
    options: SyncOptions,
    context: &ProcessContext,
) -> anyhow::Result<SyncHandle> {
    let context = context.proxy_context();
    let starting = spawn_blocking(move || sync::start(options, &context));
    Ok(starting
        .await
        .context("the configuration cannot be read")??)
}

/// Starts the data plane and its client listener.
pub fn serve(
    source: SyncHandle,
    settings: &ClientListenerOptions,
    egress: EgressPolicy,
    peers: Option<PeerListenerOptions>,
    context: &ProcessContext,
) -> anyhow::Result<DataPlane> {
    let certificate = listen::CertificateFiles {
        subject: "certificate of the client listener",
        chain: settings.tls_cert.as_ref(),
        key: settings.tls_key.as_ref(),
    };
    let mut options = DataPlaneOptions::new(settings.listen);
    options
        .listener
        .public_hosts
        .clone_from(&settings.public_hosts);
    options
        .listener
        .allowed_origins
        .clone_from(&settings.allowed_origins);
    options.listener.tls = listen::tls_config(certificate, tls::ALPN_BOTH, context)?;
    options.listener.liveness = context.liveness.clone();
    options.listener.linger = settings.linger;
    options.limits = request_limits(&settings.limits);
    options.listener.limits.total_body_bytes = mebibytes(settings.limits.body_memory);
    options.response_bytes = mebibytes(settings.limits.answer_memory);
    options.calls_per_server =
        usize::try_from(settings.limits.max_calls_per_server).unwrap_or(usize::MAX);
    options.egress = egress;
    options.actor_threads = ACTOR_THREADS;
    options.peers = peers;
    Ok(DataPlane::start(options, source, context.proxy_context())?)
}

/// Returns the options of the listener for other proxies. An unspecified address such as 0.0.0.0 requires an
/// address at which the others can reach it.
fn peer_listener(options: &ProxyOptions) -> anyhow::Result<Option<PeerListenerOptions>> {
    let Some(listen) = options.peer_listener() else {
        return Ok(None);
    };
    let address = options.peer_address().map(str::to_owned);
    anyhow::ensure!(
        address.is_some() || !listen.ip().is_unspecified(),
        "--peer-listen {listen} is not an address at which peers can reach this proxy: add --peer-address HOST:PORT"
    );
    if let Some(address) = &address {
        let named = address.rsplit_once(':').filter(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        anyhow::ensure!(
            named.is_some() && address.len() <= PeerListenerOptions::ADDRESS_LIMIT,
            "--peer-address {address} is not HOST:PORT"
        );
    }
    Ok(Some(PeerListenerOptions { listen, address }))
}

fn mebibytes(count: u32) -> usize {
    usize::try_from(count).map_or(usize::MAX, |count| count.saturating_mul(1024 * 1024))
}

fn request_limits(settings: &RequestLimitOptions) -> RequestLimits {
    RequestLimits {
        requests: settings.max_requests,
        requests_per_token: settings.max_requests_per_token,
        rate_per_token: settings.rate_per_token,
        burst_per_token: settings.burst_per_token,
    }
}

/// Returns the address of the client listener as the control plane shows it.
pub fn advertised_url(settings: &ClientListenerOptions) -> String {
    let scheme = if settings.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let port = settings.listen.port();
    match settings.public_hosts.first() {
        Some(host) if host.contains(':') => format!("{scheme}://{host}"),
        Some(host) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{}", settings.listen),
    }
}

fn control_link(options: &ProxyOptions) -> anyhow::Result<ControlPlaneTransport> {
    for url in &options.control_planes {
        check_scheme(url, options.insecure_push)?;
    }
    let addresses: Result<Vec<_>, _> = options
        .control_planes
        .iter()
        .map(control_plane_address)
        .collect();
    let addresses = addresses?;
    if options.insecure_push {
        tracing::warn!("configuration and secrets come WITHOUT TLS: for development only");
        return Ok(ControlPlaneTransport::Plaintext(addresses));
    }
    let join = options
        .join
        .as_deref()
        .map(read_join_bundle)
        .transpose()?
        .flatten();
    Ok(ControlPlaneTransport::MutualTls { addresses, join })
}

/// Reads the join file. It may be missing once the proxy has its certificate.
fn read_join_bundle(file: &Path) -> anyhow::Result<Option<JoinBundle>> {
    match fs::read(file) {
        Ok(text) => Ok(Some(
            JoinBundle::parse(&text).with_context(|| format!("{}", file.display()))?,
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::info!(file = %file.display(), "there is no join file (any more)");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Checks that the scheme of a control plane's URL says what `--insecure-push` says.
fn check_scheme(url: &Url, insecure: bool) -> anyhow::Result<()> {
    match (url.scheme(), insecure) {
        ("https", false) | ("http", true) => Ok(()),
        ("http", false) => anyhow::bail!(
            "--control-plane {url} asks for a connection without TLS; write https://…, or start the proxy and the control plane \
             with --insecure-push, for development only"
        ),
        ("https", true) => anyhow::bail!(
            "--control-plane {url} asks for TLS, and --insecure-push for none; write http://…, or leave the flag out"
        ),
        (_, _) => anyhow::bail!("--control-plane {url} is neither https://… nor http://…"),
    }
}

/// Returns `host:port` of a control plane.
fn control_plane_address(url: &Url) -> anyhow::Result<String> {
    let host = url
        .host_str()
        .with_context(|| format!("--control-plane {url} names no host"))?;
    Ok(format!("{host}:{}", url.port().unwrap_or(PUSH_PORT)))
}

#[cfg(test)]
mod tests;
