//! Status with which a control plane refuses a proxy that an operator has deleted from the fleet.

/// Reason in the error details.
pub const EXPELLED: &str = "EXPELLED";

/// Key of the metadata that holds the id of the deleted proxy.
pub const EXPELLED_PROXY: &str = "proxy";
