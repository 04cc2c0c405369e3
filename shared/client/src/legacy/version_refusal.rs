//! Errors of `initialize` by which a server refuses the version instead of selecting another one, as the protocol
//! requires.

use http::StatusCode;
use serde_json::Value;
use toolgate_mcp::{RpcError, error::codes, versions};

use crate::error::ClientError;

/// JSON-RPC code of invalid params, with which some servers refuse a version.
const INVALID_PARAMS: i64 = -32602;

/// Versions offered to a server that names none.
const FALLBACK: [&str; 2] = ["2025-06-18", "2025-03-26"];

/// Returns the versions to offer after `error`, in this order; `None` if the error does not refuse the version
/// `refused`.
pub(super) fn versions_to_offer(error: &ClientError, refused: &str) -> Option<Vec<&'static str>> {
    let named = match error.rpc() {
        Some(rpc) if refuses_version(rpc) => named_versions(rpc),
        None if error.status() == Some(StatusCode::BAD_REQUEST) => Vec::new(),
        Some(_) | None => return None,
    };
    let known = versions::LEGACY.into_iter().chain([versions::OLDEST]);
    let mut offered: Vec<&'static str> = known
        .filter(|version| named.iter().any(|named| named == version))
        .collect();
    for version in FALLBACK {
        if !offered.contains(&version) {
            offered.push(version);
        }
    }
    offered.retain(|version| *version != refused);
    Some(offered)
}

fn refuses_version(rpc: &RpcError) -> bool {
    matches!(rpc.code, INVALID_PARAMS | codes::UNSUPPORTED_VERSION)
        || rpc.message.to_ascii_lowercase().contains("version")
}

/// Returns the versions that the error names in its data or its message.
fn named_versions(rpc: &RpcError) -> Vec<String> {
    let data = rpc.data.as_ref();
    let lists = ["supported", "supportedVersions", "versions"].map(|member| data?.get(member));
    let listed = lists.into_iter().flatten().filter_map(Value::as_array);
    let listed = listed
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    let known = versions::LEGACY.into_iter().chain([versions::OLDEST]);
    let written = known.filter(|version| rpc.message.contains(version));
    listed.chain(written.map(str::to_owned)).collect()
}
