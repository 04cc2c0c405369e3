//! Listeners, and what they present.

use std::{io::ErrorKind, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use toolgate_runtime::{
    Drain,
    tls::{self, HotIdentity},
};

/// How often certificate files are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// Listens, or says where it cannot and why that may be.
pub async fn at(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen at {address} ({what}); is another toolgate running there? choose another address")
    })
}

/// Looks at all of them before anything is begun, so that whoever starts a second one hears of everything that is taken
/// at once.
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

/// What a listener presents, from PEM files that may be replaced while it runs. None for plain text.
pub fn presenting(
    chain: Option<&PathBuf>,
    key: Option<&PathBuf>,
    alpn: &[&[u8]],
    drain: &Drain,
) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let Some((chain, key)) = chain.zip(key) else {
        return Ok(None);
    };
    let identity = HotIdentity::watch(chain.clone(), key.clone(), LOOK, drain)?;
    Ok(Some(tls::server(&identity, alpn)?))
}

#[cfg(test)]
mod tests;
