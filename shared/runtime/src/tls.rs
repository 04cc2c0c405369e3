//! TLS configuration: identities and trusted roots. Identities can be replaced at run time, so that a renewed
//! certificate needs no restart. TLS 1.3 only, except towards third-party servers (see `toolgate_egress`).

use std::{fmt, io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{ResolvesClientCert, WebPkiServerVerifier},
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

mod expiry;
mod fleet_membership;
mod reloadable;
mod validity;

pub use expiry::ExpiryStage;
pub use fleet_membership::FleetMembership;
pub use reloadable::ReloadableIdentity;
pub use validity::ValidityProblem;

/// ALPN names of HTTP/2 and HTTP/1.1, in order of preference.
pub const ALPN_BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// ALPN name of HTTP/2 alone, for gRPC.
pub const ALPN_H2: &[&[u8]] = &[b"h2"];

/// Certificate chain with the private key of its leaf.
pub struct TlsIdentity {
    /// Certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Private key of the leaf.
    pub key: PrivateKeyDer<'static>,
}

/// Client certificate requirement of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// The handshake fails without a client certificate.
    Required,
    /// A presented certificate is verified. A client without one is accepted, and must be treated as unauthenticated.
    Optional,
}

/// Error of a TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Path of the file.
        path: String,
        /// Cause.
        source: io::Error,
    },
    /// The content is not PEM, or holds no item of the expected kind.
    #[error("{path} does not hold a {expected} in PEM form: {reason}")]
    Pem {
        /// Path of the file, or a description of the source.
        path: String,
        /// Either `certificate` or `private key`.
        expected: &'static str,
        /// Cause.
        reason: String,
    },
    /// The certificate and key form no valid configuration.
    #[error("unusable certificate or key: {0}")]
    Unusable(String),
}

/// Returns the DNS name in the certificate of the proxy `id`, which its peers verify. Proxies are reached by address;
/// the name is never resolved.
pub fn peer_server_name(id: &str) -> String {
    format!("{id}.proxy.toolgate.internal")
}

/// Installs aws-lc-rs as the process-wide crypto provider. No effect if it is already installed.
pub fn install_provider() {
    // Fails only if a provider is installed, and that is this one: no other is compiled in.
    let _installed = aws_lc_rs::default_provider().install_default();
}

/// Parses certificates from PEM text.
pub fn certificates(path: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Pem {
        path: path.to_owned(),
        expected: "certificate",
        reason,
    };
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(bad("there is none".to_owned()));
    }
    Ok(found)
}

/// Reads certificates from a PEM file.
pub fn certificates_from(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(&path.display().to_string(), &read(path)?)
}

impl TlsIdentity {
    /// Parses an identity from PEM texts.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::named("the chain", chain, "the key", key)
    }

    /// Reads an identity from PEM files.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let (chain_name, key_name) = (chain.display().to_string(), key.display().to_string());
        Self::named(&chain_name, &read(chain)?, &key_name, &read(key)?)
    }

    fn named(chain_name: &str, chain: &[u8], key_name: &str, key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain_name, chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Pem {
            path: key_name.to_owned(),
            expected: "private key",
            reason: error.to_string(),
        })?;
        Ok(Self { chain, key })
    }

    fn certified(self) -> Result<CertifiedKey, TlsError> {
        CertifiedKey::from_der(self.chain, self.key, &aws_lc_rs::default_provider())
            .map_err(unusable)
    }
}

/// Returns the server configuration of a listener without client certificates.
pub fn server(
    identity: &ReloadableIdentity,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let builder = builder
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?;
    let mut config = builder
        .with_no_client_auth()
        .with_cert_resolver(identity.resolver());
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Returns the server configuration of a listener that verifies client certificates against `client_ca`.
pub fn mutual_server(
    identity: &ReloadableIdentity,
    client_ca: &[CertificateDer<'static>],
    client_auth: ClientAuth,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(client_ca)?.into(), provider.clone());
    let verifier = match client_auth {
        ClientAuth::Required => verifier,
        ClientAuth::Optional => verifier.allow_unauthenticated(),
    };
    let verifier = verifier.build().map_err(unusable)?;
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity.resolver());
    // Resumption is off: a resumed session would not verify again that the client's certificate is still valid.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Returns the client configuration for connections within a deployment. It trusts only the roots in `ca` and presents
/// `identity` if given.
pub fn client(
    ca: &[CertificateDer<'static>],
    identity: Option<&ReloadableIdentity>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(ca)?.into(), provider.clone());
    let verifier = verifier.build().map_err(unusable)?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?;
    let builder = builder.with_webpki_verifier(verifier);
    let mut config = match identity {
        Some(identity) => {
            let resolver: Arc<dyn ResolvesClientCert> = identity.resolver();
            builder.with_client_cert_resolver(resolver)
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(unusable)?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.display().to_string(),
        source,
    };
    std::fs::read(path).map_err(failed)
}

fn unusable(error: impl fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({} certificates)", self.chain.len())
    }
}

#[cfg(test)]
mod tests;
