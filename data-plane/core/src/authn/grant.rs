//! Access granted by a token. List responses and calls use the same decision, so that they cannot differ.

use toolgate_model::{AllowList, Digest};

/// Permission to see and call exposed tools, compiled from a token's filter. Equal filters share one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    tools: AllowList<String>,
    digest: Digest,
}

impl Grant {
    /// Creates a grant from a token's filter.
    pub fn new(tools: AllowList<String>) -> Self {
        let digest = Digest::of(&tools);
        Self { tools, digest }
    }

    /// Returns `true` if the tool with this exposed name may be seen and called.
    pub fn allows_tool(&self, exposed: &str) -> bool {
        self.tools.contains(exposed)
    }

    /// Returns `true` if prompts and resources may be seen and used. A token restricted to some tools has no access to
    /// them.
    pub fn allows_prompts_and_resources(&self) -> bool {
        self.is_unfiltered()
    }

    /// Returns `true` if the token has no tool filter.
    pub fn is_unfiltered(&self) -> bool {
        matches!(self.tools, AllowList::All)
    }

    /// Digest of the filter; equal grants have equal digests.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
