//! URIs of resources as clients see them. Under prefixes those of two servers are never taken for one another:
//! `memo:x` of the server `notes` is shown as `notes+memo:x`, and `ui://x` as `ui://notes/x`, since hosts look at that
//! scheme. What anybody can fetch from the web is shown as it is. The way back goes by the ids that a gateway knows,
//! never by how a URI looks alone.

mod pattern;
pub mod places;

use std::borrow::Cow;

use toolgate_mcp::{Edit, Span, apps::SCHEME as UI, text::quote};

pub use pattern::Pattern;

/// A URI, or a template of such, of the server of this id, under its prefix.
pub fn prefixed<'a>(server: &str, original: &'a str) -> Cow<'a, str> {
    if is_web(original) {
        return Cow::Borrowed(original);
    }
    Cow::Owned(match original.strip_prefix(UI) {
        Some(rest) => format!("{UI}{server}/{rest}"),
        None => format!("{server}+{original}"),
    })
}

/// Which server a URI under a prefix is of, and the server's own URI. Whether there is such a server is for the
/// caller to look up. None: it stands under no prefix, or needs none.
pub fn unprefixed(exposed: &str) -> Option<(&str, Cow<'_, str>)> {
    if let Some(rest) = exposed.strip_prefix(UI) {
        let (server, rest) = rest.split_once('/')?;
        return Some((server, Cow::Owned(format!("{UI}{rest}"))));
    }
    let (server, original) = exposed.split_once('+')?;
    Some((server, Cow::Borrowed(original)))
}

/// The edits that show the URIs at these places of `source` under the prefix of the server of this id.
pub fn edits<'e>(server: &str, source: &[u8], places: &[Span]) -> Vec<Edit<'e>> {
    let shown = |place: &Span| {
        let original: String = serde_json::from_slice(place.of(source)).ok()?;
        match prefixed(server, &original) {
            Cow::Borrowed(_) => None,
            Cow::Owned(shown) => Some(Edit::replace(*place, quote(&shown).into_bytes())),
        }
    };
    places.iter().filter_map(shown).collect()
}

/// Whether a client can fetch it by itself.
pub fn is_web(uri: &str) -> bool {
    let begins = |scheme: &str| {
        let start = uri.as_bytes().get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    begins("http://") || begins("https://")
}

#[cfg(test)]
mod tests;
