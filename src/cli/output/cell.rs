//! Formats table cells from proto JSON values, addressed by JSON pointer.

use serde_json::Value;

const NONE: &str = "-";

/// Formats a string, number or boolean.
pub fn text(object: &Value, pointer: &str) -> String {
    let Some(value) = object.pointer(pointer) else {
        return NONE.to_owned();
    };
    match value.as_str() {
        Some("") => NONE.to_owned(),
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

/// Returns the last segment of a resource name.
pub fn id(object: &Value, pointer: &str) -> String {
    let name = text(object, pointer);
    name.rsplit('/').next().unwrap_or(NONE).to_owned()
}

/// Counts the elements of a list.
pub fn count(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
        .to_string()
}

/// Joins one member of every element of a list with commas.
pub fn joined(object: &Value, pointer: &str, member: &str) -> String {
    let list = object.pointer(pointer).and_then(Value::as_array);
    let members: Vec<_> = list
        .into_iter()
        .flatten()
        .filter_map(|element| element[member].as_str())
        .collect();
    if members.is_empty() {
        NONE.to_owned()
    } else {
        members.join(",")
    }
}

/// Joins the texts of a list with commas.
pub fn joined_strings(object: &Value, pointer: &str) -> String {
    let list = object.pointer(pointer).and_then(Value::as_array);
    let words: Vec<_> = list
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match words.is_empty() {
        true => NONE.to_owned(),
        false => words.join(","),
    }
}

/// Formats an enum value without its prefix, or `default` if it is not set.
pub fn enum_word(object: &Value, pointer: &str, default: &str) -> String {
    let value = object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default();
    match value.rsplit('_').next() {
        None | Some("" | "UNSPECIFIED") => default.to_owned(),
        Some(word) => word.to_ascii_lowercase(),
    }
}

/// Formats a version as `epoch.revision`.
pub fn version(object: &Value, pointer: &str) -> String {
    let part = |name: &str| text(object, &format!("{pointer}/{name}")).replace(NONE, "0");
    match object.pointer(pointer) {
        Some(_) => format!("{}.{}", part("epoch"), part("revision")),
        None => NONE.to_owned(),
    }
}

/// Formats the time between an RFC 3339 timestamp and `now` (Unix milliseconds).
pub fn age(object: &Value, pointer: &str, now: u64) -> String {
    let at = object
        .pointer(pointer)
        .and_then(Value::as_str)
        .and_then(parse_timestamp);
    at.map_or_else(
        || NONE.to_owned(),
        |at| format_duration(now.saturating_sub(at) / 1000),
    )
}

/// Parses an RFC 3339 timestamp into Unix milliseconds.
pub fn parse_timestamp(text: &str) -> Option<u64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

/// Returns the first line of a text. A long line is cut between words.
pub fn summary_line(text: &str) -> String {
    const LONGEST: usize = 80;
    let line = text.lines().next().unwrap_or_default();
    let Some((end, _)) = line.char_indices().nth(LONGEST) else {
        return line.to_owned();
    };
    let cut = &line[..end];
    let cut = cut.rsplit_once(' ').map_or(cut, |(whole, _)| whole);
    format!("{} …", cut.trim_end_matches([',', ';', ' ']))
}

/// Formats a count with the singular or plural noun.
pub fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Formats a duration in seconds with at most two units.
pub fn format_duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m{}s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{}h{}m", seconds / HOUR, seconds % HOUR / MINUTE),
        DAY.. => format!("{}d{}h", seconds / DAY, seconds % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests;
