//! Classifies a posted frame by protocol era. The order of the checks matters. The presence of the version header alone
//! decides nothing, because legacy clients send it since 2025-06-18.

use crate::{
    envelope::{Envelope, MessageKind},
    error::RpcError,
    headers::ReceivedHeader,
    method, versions,
};

/// Protocol era of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestEra {
    /// Stateless protocol. The headers and `_meta` still have to be checked
    /// ([`headers::check`](crate::headers::check)).
    Modern,
    /// Stateless protocol in an unsupported version: `-32022` and HTTP 400.
    Unsupported {
        /// Requested version.
        requested: String,
    },
    /// Session-based protocol.
    Legacy {
        /// Version named by the header. `None` means the version that the session negotiated, or
        /// [`ASSUMED_LEGACY`](versions::ASSUMED_LEGACY).
        version: Option<&'static str>,
    },
    /// Session-based protocol with a version header that is malformed, repeated or unsupported: HTTP 400.
    BadVersion {
        /// Value of the header.
        requested: String,
    },
}

/// Classifies a posted frame by its `MCP-Protocol-Version` header, the presence of an `Mcp-Session-Id` header, and its
/// content.
pub fn classify(version: ReceivedHeader<'_>, session: bool, envelope: &Envelope<'_>) -> RequestEra {
    let header = VersionHeader::of(version);
    let meta = envelope
        .meta()
        .and_then(|meta| meta.protocol_version.as_ref())
        .map(crate::JsonString::as_str);
    if header == VersionHeader::Modern || meta == Some(versions::MODERN) {
        return RequestEra::Modern;
    }
    let opens = envelope.kind == MessageKind::Request && envelope.method() == method::INITIALIZE;
    let legacy = opens || session || matches!(header, VersionHeader::Legacy(_));
    if let Some(requested) = meta
        && !(legacy && versions::legacy(requested).is_some())
    {
        let requested = requested.chars().take(64).collect();
        return RequestEra::Unsupported { requested };
    }
    match header {
        VersionHeader::Legacy(version) => RequestEra::Legacy {
            version: Some(version),
        },
        // `initialize` names its version in its parameters. A header is premature there, but not an error.
        VersionHeader::Absent | VersionHeader::Modern => RequestEra::Legacy { version: None },
        VersionHeader::Other(_) if opens => RequestEra::Legacy { version: None },
        VersionHeader::Other(requested) => RequestEra::BadVersion { requested },
    }
}

/// Classifies a request without a body (GET, DELETE) by its `MCP-Protocol-Version` header.
pub fn classify_bodiless(version: ReceivedHeader<'_>) -> RequestEra {
    match VersionHeader::of(version) {
        VersionHeader::Modern => RequestEra::Modern,
        VersionHeader::Legacy(version) => RequestEra::Legacy {
            version: Some(version),
        },
        VersionHeader::Absent => RequestEra::Legacy { version: None },
        VersionHeader::Other(requested) => RequestEra::BadVersion { requested },
    }
}

/// Checks that a stateless request carries its version and the client capabilities in `_meta` (LC-2). The error is sent
/// with HTTP 400.
pub fn check_meta(envelope: &Envelope<'_>) -> Result<(), RpcError> {
    let lacking = match envelope.meta() {
        Some(meta) if meta.protocol_version.is_none() => method::META_VERSION,
        Some(meta) if meta.client_capabilities.is_none() => method::META_CAPABILITIES,
        Some(_) => return Ok(()),
        None => method::META_VERSION,
    };
    let message = format!("`params._meta` lacks `{lacking}`, or it has the wrong type");
    Err(RpcError::invalid_params(message))
}

#[derive(Debug, PartialEq, Eq)]
enum VersionHeader {
    Absent,
    Modern,
    Legacy(&'static str),
    Other(String),
}

impl VersionHeader {
    fn of(seen: ReceivedHeader<'_>) -> Self {
        let value = match seen {
            ReceivedHeader::Absent => return Self::Absent,
            ReceivedHeader::Repeated => return Self::Other("several values".to_owned()),
            ReceivedHeader::Once(value) => value,
        };
        let text = String::from_utf8_lossy(value);
        if text == versions::MODERN {
            return Self::Modern;
        }
        match versions::legacy(&text) {
            Some(version) => Self::Legacy(version),
            None => Self::Other(text.chars().take(64).collect()),
        }
    }
}

#[cfg(test)]
mod tests;
