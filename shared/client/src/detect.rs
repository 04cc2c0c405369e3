//! Which era a server is of. Asked the modern way first; what is no modern answer is taken for a legacy server, and
//! `initialize` has the last word. No single error code decides, save those that only a modern server knows.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use toolgate_egress::HttpClient;
use toolgate_mcp::{RpcError, error::codes, message::Implementation, versions};
use toolgate_model::EraPolicy;
use toolgate_runtime::drain::Drain;

use crate::{
    conversation::Line,
    endpoint::Endpoint,
    error::{ClientError, shorten},
    legacy::LegacySession,
    modern::{self, ModernPeer},
    peer::Peer,
};

/// What was found, with the conversation that has begun.
pub type Detected = Peer;

/// How long a server may take for the first question, which a legacy one need not understand.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// Finds out which era a server is of, or holds it to what `policy` says, and begins a conversation. With a server of
/// 2024-11-05 that is read under `drain`.
pub async fn detect(
    http: &HttpClient,
    endpoint: &Endpoint,
    policy: EraPolicy,
    us: &Implementation,
    drain: &Drain,
) -> Result<Detected, ClientError> {
    if policy == EraPolicy::Legacy {
        return legacy(http, endpoint, versions::LATEST_LEGACY, us, drain).await;
    }
    let probing = policy == EraPolicy::Probe;
    let line = Line {
        http: http.clone(),
        endpoint: if probing {
            endpoint.clone().within(PROBE_TIME)
        } else {
            endpoint.clone()
        },
    };
    let mut found = modern::discover(&line, us).await;
    if found.as_ref().err().map(verdict) == Some(Verdict::Again) {
        found = modern::discover(&line, us).await;
    }
    let version = match found {
        Ok(found) => match common(&found.versions) {
            Some(versions::MODERN) => {
                let peer = ModernPeer::new(http, endpoint, found.facts, us);
                return Ok(Peer::Modern(peer));
            }
            Some(version) => version,
            None => return Err(no_common(&found.versions)),
        },
        Err(error) => match verdict(&error) {
            _ if !probing => return Err(error),
            Verdict::Legacy(version) => version,
            Verdict::Neither | Verdict::Again => return Err(error),
            Verdict::NoCommonVersion(theirs) => return Err(no_common(&theirs)),
        },
    };
    if !probing {
        let theirs = format!("only {version}");
        return Err(ClientError::NoCommonVersion { theirs });
    }
    legacy(http, endpoint, version, us, drain).await
}

async fn legacy(
    http: &HttpClient,
    endpoint: &Endpoint,
    version: &str,
    us: &Implementation,
    drain: &Drain,
) -> Result<Detected, ClientError> {
    let session = LegacySession::open(http, endpoint, version, us, drain).await?;
    Ok(Peer::Legacy(session))
}

/// What a failed question says about the era.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Try `initialize`, in this version.
    Legacy(&'static str),
    /// It refused the version that it names as one it speaks: worth one more try, and no other version.
    Again,
    /// Nothing: the failure is about something else, and would be the same in any era.
    Neither,
    /// Modern, but of another revision.
    NoCommonVersion(Vec<String>),
}

fn verdict(error: &ClientError) -> Verdict {
    if let Some(rpc) = error.rpc()
        && codes::is_modern(rpc.code)
    {
        return modern_error(rpc);
    }
    match error {
        ClientError::Egress(_) | ClientError::Request(_) | ClientError::Broken(_) => {
            Verdict::Neither
        }
        ClientError::Status(problem) => match problem.status {
            // Not let in: `initialize` would not be either.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                Verdict::Neither
            }
            _ => Verdict::Legacy(versions::LATEST_LEGACY),
        },
        ClientError::Timeout(_)
        | ClientError::TooLarge(_)
        | ClientError::TooMuch(_)
        | ClientError::Exhausted
        | ClientError::Frame(_)
        | ClientError::Rpc(_)
        | ClientError::Protocol(_)
        | ClientError::NoCommonVersion { .. } => Verdict::Legacy(versions::LATEST_LEGACY),
    }
}

/// Only a modern server says this.
fn modern_error(rpc: &RpcError) -> Verdict {
    if rpc.code != codes::UNSUPPORTED_VERSION {
        return Verdict::Neither;
    }
    let supported = rpc.data.as_ref().and_then(|data| data.get("supported"));
    let names = supported.and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> = names
        .filter_map(Value::as_str)
        .take(32)
        .map(str::to_owned)
        .collect();
    match common(&names) {
        Some(versions::MODERN) => Verdict::Again,
        // Its only common version is one that begins with `initialize`.
        Some(version) => Verdict::Legacy(version),
        None => Verdict::NoCommonVersion(names),
    }
}

/// The newest version that both speak.
fn common(theirs: &[String]) -> Option<&'static str> {
    let offered = |ours: &&str| theirs.iter().any(|version| version == ours);
    versions::ALL.into_iter().find(offered)
}

fn no_common(theirs: &[String]) -> ClientError {
    let theirs = if theirs.is_empty() {
        "no version that it names".to_owned()
    } else {
        shorten(&theirs.join(", "))
    };
    ClientError::NoCommonVersion { theirs }
}

#[cfg(test)]
pub(crate) mod tests;
