//! Token for the demo gateway of `up`. It is kept in a file of the data folder, so that every start uses the same one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::cli::output::{cell, error::CliError};

/// Id of the demo server and of its gateway.
pub(super) const DEMO: &str = "demo";
/// File in the data folder.
pub const FILE: &str = "demo-token";
/// Description of the tokens that `up` creates.
pub const DESCRIPTION: &str = "Made by `toolgate up`";
/// Remaining lifetime below which a token is replaced, in milliseconds: seven days.
const MIN_REMAINING: u64 = 7 * 24 * 3600 * 1000;

/// Token for the demo gateway.
pub struct DemoToken {
    /// Secret that clients present.
    pub secret: String,
    /// File with the secret, an absolute path.
    pub file: PathBuf,
}

/// Reads the secret; `None` if the file is missing or empty.
pub fn read(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let secret = text.trim();
    (!secret.is_empty()).then(|| secret.to_owned())
}

/// Writes the secret. Only the owner can read the file, from the first byte on.
pub fn write(file: &Path, secret: &str) -> Result<(), CliError> {
    let pending = file.with_extension("new");
    let written = match fs::remove_file(&pending) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&pending)
            .and_then(|mut opened| writeln!(opened, "{secret}"))
            .and_then(|()| fs::rename(&pending, file)),
    };
    written.map_err(|error| {
        CliError::error(format!(
            "cannot write {}: {error}; make its folder writable",
            file.display()
        ))
    })
}

/// Returns `true` if the secret belongs to one of the tokens, which `up` created for the demo gateway, and which is
/// neither revoked nor about to expire at `now` (milliseconds since 1970).
pub fn is_usable(tokens: &[Value], secret: &str, now: u64) -> bool {
    tokens.iter().any(|token| {
        let text = |path: &str| token.pointer(path).and_then(Value::as_str);
        let hint = text("/status/hint").map(|hint| hint.trim_end_matches('…'));
        let expires = text("/spec/expireTime").and_then(cell::parse_timestamp);
        hint.is_some_and(|hint| !hint.is_empty() && secret.starts_with(hint))
            && text("/spec/description") == Some(DESCRIPTION)
            && token.pointer("/spec/gateways") == Some(&json!([DEMO]))
            && token.pointer("/status/revoked") != Some(&Value::Bool(true))
            && expires.is_some_and(|expires| expires >= now.saturating_add(MIN_REMAINING))
    })
}

#[cfg(test)]
mod tests;
