//! Access to the members of a JSON object that was already parsed, and rebuilding it with some members changed.

use std::borrow::Cow;

use crate::{
    error::FrameErrorKind,
    limits::FrameLimits,
    scan::JsonScanner,
    splice::{ByteEdit, ByteSpan},
    text::quote_into,
};

/// Member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMember<'a> {
    /// Name, unescaped.
    pub name: Cow<'a, str>,
    /// Name as written, quotes included.
    pub key: &'a [u8],
    /// Value as written.
    pub value: &'a [u8],
    /// Span of the value, relative to the start of the object.
    pub span: ByteSpan,
}

/// Iterator over the members of an object, in order.
pub type ObjectMembers<'a> = std::vec::IntoIter<ObjectMember<'a>>;

/// Returns the members of `object`, which must have been parsed before. Returns none for any other input and for an
/// object with a duplicate member.
pub fn members(object: &[u8]) -> ObjectMembers<'_> {
    read(object).unwrap_or_default().into_iter()
}

/// Returns the members of `object`, which must have been parsed before. Returns `None` for any other input and for an object
/// with a duplicate member.
pub fn unambiguous_members(object: &[u8]) -> Option<ObjectMembers<'_>> {
    read(object).map(Vec::into_iter)
}

/// Returns the value of one member as written.
pub fn get<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object)
        .find(|member| member.name == name)
        .map(|member| member.value)
}

/// Returns the value of the first member `name` as written, if it is among the first `most` members. The object must have been
/// parsed before. Members behind it are not read, and none is stored.
pub fn first<'a>(object: &'a [u8], name: &str, most: usize) -> Option<&'a [u8]> {
    let limits = FrameLimits {
        members: most,
        ..UNLIMITED
    };
    let mut scanner = JsonScanner::open(object, &limits).ok()?;
    let mut found = None;
    let _ended_at_the_member = scanner.object(|scanner, key| {
        let (span, _) = scanner.value()?;
        if key == name {
            found = Some(span);
            return Err(scanner.error(FrameErrorKind::TooManyMembers));
        }
        Ok(())
    });
    found.map(|span| span.of(object))
}

/// Returns the spans of the elements of `array`, relative to its start. The array must have been parsed before; any
/// other input yields none.
pub fn elements(array: &[u8]) -> Vec<ByteSpan> {
    let mut found = Vec::new();
    let Ok(text) = std::str::from_utf8(array) else {
        return found;
    };
    if !array.starts_with(b"[") {
        return found;
    }
    let scanned = JsonScanner::within(text, 0, &UNLIMITED).array(|scanner| {
        found.push(scanner.value()?.0);
        Ok(())
    });
    if scanned.is_err() {
        found.clear();
    }
    found
}

/// Maximum nesting depth of a value for [`is_value`].
pub const MAX_VALUE_DEPTH: u32 = 64;

/// Returns `true` if `text` is exactly one JSON value, which is nested at most [`MAX_VALUE_DEPTH`] deep and has no duplicate
/// names.
pub fn is_value(text: &str) -> bool {
    let limits = FrameLimits {
        depth: MAX_VALUE_DEPTH,
        unique_names: true,
        skip_deep: false,
        ..UNLIMITED
    };
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let mut scanner = JsonScanner::within(text, 0, &limits);
    scanner.value().and_then(|_| scanner.end()).is_ok()
}

/// Returns `true` if `value`, or any object in it, has a duplicate name, so that parsers could read it differently.
/// Also returns `true` if there are too many names to check. The value must be part of a frame that met its own limits.
pub fn is_ambiguous(value: &[u8]) -> bool {
    let limits = FrameLimits {
        unique_names: true,
        skip_deep: false,
        ..UNLIMITED
    };
    let Ok(text) = std::str::from_utf8(value) else {
        return true;
    };
    JsonScanner::within(text, 0, &limits).value().is_err()
}

/// Limits for values that are part of a frame that met its own limits.
const UNLIMITED: FrameLimits = FrameLimits {
    bytes: usize::MAX,
    members: usize::MAX,
    ..FrameLimits::LENIENT
};

fn read(object: &[u8]) -> Option<Vec<ObjectMember<'_>>> {
    let mut scanner = JsonScanner::open(object, &UNLIMITED).ok()?;
    let mut found = Vec::new();
    let scanned = scanner.object_members(|scanner, name, key| {
        let (span, _) = scanner.value()?;
        let value = object.get(span.start..span.end).unwrap_or_default();
        let key = object.get(key.start..key.end).unwrap_or_default();
        found.push(ObjectMember {
            name,
            key,
            value,
            span,
        });
        Ok(())
    });
    scanned.and_then(|_| scanner.end()).ok()?;
    Some(found)
}

/// Returns `object` without the members for which `keep` returns `false`, and with `added` (name, JSON) at its end. An
/// added member replaces a member of the same name.
pub fn rebuild<F>(object: &[u8], keep: F, added: &[(&str, &[u8])]) -> Vec<u8>
where
    F: FnMut(&str) -> bool,
{
    rebuild_from(members(object).as_slice(), keep, added)
}

/// Does the same as [`rebuild`] for an object whose [`members`] are already available.
pub fn rebuild_from<F>(
    members: &[ObjectMember<'_>],
    mut keep: F,
    added: &[(&str, &[u8])],
) -> Vec<u8>
where
    F: FnMut(&str) -> bool,
{
    let old: usize = members
        .iter()
        .map(|m| m.key.len() + m.value.len() + 2)
        .sum();
    let new: usize = added
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let mut out = Vec::with_capacity(old + new + 2);
    let next = |out: &mut Vec<u8>| out.push(if out.is_empty() { b'{' } else { b',' });
    for member in members {
        let replaced = added.iter().any(|(name, _)| *name == member.name);
        if !replaced && keep(&member.name) {
            next(&mut out);
            out.extend_from_slice(member.key);
            out.push(b':');
            out.extend_from_slice(member.value);
        }
    }
    for (name, value) in added {
        next(&mut out);
        quote_into(&mut out, name);
        out.push(b':');
        out.extend_from_slice(value);
    }
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    out
}

/// Returns an edit that inserts a member at the end of the object at `span` of `source`. The member must not exist yet.
pub fn insert<'e>(source: &[u8], span: ByteSpan, name: &str, value: &[u8]) -> ByteEdit<'e> {
    let inner = ByteSpan::new(span.start + 1, span.end.saturating_sub(1));
    let empty = inner.of(source).iter().all(u8::is_ascii_whitespace);
    let mut with = Vec::with_capacity(name.len() + value.len() + 4);
    if !empty {
        with.push(b',');
    }
    quote_into(&mut with, name);
    with.push(b':');
    with.extend_from_slice(value);
    ByteEdit::insert(inner.end, with)
}

#[cfg(test)]
mod tests;
