//! Listeners, and what they present.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

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
