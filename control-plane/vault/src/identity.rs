//! Identity of the peer of a mutual TLS connection between control plane and proxy, read from its certificate after
//! rustls has verified the chain.

use toolgate_model::Slug;
use toolgate_runtime::tls::peer_server_name;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const PROXY_URI_PREFIX: &str = "spiffe://toolgate/proxy/";

/// Identity of an authenticated peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerIdentity {
    /// Proxy with this id.
    Proxy(Slug),
}

/// Returns the identity in a certificate (DER); `None` unless it has exactly the names of a certificate issued by
/// this deployment.
pub fn peer_identity(certificate_der: &[u8]) -> Option<PeerIdentity> {
    let (rest, certificate) = X509Certificate::from_der(certificate_der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let names = certificate.subject_alternative_name().ok()??;
    match names.value.general_names.as_slice() {
        // The DNS name is used between proxies and must belong to the same proxy.
        [GeneralName::URI(uri), GeneralName::DNSName(host)] => {
            let id: Slug = uri.strip_prefix(PROXY_URI_PREFIX)?.parse().ok()?;
            let same = *host == peer_server_name(id.as_str());
            same.then_some(PeerIdentity::Proxy(id))
        }
        _ => None,
    }
}

/// Returns the URI SAN of the proxy `id`.
pub(crate) fn proxy_uri(id: &Slug) -> String {
    format!("{PROXY_URI_PREFIX}{id}")
}
