//! API tokens of a view. Visible to authentication alone, which turns a token into its caller.

use toolgate_model::{Digest, ObjectName};

use crate::Caller;

/// API token of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenView {
    /// Organization and id.
    pub(crate) name: ObjectName,
    /// Caller that the token authenticates.
    pub(crate) caller: Caller,
    /// Digest of the token resource.
    pub(crate) digest: Digest,
}
