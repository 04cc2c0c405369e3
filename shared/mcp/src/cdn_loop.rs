//! Loop detection of RFC 8586: the `CDN-Loop` header of a request names the deployments that it has passed. A deployment
//! appends its own id to each request that it sends, and rejects requests that name it already.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Name of the header.
pub const CDN_LOOP: &str = "cdn-loop";

/// Maximum number of ids in the header of a sent request. Gateways of different deployments may be chained up to it.
pub const MAX_IDS: usize = 8;

/// Maximum length in bytes of the header of a received request, all of its lines together.
pub const MAX_LENGTH: usize = 1024;

/// Domain of the hash that makes an id of a key.
const DOMAIN: &[u8] = b"toolgate cdn-id v1\0";

/// Number of hash bytes in an id.
const ID_BYTES: usize = 12;

/// Id of a deployment in the header (`cdn-id`): a token that is the same on all its processes and names no tenant. It is not
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdnId(Box<str>);

/// Reason to reject a request for its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CdnLoopError {
    /// The header names this deployment.
    #[error(
        "loop detected: the request has passed this deployment before, so a server of one of its gateways leads back to it; \
         remove that server from the gateway"
    )]
    PassedBefore,
    /// No room is left for the id of this deployment.
    #[error(
        "loop detected: `CDN-Loop` names {MAX_IDS} deployments or more, or is longer than {MAX_LENGTH} bytes; shorten the chain \
         of gateways"
    )]
    ChainTooLong,
}

impl CdnId {
    /// Derives the id from a random key of at least 16 bytes that all processes of a deployment have. It reveals nothing of
    /// the key.
    pub fn derive(key: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(DOMAIN).chain_update(key);
        let hash = hash.finalize();
        let digits = hash.iter().take(ID_BYTES);
        let digits: String = digits.map(|byte| format!("{byte:02x}")).collect();
        Self(format!("toolgate-{digits}").into())
    }

    /// Returns the id as text: letters, digits and hyphens.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks the lines of the header of a received request.
    pub fn check<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) -> Result<(), CdnLoopError> {
        let (mut length, mut count) = (0, 0);
        for line in lines {
            length += line.len();
            if length > MAX_LENGTH {
                return Err(CdnLoopError::ChainTooLong);
            }
            for id in ids(line) {
                if id.eq_ignore_ascii_case(self.0.as_bytes()) {
                    return Err(CdnLoopError::PassedBefore);
                }
                count += 1;
            }
        }
        if count >= MAX_IDS {
            return Err(CdnLoopError::ChainTooLong);
        }
        Ok(())
    }
}

impl CdnLoopError {
    /// Label for metrics, logs and programs.
    pub fn kind(self) -> &'static str {
        match self {
            Self::PassedBefore => "gateway_loop",
            Self::ChainTooLong => "gateway_chain",
        }
    }

    /// Returns the reason with this label.
    pub fn of_kind(kind: &str) -> Option<Self> {
        let all = [Self::PassedBefore, Self::ChainTooLong];
        all.into_iter().find(|it| it.kind() == kind)
    }
}

/// Returns the ids of a line, without their parameters. A comma in the quoted value of a parameter counts as the end of an
/// element: that only rejects more.
fn ids(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let elements = line.split(|byte| *byte == b',');
    let ids = elements.map(|element| {
        let id = element.split(|byte| *byte == b';').next();
        id.unwrap_or_default().trim_ascii()
    });
    ids.filter(|id| !id.is_empty())
}

impl fmt::Display for CdnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
