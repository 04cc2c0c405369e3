//! Checks that named objects exist, and suggests similar names.

use serde_json::Value;

use crate::cli::{
    client::{admin::AdminClient, kind::GATEWAY},
    output::{
        cell,
        error::{CliError, CliErrorKind},
    },
};

/// Maximum length in bytes of a word whose edit distance is computed.
const MAX_WORD_BYTES: usize = 128;

/// Returns the gateway, or an error if it does not exist. Returns `None` if the token may not read gateways.
pub async fn require_gateway(admin: &mut AdminClient, id: &str) -> Result<Option<Value>, CliError> {
    let name = GATEWAY.resource_name(admin.organization(), id);
    match admin.find(&GATEWAY, &name).await {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) => {
            let all = admin.list(&GATEWAY).await.unwrap_or_default();
            let ids: Vec<_> = all.iter().map(|g| cell::id(g, "/metadata/name")).collect();
            let absent = CliError::new(
                CliErrorKind::NotFound,
                format!("there is no gateway `{id}`"),
            );
            Err(with_suggestion(absent, id, ids.iter().map(String::as_str))
                .with_next_step("`toolgate get gateways` lists what there is"))
        }
        Err(fault) if fault.kind == CliErrorKind::Denied => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Returns the names under which gateways offer tools.
pub fn tool_names(gateways: &[Value]) -> Vec<&str> {
    let lists = gateways
        .iter()
        .filter_map(|gateway| gateway.pointer("/status/tools")?.as_array());
    lists
        .flatten()
        .filter_map(|tool| tool["name"].as_str())
        .collect()
}

/// Adds a suggestion of the closest name to an error.
pub fn with_suggestion<'a>(
    fault: CliError,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> CliError {
    match nearest(word, known) {
        Some(near) => fault.with_note(format!("did you mean `{near}`?")),
        None => fault,
    }
}

/// Returns `; did you mean …?`, or an empty string.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Returns the name closest to `word`, with or without the prefix of its server. The edit distance may be at most a
/// third of the word's length, but is always allowed to be 1.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    let close = |name: &'a str| {
        let distance = edit_distance(word, name);
        let bare = name.rsplit("__").next().unwrap_or(name);
        let distance = distance.min(edit_distance(word, bare));
        (distance <= allowed).then_some((distance, name))
    };
    let best = known.into_iter().filter_map(close).min();
    best.map(|(_, name)| name)
}

/// Edit distance: the number of characters to change, add or remove.
fn edit_distance(a: &str, b: &str) -> usize {
    if a.len().max(b.len()) > MAX_WORD_BYTES {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (other, above) in b.iter().zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(letter != *other);
            left = changed.min(left + 1).min(above + 1);
            next.push(left);
            diagonal = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
