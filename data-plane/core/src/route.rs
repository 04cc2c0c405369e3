//! From a request target to a gateway. One canonical form; anything else is not found, so that no two spellings
//! can be judged by different rules.

use std::sync::Arc;

use crate::{GatewayView, Refusal, View};

/// What every gateway's path starts with.
pub const PREFIX: &str = "/v1/mcp/";

/// The gateway that `path` names, by exactly `/v1/mcp/<gateway>`.
///
/// `path` is the target's path as received, without its query and without any decoding.
pub fn route<'a>(view: &'a View, path: &str) -> Result<&'a Arc<GatewayView>, Refusal> {
    // A gateway's id holds only `a-z`, `0-9` and `-`: a slash, a dot, a percent sign or a capital finds nothing.
    path.strip_prefix(PREFIX)
        .and_then(|id| view.gateway(id))
        .ok_or(Refusal::NoSuchPath)
}

#[cfg(test)]
mod tests;
