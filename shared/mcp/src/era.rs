//! Classifies a posted frame by protocol era. The order of the checks matters. The presence of the version header alone
//! decides nothing, because legacy clients send it since 2025-06-18.

use crate::{
    envelope::{Envelope, Kind},
    error::RpcError,
    headers::Seen,
    method, versions,
};

/// Protocol era of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
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
pub fn classify(version: Seen<'_>, session: bool, envelope: &Envelope<'_>) -> Framing {
    let header = Header::of(version);
    let meta = envelope
        .meta()
        .and_then(|meta| meta.protocol_version.as_ref())
        .map(crate::Text::as_str);
    if header == Header::Modern || meta == Some(versions::MODERN) {
        return Framing::Modern;
    }
    let opens = envelope.kind == Kind::Request && envelope.method() == method::INITIALIZE;
    let legacy = opens || session || matches!(header, Header::Legacy(_));
    if let Some(requested) = meta
        && !(legacy && versions::legacy(requested).is_some())
    {
        let requested = requested.chars().take(64).collect();
        return Framing::Unsupported { requested };
    }
    match header {
        Header::Legacy(version) => Framing::Legacy {
            version: Some(version),
        },
        // `initialize` names its version in its parameters. A header is premature there, but not an error.
        Header::Absent | Header::Modern => Framing::Legacy { version: None },
        Header::Other(_) if opens => Framing::Legacy { version: None },
        Header::Other(requested) => Framing::BadVersion { requested },
    }
}

/// Classifies a request without a body (GET, DELETE) by its `MCP-Protocol-Version` header.
pub fn classify_bodiless(version: Seen<'_>) -> Framing {
    match Header::of(version) {
        Header::Modern => Framing::Modern,
        Header::Legacy(version) => Framing::Legacy {
            version: Some(version),
        },
        Header::Absent => Framing::Legacy { version: None },
        Header::Other(requested) => Framing::BadVersion { requested },
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
enum Header {
    Absent,
    Modern,
    Legacy(&'static str),
    Other(String),
}

impl Header {
    fn of(seen: Seen<'_>) -> Self {
        let value = match seen {
            Seen::Absent => return Self::Absent,
            Seen::Repeated => return Self::Other("several values".to_owned()),
            Seen::Once(value) => value,
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
