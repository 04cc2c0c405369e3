//! End of a token at the command line: a duration from now, or a date and time.

use std::{str::FromStr, time::Duration};

use super::parse_duration;
use crate::cli::output::error::CliError;

/// End of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenExpiry {
    /// This time after its creation or change.
    After(Duration),
    /// This point in time.
    At(jiff::Timestamp),
}

impl TokenExpiry {
    /// Returns the time at which a token ends whose lifetime begins `now`, in Unix milliseconds.
    pub fn time(self, now: u64) -> Result<String, CliError> {
        let ttl = match self {
            Self::After(ttl) => ttl,
            Self::At(at) => return Ok(at.to_string()),
        };
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let at = i64::try_from(now.saturating_add(millis)).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(at).map_err(|_beyond| {
            CliError::usage("--ttl: the token would expire after the year 9999")
                .with_next_step("leave --ttl out for a token that works until it is revoked")
        })?;
        Ok(at.to_string())
    }
}

impl FromStr for TokenExpiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ttl) = parse_duration(text) {
            return Ok(Self::After(ttl));
        }
        let at: Result<jiff::Timestamp, _> = text.trim().parse();
        at.map(Self::At).map_err(|_unknown| {
            format!(
                "`{text}` is neither a duration, such as 30d, 12h, 1h30m or 45s, nor a date and time with its zone (RFC 3339), such \
                 as 2030-12-31T23:59:00Z or 2030-12-31T23:59:00+01:00"
            )
        })
    }
}

#[cfg(test)]
mod tests;
