//! What a proxy has to be told before it can be told anything by a control plane.

use std::{fmt, path::PathBuf, time::Duration};

use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use toolgate_egress::ControlConnector;
use toolgate_model::{Slug, Timestamp};
use toolgate_runtime::{Drain, Metrics, Readiness, SharedClock, memory::Dialer, tls};
use zeroize::Zeroizing;

/// How this proxy introduces itself, where it keeps what it must not lose, and where its control plane is.
#[derive(Debug)]
pub struct SyncOptions {
    /// Its id; without one, the one it had before, or a new one.
    pub proxy_id: Option<Slug>,
    /// Where it stands. The region of a join bundle wins.
    pub region: String,
    /// Its program version.
    pub build: String,
    /// Where clients reach it.
    pub listen: String,
    /// Folder for what it keeps; none keeps nothing.
    pub data_dir: Option<PathBuf>,
    /// The control plane.
    pub link: ControlLink,
    /// Shortest and longest ceiling of the waits between attempts to connect.
    pub reconnect: (Duration, Duration),
}

/// How to reach the control plane.
pub enum ControlLink {
    /// In this process.
    Memory(Dialer),
    /// Without TLS: for development, switched on explicitly.
    Plain(Vec<String>),
    /// With certificates of the deployment.
    Mutual {
        /// `host:port` of each control plane; tried in turn.
        addresses: Vec<String>,
        /// To join with, when there is no certificate yet or it has ended.
        join: Option<JoinBundle>,
    },
    /// Through connections made by somebody else.
    Custom(ControlConnector),
}

/// What `toolgate proxies join-token` prints: leave for one proxy to join once.
pub struct JoinBundle {
    /// The single-use token.
    pub secret: Zeroizing<String>,
    /// The authority that the control plane's certificate comes from.
    pub ca: Vec<CertificateDer<'static>>,
    /// Where the proxy stands; empty if not said.
    pub region: String,
}

/// Why a file is no join bundle.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBundle {
    /// Not JSON, or fields are missing.
    #[error("not a join bundle (the output of `toolgate proxies join-token`): {0}")]
    Json(#[from] serde_json::Error),
    /// Its authority is not a certificate.
    #[error("its caPem cannot be used: {0}")]
    Authority(#[from] tls::TlsError),
}

/// What the process offers.
#[derive(Clone)]
pub struct Machine {
    /// The time.
    pub clock: SharedClock,
    /// Instruments.
    pub metrics: Metrics,
    /// The proxy is not ready before it has a configuration and keys.
    pub readiness: Readiness,
    /// Ends the tasks.
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
    /// For a control plane behind `link`; everything else as it mostly is.
    pub fn new(link: ControlLink) -> Self {
        Self {
            proxy_id: None,
            region: String::new(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            listen: String::new(),
            data_dir: None,
            link,
            reconnect: (Duration::from_millis(200), Duration::from_secs(10)),
        }
    }
}

impl ControlLink {
    pub(crate) fn join(&self) -> Option<&JoinBundle> {
        match self {
            Self::Mutual { join, .. } => join.as_ref(),
            Self::Memory(_) | Self::Plain(_) | Self::Custom(_) => None,
        }
    }
}

impl JoinBundle {
    /// From the text of the file.
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

impl Machine {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl fmt::Debug for ControlLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("Memory"),
            Self::Plain(addresses) => write!(f, "Plain({addresses:?})"),
            Self::Mutual { addresses, join } => {
                write!(f, "Mutual({addresses:?}, join: {})", join.is_some())
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

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
