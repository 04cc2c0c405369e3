//! Routing of request paths to gateways. Only one canonical form is accepted, with or without a slash at its end; anything
//! else is not found, so that no two spellings can be judged by different rules.

use std::sync::Arc;

use crate::{GatewayView, Refusal, View};

/// Path prefix of every gateway.
pub const PATH_PREFIX: &str = "/v1/mcp/";

/// Returns the gateway named by `path`, which must be exactly `/v1/mcp/<gateway>` or `/v1/mcp/<gateway>/`. Returns
/// `Ok(None)` if there is no such gateway; only an authenticated caller may learn that.
///
/// A slash at the end is served and not redirected: clients repeat a redirected POST as GET, without its body.
///
/// `path` is the path of the request target as received, without its query and without decoding.
pub fn route<'a>(view: &'a View, path: &str) -> Result<Option<&'a Arc<GatewayView>>, Refusal> {
    let rest = path.strip_prefix(PATH_PREFIX).ok_or(Refusal::NoSuchPath)?;
    // A gateway id holds only `a-z`, `0-9` and `-`: a further slash, a dot, a percent sign or an upper-case letter matches
    // no gateway.
    let id = rest.strip_suffix('/').unwrap_or(rest);
    Ok(view.gateway(id))
}

#[cfg(test)]
mod tests;
