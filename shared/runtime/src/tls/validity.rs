//! Certificates that are rejected for their period of validity, by this process or by its peer. Either the period is over,
//! or a clock is off: the error does not tell which, so that it names both times.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use rustls_pki_types::UnixTime;
use toolgate_model::Timestamp;

use crate::clock::rfc3339;

/// Rejection of a certificate for its period of validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidityProblem {
    /// The peer's certificate is not valid before a time that is later than `now` of this machine.
    NotYetValid {
        /// Start of the period of validity.
        not_before: Timestamp,
        /// Time of the clock of this machine.
        now: Timestamp,
    },
    /// The peer's certificate ended at a time that is earlier than `now` of this machine.
    Expired {
        /// End of the period of validity.
        not_after: Timestamp,
        /// Time of the clock of this machine.
        now: Timestamp,
    },
    /// The peer rejects the certificate of this process at the time of its own clock.
    RejectedByPeer,
}

impl ValidityProblem {
    /// Returns the problem that an error or one of its sources reports, if any.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(current) = next {
            if let Some(found) = tls_error(current).and_then(Self::of_tls) {
                return Some(found);
            }
            // HTTP/2 keeps the text alone of an error that ends its connection.
            let alert = TlsError::AlertReceived(AlertDescription::CertificateExpired);
            if current.to_string().contains(&alert.to_string()) {
                return Some(Self::RejectedByPeer);
            }
            next = current.source();
        }
        None
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no other error is about the period of validity"
    )]
    fn of_tls(error: &TlsError) -> Option<Self> {
        match error {
            TlsError::AlertReceived(AlertDescription::CertificateExpired) => {
                Some(Self::RejectedByPeer)
            }
            TlsError::InvalidCertificate(CertificateError::NotValidYetContext {
                time,
                not_before,
            }) => Some(Self::NotYetValid {
                not_before: timestamp(*not_before),
                now: timestamp(*time),
            }),
            TlsError::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
                Some(Self::Expired {
                    not_after: timestamp(*not_after),
                    now: timestamp(*time),
                })
            }
            _ => None,
        }
    }

    /// Describes the problem of a connection to `peer`, with both times and the next step.
    pub fn describe(&self, peer: &str) -> String {
        let (period, now) = match self {
            Self::NotYetValid { not_before, now } => (
                format!("is not valid before {}", rfc3339(*not_before)),
                *now,
            ),
            Self::Expired { not_after, now } => {
                (format!("was valid until {}", rfc3339(*not_after)), *now)
            }
            Self::RejectedByPeer => {
                return format!(
                    "{peer} rejects the certificate of this process as not valid at the time of its clock"
                );
            }
        };
        format!(
            "the certificate of {peer} {period}, and the clock of this machine shows {}: compare the clocks of both machines \
             with the right time, and switch on time synchronisation",
            rfc3339(now)
        )
    }
}

/// Returns the error of TLS in `error` itself, which an error of a socket may wrap.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    if let Some(found) = error.downcast_ref::<TlsError>() {
        return Some(found);
    }
    error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

fn timestamp(at: UnixTime) -> Timestamp {
    Timestamp(at.as_secs().saturating_mul(1000))
}

#[cfg(test)]
mod tests;
