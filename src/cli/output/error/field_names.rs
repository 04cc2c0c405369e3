//! Names of fields in errors of the control plane: as documents have them, and the flags that set them.

use std::borrow::Cow;

/// Returns a field path of the API, such as `spec.expire_time`, as documents have it: `spec.expireTime`. Paths outside of
/// documents are returned unchanged.
pub(super) fn in_documents(field: &str) -> Cow<'_, str> {
    let is_of_document = ["spec", "metadata"]
        .iter()
        .any(|member| is_path_below(field, member));
    if !is_of_document || !field.contains('_') {
        return Cow::Borrowed(field);
    }
    let mut name = String::new();
    let mut begins_word = false;
    // Keys of maps, such as labels, are in brackets and are no names of fields.
    let mut depth = 0_usize;
    for c in field.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == '_' && depth == 0 {
            begins_word = true;
            continue;
        }
        match begins_word {
            true => name.extend(c.to_uppercase()),
            false => name.push(c),
        }
        begins_word = false;
    }
    Cow::Owned(name)
}

/// Returns `line` with the name `field` that it begins with replaced by `shown`.
pub(super) fn renamed(line: &str, field: &str, shown: &str) -> String {
    match line
        .strip_prefix(field)
        .filter(|rest| rest.starts_with(':'))
    {
        Some(rest) => format!("{shown}{rest}"),
        None => line.to_owned(),
    }
}

/// Returns `line` with the flag in place of the field that it begins with, if one of `flags` sets that field. The fields of
/// `flags` are without indexes.
pub(super) fn with_flag(line: &str, flags: &[(&str, &str)]) -> Option<String> {
    let (field, reason) = line.split_once(": ")?;
    let field = without_indexes(field);
    let is_set_by = |(known, _): &&(&str, &str)| field == *known || is_path_below(&field, known);
    let (_, flag) = flags.iter().find(is_set_by)?;
    Some(format!("{flag}: {reason}"))
}

/// Returns a path without its brackets and their content: `spec.bindings.server` for `spec.bindings[2].server`.
fn without_indexes(field: &str) -> String {
    let mut parts = field.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += part.split_once(']').map_or("", |(_, rest)| rest);
    }
    plain
}

fn is_path_below(field: &str, parent: &str) -> bool {
    field
        .strip_prefix(parent)
        .is_some_and(|rest| rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests;
