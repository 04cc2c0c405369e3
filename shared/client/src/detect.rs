//! Era detection. A modern request is tried first; a server without a modern response is treated as legacy, and
//! `initialize` decides. No single error code decides, except codes sent only by modern servers. A version pinned by the
//! operator decides without a probe.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use toolgate_egress::HttpClient;
use toolgate_mcp::{RpcError, error::codes, message::Implementation, versions};
use toolgate_model::{Era, EraPolicy, ProtocolVersion};
use toolgate_runtime::drain::Drain;

use crate::{
    endpoint::ServerEndpoint,
    error::{ClientError, shorten},
    legacy::{LegacySession, VersionOffer},
    modern::{self, ModernClient},
    rpc_client::RpcClient,
    server_client::ServerClient,
};

/// Client of the detected server.
pub type DetectedClient = ServerClient;

/// Timeout of the first request, which a legacy server need not understand.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Protocol configured for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConfiguredProtocol {
    /// Era, or a probe.
    pub era: EraPolicy,
    /// Version to speak. It takes precedence over the era.
    pub version: Option<ProtocolVersion>,
}

/// Detects a server's era, or enforces the configured era and version, and connects a client. The stream of an HTTP+SSE
/// server (2024-11-05) is read under `drain`.
pub async fn detect(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    configured: ConfiguredProtocol,
    client_info: &Implementation,
    drain: &Drain,
) -> Result<DetectedClient, ClientError> {
    let policy = match configured.version {
        Some(pinned) if pinned.era() == Era::Legacy => {
            let offer = VersionOffer::Pinned(pinned.as_str());
            return legacy(http, endpoint, offer, client_info, drain).await;
        }
        Some(_) => EraPolicy::Modern,
        None => configured.era,
    };
    if policy == EraPolicy::Legacy {
        let offer = VersionOffer::Preferred(versions::LATEST_LEGACY);
        return legacy(http, endpoint, offer, client_info, drain).await;
    }
    let probing = policy == EraPolicy::Probe;
    let rpc = RpcClient {
        http: http.clone(),
        endpoint: if probing {
            endpoint.clone().with_max_timeout(PROBE_TIMEOUT)
        } else {
            endpoint.clone()
        },
    };
    let mut found = modern::discover(&rpc, client_info).await;
    if found.as_ref().err().map(verdict) == Some(EraVerdict::Retry) {
        found = modern::discover(&rpc, client_info).await;
    }
    let version = match found {
        Ok(found) => match common(&found.versions) {
            Some(versions::MODERN) => {
                let peer = ModernClient::new(http, endpoint, found, client_info);
                return Ok(ServerClient::Modern(peer));
            }
            Some(version) => version,
            None => return Err(no_common(&found.versions)),
        },
        Err(error) => match verdict(&error) {
            _ if !probing => return Err(error),
            EraVerdict::Legacy(version) => version,
            // Some servers and the gateways in front of them let `initialize` pass only.
            EraVerdict::Denied => versions::LATEST_LEGACY,
            EraVerdict::Neither | EraVerdict::Retry => return Err(error),
            EraVerdict::NoCommonVersion(server_versions) => {
                return Err(no_common(&server_versions));
            }
        },
    };
    if !probing {
        let offered = format!("only {version}");
        return Err(ClientError::NoCommonVersion { offered });
    }
    let offer = VersionOffer::Preferred(version);
    legacy(http, endpoint, offer, client_info, drain).await
}

async fn legacy(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    version: VersionOffer<'_>,
    client_info: &Implementation,
    drain: &Drain,
) -> Result<DetectedClient, ClientError> {
    let session = LegacySession::open(http, endpoint, version, client_info, drain).await?;
    Ok(ServerClient::Legacy(session))
}

/// Conclusion from a failed modern request.
#[derive(Debug, PartialEq, Eq)]
enum EraVerdict {
    /// Legacy: try `initialize` with this version.
    Legacy(&'static str),
    /// The server rejected a version that it lists as supported: one retry with the same version.
    Retry,
    /// Access was denied, which can depend on the method: `initialize` decides.
    Denied,
    /// Inconclusive: the failure is unrelated to the era and would occur in any.
    Neither,
    /// Modern, but without a common version.
    NoCommonVersion(Vec<String>),
}

fn verdict(error: &ClientError) -> EraVerdict {
    if let Some(rpc) = error.rpc()
        && codes::is_modern(rpc.code)
    {
        return modern_error(rpc);
    }
    match error {
        ClientError::Egress(_) | ClientError::Request(_) | ClientError::Broken(_) => {
            EraVerdict::Neither
        }
        ClientError::Status(problem) => match problem.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => EraVerdict::Denied,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::LOOP_DETECTED => EraVerdict::Neither,
            _ => EraVerdict::Legacy(versions::LATEST_LEGACY),
        },
        ClientError::Timeout(_)
        | ClientError::TooLarge(_)
        | ClientError::Expansion(_)
        | ClientError::TooManyEvents(_)
        | ClientError::Exhausted
        | ClientError::Frame(_)
        | ClientError::Rpc(_)
        | ClientError::Protocol(_)
        | ClientError::NoCommonVersion { .. } => EraVerdict::Legacy(versions::LATEST_LEGACY),
    }
}

/// Interprets an error code that only modern servers send.
fn modern_error(rpc: &RpcError) -> EraVerdict {
    if rpc.code != codes::UNSUPPORTED_VERSION {
        return EraVerdict::Neither;
    }
    let supported = rpc.data.as_ref().and_then(|data| data.get("supported"));
    let names = supported.and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> = names
        .filter_map(Value::as_str)
        .take(32)
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return EraVerdict::Legacy(versions::LATEST_LEGACY);
    }
    match common(&names) {
        Some(versions::MODERN) => EraVerdict::Retry,
        // The only common version starts with `initialize`.
        Some(version) => EraVerdict::Legacy(version),
        None => EraVerdict::NoCommonVersion(names),
    }
}

/// Returns the newest version supported by both.
fn common(server_versions: &[String]) -> Option<&'static str> {
    let offered = |known: &&str| server_versions.iter().any(|version| version == known);
    let mut known = versions::ALL.into_iter().chain([versions::OLDEST]);
    known.find(offered)
}

fn no_common(server_versions: &[String]) -> ClientError {
    let offered = if server_versions.is_empty() {
        "no version that it names".to_owned()
    } else {
        shorten(&server_versions.join(", "))
    };
    ClientError::NoCommonVersion { offered }
}

#[cfg(test)]
pub(crate) mod tests;
