//! Which era a posted frame belongs to. The order of the questions matters; the header's mere presence decides
//! nothing, since legacy clients have sent it since 2025-06-18.

use crate::{
    envelope::{Envelope, Kind},
    error::RpcError,
    headers::Seen,
    method, versions,
};

/// How a frame is to be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// By the stateless rules. Its headers and `_meta` have yet to be checked ([`headers::check`](crate::headers::check)).
    Modern,
    /// By the stateless rules, in a version that is not spoken: `-32022` and HTTP 400.
    Unsupported {
        /// What it asked for.
        requested: String,
    },
    /// By the rules of sessions.
    Legacy {
        /// The version its header names. Without one: what the session negotiated, or
        /// [`ASSUMED_LEGACY`](versions::ASSUMED_LEGACY).
        version: Option<&'static str>,
    },
    /// By the rules of sessions, with a version header that is malformed, repeated or not spoken: HTTP 400.
    BadVersion {
        /// What the header said.
        requested: String,
    },
}

/// Classifies a posted frame by its `MCP-Protocol-Version` header, whether it has an `Mcp-Session-Id` header, and its
/// own content.
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
        // Its version is in its parameters; a header there is premature, not wrong.
        Header::Absent | Header::Modern => Framing::Legacy { version: None },
        Header::Other(_) if opens => Framing::Legacy { version: None },
        Header::Other(requested) => Framing::BadVersion { requested },
    }
}

/// Which era a request without a body (GET, DELETE) belongs to, by its `MCP-Protocol-Version` header.
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

/// What a request by the stateless rules must carry (LC-2): version and client capabilities in `_meta`. Otherwise
/// HTTP 400 with this error.
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
