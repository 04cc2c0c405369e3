//! Exposed URIs of resources. Prefixes keep URIs of different servers apart: `memo:x` of the server `notes` is exposed
//! as `notes+memo:x`, and `ui://x` as `ui://notes/x`, because hosts check that scheme. Web URIs are exposed unchanged,
//! because clients can fetch them directly. A prefix is only resolved against the server ids of the gateway, never by
//! the form of the URI alone.

mod template_matcher;
pub mod uri_spans;

use std::borrow::Cow;

use toolgate_mcp::{ByteEdit, ByteSpan, apps::URI_SCHEME as UI, text::quote};

pub use template_matcher::UriTemplateMatcher;

/// Adds the prefix of the server with this id to a URI or URI template.
pub fn prefixed<'a>(server: &str, original: &'a str) -> Cow<'a, str> {
    if is_web_uri(original) {
        return Cow::Borrowed(original);
    }
    Cow::Owned(match original.strip_prefix(UI) {
        Some(rest) => format!("{UI}{server}/{rest}"),
        None => format!("{server}+{original}"),
    })
}

/// Splits an exposed URI into the server's id and the server's own URI. Returns `None` if there is no prefix. The
/// caller has to check that the server exists.
pub fn unprefixed(exposed: &str) -> Option<(&str, Cow<'_, str>)> {
    if let Some(rest) = exposed.strip_prefix(UI) {
        let (server, rest) = rest.split_once('/')?;
        return Some((server, Cow::Owned(format!("{UI}{rest}"))));
    }
    let (server, original) = exposed.split_once('+')?;
    Some((server, Cow::Borrowed(original)))
}

/// Edits that add the prefix of the server with this id to the URIs at these spans of `source`.
pub fn prefix_edits<'e>(server: &str, source: &[u8], spans: &[ByteSpan]) -> Vec<ByteEdit<'e>> {
    let exposed = |span: &ByteSpan| {
        let original: String = serde_json::from_slice(span.of(source)).ok()?;
        match prefixed(server, &original) {
            Cow::Borrowed(_) => None,
            Cow::Owned(exposed) => Some(ByteEdit::replace(*span, quote(&exposed).into_bytes())),
        }
    };
    spans.iter().filter_map(exposed).collect()
}

/// Returns `true` for `http` and `https` URIs, which clients can fetch directly.
pub fn is_web_uri(uri: &str) -> bool {
    let begins = |scheme: &str| {
        let start = uri.as_bytes().get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    begins("http://") || begins("https://")
}

#[cfg(test)]
mod tests;
