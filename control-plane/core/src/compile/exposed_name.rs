//! Exposed names: the names under which clients see tools and prompts. Proxies look an exposed name up in a table
//! and never split it, so a server's own name may contain any characters, including `__`.

use toolgate_mcp::definition::is_recommended_tool_name;
use toolgate_model::{Digest, PrefixMode, Slug};

use super::ExposedKind;
use crate::limits;

/// Separator between the server id and the server's own name.
const SEPARATOR: &str = "__";
/// Number of hexadecimal digits of the hash that keeps a shortened name unique.
const HASH_DIGITS: usize = 8;

/// Returns the exposed name of the tool or prompt `own` of `server`.
///
/// With prefixes the name has at most 64 characters of `A-Za-z0-9_.-`, the strictest rule among clients. Other
/// characters are replaced, longer names are cut, and a short hash of the full name keeps the result unique.
/// Without prefixes the name is the server's own name, unchanged, unless a tool has characters in it that some clients do
/// not accept: one such name can make them refuse the whole list.
pub fn exposed_name(mode: PrefixMode, kind: ExposedKind, server: &Slug, own: &str) -> String {
    let whole = whole_name(mode, server, own);
    let is_accepted = match mode {
        PrefixMode::Single | PrefixMode::Never => match kind {
            ExposedKind::Tool => is_recommended_tool_name(own),
            ExposedKind::Prompt => true,
        },
        PrefixMode::Always => whole.len() <= limits::EXPOSED_NAME && whole.chars().all(is_safe),
    };
    if is_accepted {
        whole
    } else {
        shortened(&whole)
    }
}

/// Returns the name before characters are replaced and a long one is cut.
fn whole_name(mode: PrefixMode, server: &Slug, own: &str) -> String {
    match mode {
        PrefixMode::Single | PrefixMode::Never => own.to_owned(),
        PrefixMode::Always => format!("{server}{SEPARATOR}{own}"),
    }
}

/// Returns the name that readers know if the exposed one is a shortened form of it, in which characters are replaced;
/// `None` if the exposed name is the whole one.
pub(super) fn shortened_from(
    mode: PrefixMode,
    server: &Slug,
    own: &str,
    exposed: &str,
) -> Option<String> {
    let whole = whole_name(mode, server, own);
    (whole != exposed).then_some(whole)
}

/// Returns `true` if `name` satisfies the rule for prefixed exposed names, so that it may be used as an alias.
pub(crate) fn is_exposed_name(name: &str) -> bool {
    (1..=limits::EXPOSED_NAME).contains(&name.len()) && name.chars().all(is_safe)
}

fn shortened(whole: &str) -> String {
    let safe = |c| if is_safe(c) { c } else { '_' };
    let room = limits::EXPOSED_NAME - HASH_DIGITS - 1;
    let mut name: String = whole.chars().map(safe).take(room).collect();
    name.push('_');
    name.extend(
        Digest::of_bytes(whole.as_bytes())
            .to_hex()
            .chars()
            .take(HASH_DIGITS),
    );
    name
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}
