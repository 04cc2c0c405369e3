//! Listeners and their TLS configuration.

use std::{io::ErrorKind, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use toolgate_runtime::{
    Drain,
    tls::{self, ReloadableIdentity},
};

/// Interval between checks of the certificate files.
const CERTIFICATE_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// Binds a listener. The error names the address and the probable cause.
pub async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen at {address} ({what}); is another toolgate running there? choose another address")
    })
}

/// Checks all addresses before the role starts, so that one error names all addresses in use.
pub fn ensure_free(listeners: &[(SocketAddr, &'static str)]) -> anyhow::Result<()> {
    let taken = listeners.iter().filter(|(address, _)| {
        let bound = std::net::TcpListener::bind(address);
        bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
    });
    let taken: Vec<_> = taken
        .map(|(address, flag)| format!("{address} ({flag})"))
        .collect();
    anyhow::ensure!(
        taken.is_empty(),
        "cannot listen at {}: taken; is another toolgate running there? choose others with these flags, and another \
         folder with --data-dir",
        taken.join(", ")
    );
    Ok(())
}

/// Builds the TLS configuration of a listener from PEM files, which may be replaced at run time. Returns `None` for
/// plain text.
pub fn tls_config(
    chain: Option<&PathBuf>,
    key: Option<&PathBuf>,
    alpn: &[&[u8]],
    drain: &Drain,
) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let Some((chain, key)) = chain.zip(key) else {
        return Ok(None);
    };
    let identity =
        ReloadableIdentity::watch(chain.clone(), key.clone(), CERTIFICATE_POLL_INTERVAL, drain)?;
    Ok(Some(tls::server(&identity, alpn)?))
}

#[cfg(test)]
mod tests;
