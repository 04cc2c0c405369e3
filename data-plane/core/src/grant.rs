//! What a token may see and call. One decision for lists and calls, so that the two can never differ.

use toolgate_model::{Digest, Reach};

/// Leave to see and call exposed tools, compiled from a token's filter. Equal filters share one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    tools: Reach<String>,
    digest: Digest,
}

impl Grant {
    /// From a token's filter.
    pub fn new(tools: Reach<String>) -> Self {
        let digest = Digest::of(&tools);
        Self { tools, digest }
    }

    /// Whether the tool of this exposed name may be seen and called.
    pub fn allows(&self, exposed: &str) -> bool {
        self.tools.contains(exposed)
    }

    /// Whether prompts and resources may be seen and used. Who was given some tools was given nothing else.
    pub fn allows_rest(&self) -> bool {
        self.is_all()
    }

    /// Whether nothing is filtered.
    pub fn is_all(&self) -> bool {
        matches!(self.tools, Reach::All)
    }

    /// Equal for equal grants.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
