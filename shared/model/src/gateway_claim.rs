//! Claim of a gateway id.

use crate::{Slug, Uid};

/// Claim of a gateway id, which is unique in the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayClaim {
    /// Organization that owns the id.
    pub org: Slug,
    /// Gateway that holds it. A gateway made later under the same name has another uid and a claim of its own. `None` if
    /// an earlier build has written the claim.
    pub uid: Option<Uid>,
}
