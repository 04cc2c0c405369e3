//! HTTP headers of MCP: names, encoding of values, and checks against the body.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    envelope::{Envelope, MessageKind},
    method,
    text::JsonString,
};

pub mod params;

/// Protocol version header, both eras.
pub const VERSION: &str = "mcp-protocol-version";
/// Method header, modern.
pub const METHOD: &str = "mcp-method";
/// Name, URI or task id header, modern.
pub const NAME: &str = "mcp-name";
/// Prefix of the headers that mirror arguments, modern.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// Session id header, legacy.
pub const SESSION: &str = "mcp-session-id";
/// Header with the position at which to resume a stream, legacy.
pub const LAST_EVENT_ID: &str = "last-event-id";

const BASE64_PREFIX: &str = "=?base64?";
const BASE64_SUFFIX: &str = "?=";

/// Header of a request as received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReceivedHeader<'a> {
    /// The header is absent.
    #[default]
    Absent,
    /// The header is present once, with this value.
    Once(&'a [u8]),
    /// The header is present more than once.
    Repeated,
}

/// Standard headers of one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct StandardHeaders<'a> {
    /// [`VERSION`].
    pub version: ReceivedHeader<'a>,
    /// [`METHOD`].
    pub method: ReceivedHeader<'a>,
    /// [`NAME`].
    pub name: ReceivedHeader<'a>,
}

/// Error of a header that disagrees with the body: HTTP 400 and `-32020`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header {header}: {problem}")]
pub struct HeaderMismatch {
    /// Name of the header.
    pub header: Cow<'static, str>,
    /// Problem with the header.
    pub problem: HeaderProblem,
}

/// Problem with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderProblem {
    /// The header is missing.
    #[error("missing")]
    Missing,
    /// The header is present more than once.
    #[error("given more than once")]
    Repeated,
    /// The value cannot be decoded.
    #[error("not a valid encoded value")]
    Malformed,
    /// The value differs from the body.
    #[error("differs from the body")]
    Differs,
}

impl<'a> ReceivedHeader<'a> {
    /// Creates the value from all values of one header.
    pub fn of(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }

    /// Returns the decoded value.
    pub fn decoded(self) -> Result<Cow<'a, str>, HeaderProblem> {
        match self {
            Self::Absent => Err(HeaderProblem::Missing),
            Self::Repeated => Err(HeaderProblem::Repeated),
            Self::Once(value) => decode(value).ok_or(HeaderProblem::Malformed),
        }
    }
}

impl HeaderMismatch {
    pub(crate) fn new(header: impl Into<Cow<'static, str>>, problem: HeaderProblem) -> Self {
        let header = header.into();
        Self { header, problem }
    }
}

/// Encodes a value for a header. Plain printable ASCII without outer spaces is kept; other values are Base64-encoded
/// between markers.
pub fn encode(value: &str) -> Cow<'_, str> {
    let printable = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let trimmed = value.trim_matches(' ').len() == value.len();
    let marked = value.starts_with(BASE64_PREFIX) && value.ends_with(BASE64_SUFFIX);
    let plain = printable && trimmed && !marked;
    if plain {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!(
        "{BASE64_PREFIX}{}{BASE64_SUFFIX}",
        STANDARD.encode(value)
    ))
}

/// Decodes a header value that may be encoded. Returns `None` if it is neither plain ASCII nor correctly encoded UTF-8.
pub fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value).ok()?;
    if let Some(inner) = text
        .strip_prefix(BASE64_PREFIX)
        .and_then(|t| t.strip_suffix(BASE64_SUFFIX))
    {
        let bytes = STANDARD.decode(inner).ok()?;
        return String::from_utf8(bytes).ok().map(Cow::Owned);
    }
    let plain = text.bytes().all(|byte| matches!(byte, b'\t' | 0x20..0x7f));
    plain.then_some(Cow::Borrowed(text))
}

/// Checks the standard headers of a modern frame. For notifications only the version header is required.
pub fn check(headers: &StandardHeaders<'_>, envelope: &Envelope<'_>) -> Result<(), HeaderMismatch> {
    let version = decoded(headers.version, VERSION)?;
    let stated = envelope.meta().and_then(|m| m.protocol_version.as_ref());
    if let Some(stated) = stated {
        agree(&version, stated.as_str(), VERSION)?;
    }
    let request = envelope.kind == MessageKind::Request;
    if request || headers.method != ReceivedHeader::Absent {
        agree(&decoded(headers.method, METHOD)?, envelope.method(), METHOD)?;
    }
    let named = method::name_source(envelope.method()).is_some();
    if request && named {
        let name = decoded(headers.name, NAME)?;
        // A body without the name is rejected later.
        agree(
            &name,
            envelope.mcp_name().map_or(&*name, JsonString::as_str),
            NAME,
        )?;
    }
    Ok(())
}

fn decoded<'a>(
    seen: ReceivedHeader<'a>,
    header: &'static str,
) -> Result<Cow<'a, str>, HeaderMismatch> {
    seen.decoded()
        .map_err(|problem| HeaderMismatch::new(header, problem))
}

fn agree(header: &str, body: &str, name: &'static str) -> Result<(), HeaderMismatch> {
    if header == body {
        return Ok(());
    }
    Err(HeaderMismatch::new(name, HeaderProblem::Differs))
}

#[cfg(test)]
mod tests;
