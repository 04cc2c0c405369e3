//! Reasons why the certificate of a server is rejected. They depend on the certificate alone and contain nothing of it, so
//! that they can be shown to parties other than the operator.

use std::io;

use rustls::{CertificateError, Error as TlsError};

/// Reason why a server's certificate is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// The server presents the certificate of a certificate authority.
    #[error("its certificate is that of a certificate authority (CA), which no server may present")]
    CaAsServer,
    /// The certificate has expired.
    #[error("its certificate has expired")]
    Expired,
    /// The validity of the certificate has not begun.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// The certificate is for other host names.
    #[error("its certificate is for other host names")]
    OtherName,
    /// The certificate was issued by an authority that is not trusted.
    #[error("its certificate is issued by an authority that is not trusted")]
    UnknownAuthority,
}

impl CertificateProblem {
    /// Returns the problem that a failed handshake reports, if it is one of these.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<TlsError>()?;
        let TlsError::InvalidCertificate(error) = error else {
            return None;
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "any other problem is described by its class"
        )]
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Some(Self::Expired)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Some(Self::NotYetValid)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Some(Self::OtherName)
            }
            CertificateError::UnknownIssuer => Some(Self::UnknownAuthority),
            // The verifier has no error of its own for it.
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
                Some(Self::CaAsServer)
            }
            _ => None,
        }
    }
}
