//! Normalization of definitions. A `null` member that the schema has optional is removed. A schema of arguments without a
//! `type` gets `object`, which is all that arguments can be. Any other deviation from the types of the schema
//! is an error. A definition without deviations stays as it is, byte for byte.

use std::borrow::Cow;

use crate::{
    definition::{
        DefinitionKind,
        members::{self, Member, MemberType},
    },
    object::{self, ObjectMember},
};

/// Member of a definition that has another type than the schema gives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its `{path}` is not {expected}")]
pub struct MistypedMember {
    /// Path of the member. It consists of names of the schema and of indexes only.
    pub path: String,
    /// Type of the schema, in words.
    pub expected: &'static str,
}

const OBJECT: &str = "an object";
const LIST: &str = "a list";
const TEXT: &str = "a string";

/// Returns the normalized form of a definition, which is well-formed JSON without duplicate names.
pub(super) fn normalized(
    kind: DefinitionKind,
    json: &[u8],
) -> Result<Cow<'_, [u8]>, MistypedMember> {
    let members = match kind {
        DefinitionKind::Tool => members::TOOL,
        DefinitionKind::Prompt => members::PROMPT,
        DefinitionKind::Resource => members::RESOURCE,
        DefinitionKind::Template => members::TEMPLATE,
    };
    object_with(json, members, "")
}

/// Replacement of a member: `None` removes it.
type Replacement<'a> = (&'static str, Option<Cow<'a, [u8]>>);

fn object_with<'a>(
    json: &'a [u8],
    members: &[Member],
    path: &str,
) -> Result<Cow<'a, [u8]>, MistypedMember> {
    if !json.starts_with(b"{") {
        return mistyped(path, OBJECT);
    }
    let present: Vec<ObjectMember<'a>> = object::members(json).collect();
    let mut changed: Vec<Replacement<'a>> = Vec::new();
    for Member { name, value } in members {
        let Some(found) = present.iter().find(|found| found.name == *name) else {
            continue;
        };
        if found.value == b"null" && !matches!(value, MemberType::InputSchema) {
            changed.push((name, None));
            continue;
        }
        let path = join(path, name);
        if let Cow::Owned(new) = value_of(value, found.value, &path)? {
            changed.push((name, Some(Cow::Owned(new))));
        }
    }
    if changed.is_empty() {
        return Ok(Cow::Borrowed(json));
    }
    Ok(Cow::Owned(rebuilt(&present, &changed)))
}

/// Returns the object with these members replaced or removed; all others keep their place.
fn rebuilt(present: &[ObjectMember<'_>], changed: &[Replacement<'_>]) -> Vec<u8> {
    let mut out = vec![b'{'];
    for member in present {
        let change = changed.iter().find(|(name, _)| *name == member.name);
        let value = match change {
            Some((_, Some(new))) => new.as_ref(),
            Some((_, None)) => continue,
            None => member.value,
        };
        push_member(&mut out, member.key, value);
    }
    out.push(b'}');
    out
}

fn push_member(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(key);
    out.push(b':');
    out.extend_from_slice(value);
}

fn value_of<'a>(
    expected: &MemberType,
    json: &'a [u8],
    path: &str,
) -> Result<Cow<'a, [u8]>, MistypedMember> {
    let unchanged = |fits: bool, words| {
        if fits {
            Ok(Cow::Borrowed(json))
        } else {
            mistyped(path, words)
        }
    };
    match expected {
        MemberType::Text => unchanged(json.starts_with(b"\""), TEXT),
        MemberType::Flag => unchanged(matches!(json, b"true" | b"false"), "true or false"),
        MemberType::Size => unchanged(number::<u64>(json).is_some(), "a whole number"),
        MemberType::Fraction => {
            let fits = number::<f64>(json).is_some_and(|number| (0.0..=1.0).contains(&number));
            unchanged(fits, "a number from 0 to 1")
        }
        MemberType::Timestamp => {
            let fits = text(json).is_some_and(|text| is_timestamp(&text));
            unchanged(fits, "a timestamp such as 2026-07-28T12:00:00Z")
        }
        MemberType::OneOf(values) => {
            let fits = text(json).is_some_and(|text| values.contains(&text.as_str()));
            unchanged(fits, "one of the values of the protocol")
        }
        MemberType::Object(members) => object_with(json, members, path),
        MemberType::Named(key, members) => {
            let normalized = object_with(json, members, path)?;
            match object::get(&normalized, key) {
                Some(_) => Ok(normalized),
                None => mistyped(&join(path, key), TEXT),
            }
        }
        MemberType::List(item) => list_of(item, json, path),
        MemberType::InputSchema => schema(json, path, SchemaRoot::Object),
        MemberType::OutputSchema => schema(json, path, SchemaRoot::Any),
    }
}

fn list_of<'a>(
    item: &MemberType,
    json: &'a [u8],
    path: &str,
) -> Result<Cow<'a, [u8]>, MistypedMember> {
    if !json.starts_with(b"[") {
        return mistyped(path, LIST);
    }
    let (mut out, mut changed) = (vec![b'['], false);
    for (index, span) in object::elements(json).into_iter().enumerate() {
        let new = value_of(item, span.of(json), &format!("{path}[{index}]"))?;
        changed |= matches!(new, Cow::Owned(_));
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&new);
    }
    out.push(b']');
    Ok(if changed {
        Cow::Owned(out)
    } else {
        Cow::Borrowed(json)
    })
}

