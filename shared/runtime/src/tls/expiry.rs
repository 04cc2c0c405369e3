//! Warnings before a certificate from a file of an operator ends.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use toolgate_model::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::rfc3339;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Nearness of the end of a certificate, the least urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryStage {
    /// At most 30 days are left.
    Month,
    /// At most 7 days are left.
    Week,
    /// At most one day is left.
    Day,
    /// The certificate has ended.
    Ended,
}

impl ExpiryStage {
    /// Returns the stage at `now`, or `None` if more than 30 days are left.
    pub fn at(not_after: Timestamp, now: Timestamp) -> Option<Self> {
        let left = not_after.since(now);
        match left {
            Duration::ZERO => Some(Self::Ended),
            left if left <= DAY => Some(Self::Day),
            left if left <= 7 * DAY => Some(Self::Week),
            left if left <= 30 * DAY => Some(Self::Month),
            _ => None,
        }
    }

    /// Describes the stage of the certificate in the file `chain`, with the next step.
    pub fn describe(self, chain: &str, not_after: Timestamp, now: Timestamp) -> String {
        let end = rfc3339(not_after);
        let step = "replace the certificate and its key in their files, which are read again within seconds";
        if self == Self::Ended {
            return format!("{chain} ended at {end}, so that clients refuse it: {step}");
        }
        let left = not_after.since(now);
        let left = match left.as_secs() / DAY.as_secs() {
            0 => "less than a day".to_owned(),
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        };
        format!("{chain} ends at {end}, in {left}: {step}")
    }
}

/// Returns the end of the validity of a certificate, or `None` if it cannot be read.
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    Some(Timestamp(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests;
