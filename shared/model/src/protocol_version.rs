//! Revisions of the protocol that can be pinned for a server.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Era;

/// Revision of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProtocolVersion {
    /// 2024-11-05, with the HTTP+SSE transport.
    #[serde(rename = "2024-11-05")]
    V2024November,
    /// 2025-03-26.
    #[serde(rename = "2025-03-26")]
    V2025March,
    /// 2025-06-18.
    #[serde(rename = "2025-06-18")]
    V2025June,
    /// 2025-11-25.
    #[serde(rename = "2025-11-25")]
    V2025November,
    /// 2026-07-28, which is stateless.
    #[serde(rename = "2026-07-28")]
    V2026July,
}

/// Error of a text that is not a supported revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a supported version: use 2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26 or 2024-11-05"
)]
pub struct UnknownVersion;

impl ProtocolVersion {
    /// All revisions, newest first.
    pub const ALL: [Self; 5] = [
        Self::V2026July,
        Self::V2025November,
        Self::V2025June,
        Self::V2025March,
        Self::V2024November,
    ];

    /// Returns the revision as the protocol writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024November => "2024-11-05",
            Self::V2025March => "2025-03-26",
            Self::V2025June => "2025-06-18",
            Self::V2025November => "2025-11-25",
            Self::V2026July => "2026-07-28",
        }
    }

    /// Returns the era of the revision.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026July => Era::Modern,
            Self::V2024November | Self::V2025March | Self::V2025June | Self::V2025November => {
                Era::Legacy
            }
        }
    }
}

impl FromStr for ProtocolVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let named = Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text);
        named.ok_or(UnknownVersion)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
