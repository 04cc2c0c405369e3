//! Checks of fields against the limits, shared by the kinds. Field paths are those of the API.

pub(super) mod rate_limit;

use std::time::Duration;

use toolgate_model::ObjectMeta;

use crate::{limits, rejection::Rejection};

/// Validates the metadata that all kinds have.
pub(super) fn meta(meta: &ObjectMeta) -> Result<(), Rejection> {
    let name = "characters of a display name";
    check_text(
        "metadata.display_name",
        &meta.display_name,
        name,
        limits::DISPLAY_NAME,
    )?;
    let name = "characters of a description";
    check_text(
        "spec.description",
        &meta.description,
        name,
        limits::DESCRIPTION,
    )?;
    check_limit(
        "metadata.labels",
        "labels",
        limits::LABELS,
        meta.labels.len(),
    )?;
    for (key, value) in &meta.labels {
        let field = format!("metadata.labels[{}]", truncated(key));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if key.is_empty() || !key.chars().all(allowed) {
            return Err(Rejection::invalid(
                field,
                "a label's key is made of a-z, A-Z, 0-9 and ._-/",
            ));
        }
        check_limit(
            &field,
            "characters of a label's key",
            limits::LABEL_KEY,
            key.len(),
        )?;
        check_text(
            &field,
            value,
            "characters of a label's value",
            limits::LABEL_VALUE,
        )?;
    }
    Ok(())
}

pub(super) fn check_names(field: &str, names: &[String]) -> Result<(), Rejection> {
    for (index, name) in names.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if name.is_empty() {
            return Err(Rejection::invalid(field, "a name cannot be empty"));
        }
        check_text(&field, name, "characters of a name", limits::TOOL_NAME)?;
    }
    Ok(())
}

/// Checks the name of a region. Empty stands for none.
pub(super) fn region(field: &str, name: &str) -> Result<(), Rejection> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.chars().count() > limits::REGION || !name.chars().all(allowed) {
        let reason = format!("use at most {} of a-z, A-Z, 0-9 and -_.", limits::REGION);
        return Err(Rejection::invalid(field, reason));
    }
    Ok(())
}

pub(super) fn timeout(field: String, value: Duration) -> Result<(), Rejection> {
    if value < Duration::from_millis(1) || value > limits::TIMEOUT {
        return Err(Rejection::invalid(field, "use 1 millisecond to 1 hour"));
    }
    Ok(())
}

/// Checks the length in characters and rejects control characters other than newline and tab, which would corrupt
/// terminal or log output.
pub(super) fn check_text(
    field: &str,
    text: &str,
    name: &'static str,
    limit: usize,
) -> Result<(), Rejection> {
    check_limit(field, name, limit, text.chars().count())?;
    let breaks = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.chars().any(breaks) {
        return Err(Rejection::invalid(field, "remove the control characters"));
    }
    Ok(())
}

pub(super) fn check_limit(
    field: &str,
    name: &'static str,
    limit: usize,
    found: usize,
) -> Result<(), Rejection> {
    if found <= limit {
        return Ok(());
    }
    let field = field.to_owned();
    Err(Rejection::Limit {
        field,
        name,
        limit,
        found,
    })
}

pub(super) fn truncated(text: &str) -> String {
    text.chars().take(limits::LABEL_KEY).collect()
}
