//! Routing of request paths to gateways. Only one canonical form is accepted; anything else is not found, so that no
//! two spellings can be judged by different rules.

use std::sync::Arc;

use crate::{GatewayView, Refusal, View};

/// Path prefix of every gateway.
pub const PATH_PREFIX: &str = "/v1/mcp/";

/// Returns the gateway named by `path`, which must be exactly `/v1/mcp/<gateway>`. Returns `Ok(None)` if there is no
/// such gateway; only an authenticated caller may learn that.
///
/// `path` is the path of the request target as received, without its query and without decoding.
pub fn route<'a>(view: &'a View, path: &str) -> Result<Option<&'a Arc<GatewayView>>, Refusal> {
    // A gateway id holds only `a-z`, `0-9` and `-`: a slash, a dot, a percent sign or an upper-case letter matches no
    // gateway.
    let id = path.strip_prefix(PATH_PREFIX).ok_or(Refusal::NoSuchPath)?;
    Ok(view.gateway(id))
}

#[cfg(test)]
mod tests;
