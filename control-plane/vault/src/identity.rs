//! Who is at the other end of a mutual TLS connection between planes, read from its certificate after rustls has
//! checked the chain.

use toolgate_model::Slug;
use toolgate_runtime::tls::neighbour_name;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const PROXY: &str = "spiffe://toolgate/proxy/";

/// A peer of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerIdentity {
    /// The proxy of this id.
    Proxy(Slug),
}

/// The identity in a certificate (DER). None unless it names exactly one that we issue.
pub fn peer_identity(certificate_der: &[u8]) -> Option<PeerIdentity> {
    let (rest, certificate) = X509Certificate::from_der(certificate_der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let names = certificate.subject_alternative_name().ok()??;
    match names.value.general_names.as_slice() {
        // The second is for its neighbours, and has to be the same proxy's.
        [GeneralName::URI(uri), GeneralName::DNSName(host)] => {
            let id: Slug = uri.strip_prefix(PROXY)?.parse().ok()?;
            let same = *host == neighbour_name(id.as_str());
            same.then_some(PeerIdentity::Proxy(id))
        }
        _ => None,
    }
}

/// How a certificate names the proxy `id`.
pub(crate) fn proxy_uri(id: &Slug) -> String {
    format!("{PROXY}{id}")
}
