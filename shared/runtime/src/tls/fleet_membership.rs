//! Identity of a proxy in its fleet.

use rustls_pki_types::CertificateDer;

use super::ReloadableIdentity;

/// Identity of this proxy in its fleet. Proxies of one fleet authenticate each other with it.
#[derive(Clone)]
pub struct FleetMembership {
    /// Certificate that the proxy presents; renewed in place.
    pub identity: ReloadableIdentity,
    /// Certificate authority of the fleet.
    pub authority: CertificateDer<'static>,
}
