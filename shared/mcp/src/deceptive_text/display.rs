//! Escaping of the texts in a JSON object that clients display: titles, descriptions and messages. Values that have a
//! meaning for programs, such as constants of a schema, are left as they are.

use std::borrow::Cow;

use crate::{limits::FrameLimits, object, text::quote_into};

use super::{contained_in_json, escaped};

/// Members whose text is displayed, to people or to models.
const DISPLAYED: &[&str] = &["title", "description", "message", "$comment"];
/// Members whose lists of texts are displayed. Programs do not compare examples.
const DISPLAYED_LISTS: &[&str] = &["enumNames", "examples"];
/// Members that hold data of programs.
const DATA: &[&str] = &["default", "const", "enum", "_meta"];
/// Members of a schema whose members are named by its author, so that a name has no meaning of its own.
const NAMED: &[&str] = &[
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];
/// Maximum depth of nested values that are escaped: that of messages and definitions that are passed on.
const MAX_DEPTH: usize = FrameLimits::DEFINITION.depth as usize;
/// Maximum depth of an object that a user is shown as a whole.
const MAX_SHOWN_DEPTH: usize = 32;

/// Returns the object with deceptive characters in displayed texts shown as `\u{…}`. `also` lists more members of the
/// object itself whose text is displayed. An object without such characters is returned as it is.
pub fn escaped_display_members<'a>(object: &'a [u8], also: &[&str]) -> Cow<'a, [u8]> {
    if !object.starts_with(b"{") || !contained_in_json(object) {
        return Cow::Borrowed(object);
    }
    let members = also.iter().filter_map(|name| {
        let written = object::get(object, name)?;
        Some((*name, displayed(written)?))
    });
    let members: Vec<(&str, Vec<u8>)> = members.collect();
    let mut outer = Cow::Borrowed(object);
    if !members.is_empty() {
        outer = Cow::Owned(replaced(object, |name, _| {
            let new = members.iter().find(|(other, _)| *other == name)?;
            Some(new.1.clone())
        }));
    }
    let inner = nested(&outer, Names::Keywords, MAX_DEPTH);
    match inner {
        Some(new) => Cow::Owned(new),
        None => outer,
    }
}

/// Returns `true` if all texts of an object can be found and escaped: its strings can be decoded, no object in it has a member
/// twice, and it is nested no deeper than is searched.
pub fn is_displayable(object: &[u8]) -> bool {
    is_displayable_within(object, MAX_SHOWN_DEPTH)
}

fn is_displayable_within(value: &[u8], depth: usize) -> bool {
    match value.first() {
        Some(b'"') => serde_json::from_slice::<Cow<'_, str>>(value).is_ok(),
        Some(b'{' | b'[') if depth == 0 => false,
        Some(b'{') => {
            let members = object::members(value);
            // Without members, the object is empty or ambiguous.
            let is_read = members.len() > 0 || is_blank(value);
            is_read && { members }.all(|member| is_displayable_within(member.value, depth - 1))
        }
        Some(b'[') => {
            let mut items = object::elements(value).into_iter();
            items.all(|span| is_displayable_within(span.of(value), depth - 1))
        }
        _ => true,
    }
}

/// Returns `true` if nothing but white space stands between the brackets.
fn is_blank(brackets: &[u8]) -> bool {
    let written = brackets.iter().filter(|byte| !byte.is_ascii_whitespace());
    written.count() == 2
}

/// Meaning of the names of an object's members.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Keywords,
    ChosenByAuthor,
}

/// Returns the value with its displayed texts escaped, or `None` if nothing changes.
fn nested(value: &[u8], names: Names, depth: usize) -> Option<Vec<u8>> {
    if depth == 0 {
        return None;
    }
    match value.first() {
        Some(b'[') => list(value, |item| nested(item, Names::Keywords, depth - 1)),
        Some(b'{') => {
            let mut changed = false;
            let new = replaced(value, |name, value| {
                let keyword = |list: &[&str]| names == Names::Keywords && list.contains(&name);
                let new = if keyword(DISPLAYED) && value.starts_with(b"\"") {
                    displayed(value)
                } else if keyword(DISPLAYED_LISTS) {
                    list(value, displayed)
                } else if keyword(DATA) {
                    None
                } else if keyword(NAMED) {
                    nested(value, Names::ChosenByAuthor, depth - 1)
                } else {
                    nested(value, Names::Keywords, depth - 1)
                };
                changed |= new.is_some();
                new
            });
            changed.then_some(new)
        }
        _ => None,
    }
}

/// Returns a JSON string with its text escaped, or `None` if nothing changes.
fn displayed(value: &[u8]) -> Option<Vec<u8>> {
    let text = serde_json::from_slice::<String>(value).ok()?;
    let Cow::Owned(escaped) = escaped(&text) else {
        return None;
    };
    if escaped == text {
        return None;
    }
    let mut out = Vec::with_capacity(escaped.len() + 2);
    quote_into(&mut out, &escaped);
    Some(out)
}

/// Returns the object with the values that `new` returns in place of those it has.
fn replaced(object: &[u8], mut new: impl FnMut(&str, &[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = vec![b'{'];
    for member in object::members(object) {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(member.key);
        out.push(b':');
        match new(&member.name, member.value) {
            Some(value) => out.extend_from_slice(&value),
            None => out.extend_from_slice(member.value),
        }
    }
    out.push(b'}');
    out
}

/// Returns the list with the items that `new` returns in place of those it has, or `None` if nothing changes.
fn list(array: &[u8], mut new: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let (mut out, mut changed) = (vec![b'['], false);
    for (index, span) in object::elements(array).into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let item = span.of(array);
        match new(item) {
            Some(item) => {
                changed = true;
                out.extend_from_slice(&item);
            }
            None => out.extend_from_slice(item),
        }
    }
    out.push(b']');
    changed.then_some(out)
}
