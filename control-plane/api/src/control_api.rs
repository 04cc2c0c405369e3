//! Interface of the API to the rest of the control plane. The ports are defined in the core, except for the keyring,
//! which is a message between control plane and proxies. Each service takes only the ports that it uses;
//! [`ControlApi`] names them together for the assembly of a listener.

use toolgate_control_core::port::{
    CertificateAuthority, CommandWriter, CursorSigner, SecretSealer, ServerProber, StateReader,
    TokenIssuer,
};
use toolgate_wire::keys::ProxyKeyring;

/// Reads the keys that all proxies share.
pub trait KeyringReader: Send + Sync + 'static {
    /// Returns the keys. `token_key` is the key of [`SecretPurpose::Bearer`].
    ///
    /// [`SecretPurpose::Bearer`]: toolgate_control_core::port::SecretPurpose::Bearer
    fn keyring(&self) -> ProxyKeyring;
}

/// All ports of the two listeners.
pub trait ControlApi:
    StateReader
    + CommandWriter
    + TokenIssuer
    + CursorSigner
    + CertificateAuthority
    + SecretSealer
    + ServerProber
    + KeyringReader
{
}

impl<T> ControlApi for T where
    T: StateReader
        + CommandWriter
        + TokenIssuer
        + CursorSigner
        + CertificateAuthority
        + SecretSealer
        + ServerProber
        + KeyringReader
{
}
