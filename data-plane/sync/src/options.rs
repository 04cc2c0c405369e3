//! Options that a proxy needs before it can get its configuration from a control plane.

use std::{fmt, path::PathBuf, time::Duration};

use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use toolgate_egress::ControlConnector;
use toolgate_model::{Slug, Timestamp};
use toolgate_runtime::{Drain, Metrics, Readiness, SharedClock, memory::MemoryDialer, tls};
use zeroize::Zeroizing;

/// Options of synchronization: identity, data directory and control plane.
#[derive(Debug)]
pub struct SyncOptions {
    /// Id of this proxy; defaults to its former id, or to a new one.
    pub proxy_id: Option<Slug>,
    /// Region of the proxy. The region of a join bundle takes precedence.
    pub region: String,
    /// Program version.
    pub build: String,
    /// Address for clients.
    pub listen: String,
    /// Data directory; without one, nothing is stored.
    pub data_dir: Option<PathBuf>,
    /// Transport to the control plane.
    pub transport: ControlPlaneTransport,
    /// Minimum and maximum backoff between connection attempts.
    pub reconnect_backoff: (Duration, Duration),
}

/// Transport to the control plane.
pub enum ControlPlaneTransport {
    /// In the same process.
    Memory(MemoryDialer),
    /// Without TLS; for development, must be enabled explicitly.
    Plaintext(Vec<String>),
    /// Mutual TLS with certificates of the deployment.
    MutualTls {
        /// `host:port` of each control plane; tried in turn.
        addresses: Vec<String>,
        /// Join bundle, used without a certificate, or if the certificate seems to have ended and is not renewed.
        join: Option<JoinBundle>,
    },
    /// Connector supplied by the caller.
    Custom(ControlConnector),
}

/// Output of `toolgate proxies join-token`: permits one proxy to join once.
pub struct JoinBundle {
    /// Single-use token.
    pub secret: Zeroizing<String>,
    /// Certificate authority of the control plane.
    pub ca: Vec<CertificateDer<'static>>,
    /// Region of the proxy; empty if not set.
    pub region: String,
}

/// Error of a file that is not a join bundle.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBundle {
    /// Not JSON, or a field is missing.
    #[error("not a join bundle (the output of `toolgate proxies join-token`): {0}")]
    Json(#[from] serde_json::Error),
    /// The authority is not a certificate.
    #[error("its caPem cannot be used: {0}")]
    Authority(#[from] tls::TlsError),
}

/// Process-wide facilities.
#[derive(Clone)]
pub struct ProxyContext {
    /// Clock.
    pub clock: SharedClock,
    /// Metrics registry.
    pub metrics: Metrics,
    /// Readiness; blocked until the proxy has a configuration and keys.
    pub readiness: Readiness,
    /// Drain that ends the tasks.
    pub drain: Drain,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundleFile {
    secret: String,
    #[serde(alias = "ca_pem")]
    ca_pem: String,
    #[serde(default)]
    region: String,
}

impl SyncOptions {
    /// Returns default options for this transport.
    pub fn new(transport: ControlPlaneTransport) -> Self {
        Self {
            proxy_id: None,
            region: String::new(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            listen: String::new(),
            data_dir: None,
            transport,
            reconnect_backoff: (Duration::from_millis(200), Duration::from_secs(10)),
        }
    }
}

impl ControlPlaneTransport {
    pub(crate) fn join_bundle(&self) -> Option<&JoinBundle> {
        match self {
            Self::MutualTls { join, .. } => join.as_ref(),
            Self::Memory(_) | Self::Plaintext(_) | Self::Custom(_) => None,
        }
    }
}

impl JoinBundle {
    /// Parses the content of a join bundle file.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidBundle> {
        let file: BundleFile = serde_json::from_slice(text)?;
        let ca = tls::certificates("the join bundle", file.ca_pem.as_bytes())?;
        Ok(Self {
            secret: Zeroizing::new(file.secret),
            ca,
            region: file.region,
        })
    }
}

impl ProxyContext {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl fmt::Debug for ControlPlaneTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("Memory"),
            Self::Plaintext(addresses) => write!(f, "Plaintext({addresses:?})"),
            Self::MutualTls { addresses, join } => {
                write!(f, "MutualTls({addresses:?}, join: {})", join.is_some())
            }
            Self::Custom(connector) => write!(f, "Custom({connector:?})"),
        }
    }
}

impl fmt::Debug for JoinBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinBundle(region {:?})", self.region)
    }
}

impl fmt::Debug for ProxyContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyContext")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
