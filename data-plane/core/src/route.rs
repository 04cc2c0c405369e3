//! From a request target to a gateway. One canonical form; anything else is not found, so that no two spellings
//! can be judged by different rules.

use std::sync::Arc;

use crate::{GatewayView, Refusal, View};

/// What every gateway's path starts with.
pub const PREFIX: &str = "/v1/mcp/";

/// The gateway that `path` names, by exactly `/v1/mcp/<gateway>`; none if there is no such gateway, which only a caller
/// who has proved to be one may be told.
///
/// `path` is the target's path as received, without its query and without any decoding.
pub fn route<'a>(view: &'a View, path: &str) -> Result<Option<&'a Arc<GatewayView>>, Refusal> {
    // A gateway's id holds only `a-z`, `0-9` and `-`: a slash, a dot, a percent sign or a capital finds nothing.
    let id = path.strip_prefix(PREFIX).ok_or(Refusal::NoSuchPath)?;
    Ok(view.gateway(id))
}

#[cfg(test)]
mod tests;
