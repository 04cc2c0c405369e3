//! Access granted by a token. List responses and calls use the same decision, so that they cannot differ.

use toolgate_model::{Digest, Reach};

/// Permission to see and call exposed tools, compiled from a token's filter. Equal filters share one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    tools: Reach<String>,
    digest: Digest,
}

impl Grant {
    /// Creates a grant from a token's filter.
    pub fn new(tools: Reach<String>) -> Self {
        let digest = Digest::of(&tools);
        Self { tools, digest }
    }

    /// Returns `true` if the tool with this exposed name may be seen and called.
    pub fn allows(&self, exposed: &str) -> bool {
        self.tools.contains(exposed)
    }

    /// Returns `true` if prompts and resources may be seen and used. A token restricted to some tools has no access to
    /// them.
    pub fn allows_rest(&self) -> bool {
        self.is_all()
    }

    /// Returns `true` if the token has no tool filter.
    pub fn is_all(&self) -> bool {
        matches!(self.tools, Reach::All)
    }

    /// Digest of the filter; equal grants have equal digests.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