/// Root of a JSON Schema.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SchemaRoot {
    /// The schema describes an object.
    Object,
    /// The schema describes any value.
    Any,
}

/// Checks the keywords at the root of a schema; the schemas below are left to clients.
fn schema<'a>(
    json: &'a [u8],
    path: &str,
    root: SchemaRoot,
) -> Result<Cow<'a, [u8]>, MistypedMember> {
    if !json.starts_with(b"{") {
        return mistyped(path, OBJECT);
    }
    let present: Vec<ObjectMember<'a>> = object::members(json).collect();
    let find = |name: &str| present.iter().find(|member| member.name == name);
    let mut changed: Vec<Replacement<'a>> = Vec::new();
    for name in ["$schema", "type", "properties", "required"] {
        if find(name).is_some_and(|member| member.value == b"null") {
            changed.push((name, None));
        }
    }
    let value = |name: &str| {
        find(name)
            .map(|member| member.value)
            .filter(|it| *it != b"null")
    };
    let json_type = value("type");
    let is_object = match json_type {
        None => root == SchemaRoot::Object,
        Some(given) if text(given).as_deref() == Some("object") => true,
        // A list of one type means the type.
        Some(given) if is_object_list(given) => {
            changed.push(("type", Some(Cow::Borrowed(b"\"object\""))));
            true
        }
        Some(_) if root == SchemaRoot::Object => return mistyped(&join(path, "type"), "`object`"),
        Some(_) => false,
    };
    if value("$schema").is_some_and(|given| !given.starts_with(b"\"")) {
        return mistyped(&join(path, "$schema"), TEXT);
    }
    if is_object {
        if let Some(given) = value("properties") {
            let path = join(path, "properties");
            if let Cow::Owned(new) = properties(given, &path)? {
                changed.push(("properties", Some(Cow::Owned(new))));
            }
        }
        if let Some(given) = value("required") {
            list_of(&MemberType::Text, given, &join(path, "required"))?;
        }
    }
    let normalized = match changed.is_empty() {
        true => Cow::Borrowed(json),
        false => Cow::Owned(rebuilt(&present, &changed)),
    };
    if json_type.is_some() || root == SchemaRoot::Any {
        return Ok(normalized);
    }
    Ok(Cow::Owned(with_object_type(&normalized)))
}

/// Returns the schema with `"type":"object"` in front.
fn with_object_type(schema: &[u8]) -> Vec<u8> {
    let mut out = br#"{"type":"object""#.to_vec();
    for member in object::members(schema) {
        push_member(&mut out, member.key, member.value);
    }
    out.push(b'}');
    out
}

/// Checks that each property is a schema. A boolean schema becomes the object that means the same, because clients of
/// earlier revisions know objects only.
fn properties<'a>(json: &'a [u8], path: &str) -> Result<Cow<'a, [u8]>, MistypedMember> {
    if !json.starts_with(b"{") {
        return mistyped(path, OBJECT);
    }
    let (mut out, mut changed) = (vec![b'{'], false);
    for member in object::members(json) {
        let value: &[u8] = match member.value {
            b"true" => b"{}",
            b"false" => br#"{"not":{}}"#,
            object if object.starts_with(b"{") => object,
            _ => return mistyped(path, "an object with a schema for each argument"),
        };
        changed |= value != member.value;
        push_member(&mut out, member.key, value);
    }
    out.push(b'}');
    Ok(if changed {
        Cow::Owned(out)
    } else {
        Cow::Borrowed(json)
    })
}

fn is_object_list(json: &[u8]) -> bool {
    serde_json::from_slice::<[String; 1]>(json).is_ok_and(|[only]| only == "object")
}

fn text(json: &[u8]) -> Option<String> {
    serde_json::from_slice(json).ok()
}

fn number<T: std::str::FromStr>(json: &[u8]) -> Option<T> {
    std::str::from_utf8(json).ok()?.parse().ok()
}

/// Returns `true` for `YYYY-MM-DDTHH:MM:SS`, an optional fraction, and `Z` or an offset.
fn is_timestamp(text: &str) -> bool {
    let digits = |at: usize, len: usize, most: u32| {
        let part = text.get(at..at + len)?;
        let number: u32 = part.parse().ok()?;
        let plain = part.bytes().all(|byte| byte.is_ascii_digit());
        (plain && number <= most).then_some(number)
    };
    let separated = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    let separated = separated
        .iter()
        .all(|(at, mark)| text.get(*at..at + 1) == Some(mark));
    let (Some(year), Some(month), Some(day)) =
        (digits(0, 4, 9999), digits(5, 2, 12), digits(8, 2, 31))
    else {
        return false;
    };
    let time = [(11, 23), (14, 59), (17, 59)];
    let time = time
        .iter()
        .all(|(at, most)| digits(*at, 2, *most).is_some());
    let rest = text.get(19..).unwrap_or_default();
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let has_fraction = rest.len() - zone.len();
    let from = 19 + has_fraction;
    let offset = zone.len() == 6
        && zone.starts_with(['+', '-'])
        && zone.get(3..4) == Some(":")
        && digits(from + 1, 2, 23).is_some()
        && digits(from + 4, 2, 59).is_some();
    separated
        && time
        && month > 0
        && day > 0
        && day <= days_in(year, month)
        && has_fraction != 1
        && (zone == "Z" || offset)
}

fn days_in(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn mistyped<T>(path: &str, expected: &'static str) -> Result<T, MistypedMember> {
    let path = path.to_owned();
    Err(MistypedMember { path, expected })
}

#[cfg(test)]
mod tests;
