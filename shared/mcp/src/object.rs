//! Looking into an object that has been read already, and rebuilding it with some members changed.

use std::borrow::Cow;

use crate::{
    limits::Limits,
    scan::Scanner,
    splice::{Edit, Span},
    text::quote_into,
};

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name, unescaped.
    pub name: Cow<'a, str>,
    /// Its name as written, with quotes.
    pub key: &'a [u8],
    /// Its value as written.
    pub value: &'a [u8],
    /// Where the value stands, counted from the start of the object.
    pub span: Span,
}

/// The members of an object, in order.
pub type Members<'a> = std::vec::IntoIter<Member<'a>>;

/// The members of `object`. It is meant for an object that has been read; of anything else (or of an object with a
/// member written twice) there are none.
pub fn members(object: &[u8]) -> Members<'_> {
    read(object).unwrap_or_default().into_iter()
}

/// The value of one member, as written.
pub fn get<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object)
        .find(|member| member.name == name)
        .map(|member| member.value)
}

/// Where the values of `array` stand, counted from its start. It is meant for an array that has been read; in
/// anything else there are none.
pub fn elements(array: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    let Ok(text) = std::str::from_utf8(array) else {
        return found;
    };
    if !array.starts_with(b"[") {
        return found;
    }
    let walked = Scanner::within(text, 0, &UNLIMITED).array(|scanner| {
        found.push(scanner.value()?.0);
        Ok(())
    });
    if walked.is_err() {
        found.clear();
    }
    found
}

/// Whether `text` is one JSON value, and nothing besides.
pub fn is_value(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let mut scanner = Scanner::within(text, 0, &UNLIMITED);
    scanner.value().and_then(|_| scanner.end()).is_ok()
}

/// Whether a name comes twice in `value`, or in any object within it, so that two readers could read it differently; also
/// where there are too many to say. It stands in a frame that was within its own limits.
pub fn is_ambiguous(value: &[u8]) -> bool {
    let limits = Limits {
        unique: true,
        ..UNLIMITED
    };
    let Ok(text) = std::str::from_utf8(value) else {
        return true;
    };
    Scanner::within(text, 0, &limits).value().is_err()
}

/// For what stands in a frame that was within its own limits.
const UNLIMITED: Limits = Limits {
    bytes: usize::MAX,
    members: usize::MAX,
    ..Limits::OF_PARTS
};

fn read(object: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut scanner = Scanner::open(object, &UNLIMITED).ok()?;
    let mut found = Vec::new();
    let walked = scanner.named(|scanner, name, key| {
        let (span, _) = scanner.value()?;
        let value = object.get(span.start..span.end).unwrap_or_default();
        let key = object.get(key.start..key.end).unwrap_or_default();
        found.push(Member {
            name,
            key,
            value,
            span,
        });
        Ok(())
    });
    walked.and_then(|_| scanner.end()).ok()?;
    Some(found)
}

/// `object` without the members that `keep` refuses, and with `added` (name, JSON) at its end. A member that is added
/// replaces one of that name.
pub fn rebuild<F>(object: &[u8], keep: F, added: &[(&str, &[u8])]) -> Vec<u8>
where
    F: FnMut(&str) -> bool,
{
    rebuild_from(members(object).as_slice(), keep, added)
}

/// The same for an object whose [`members`] are at hand.
pub fn rebuild_from<F>(members: &[Member<'_>], mut keep: F, added: &[(&str, &[u8])]) -> Vec<u8>
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

/// Inserts a member at the end of the object that stands at `span` of `source`. It must not be there yet.
pub fn insert<'e>(source: &[u8], span: Span, name: &str, value: &[u8]) -> Edit<'e> {
    let inner = Span::new(span.start + 1, span.end.saturating_sub(1));
    let empty = inner.of(source).iter().all(u8::is_ascii_whitespace);
    let mut with = Vec::with_capacity(name.len() + value.len() + 4);
    if !empty {
        with.push(b',');
    }
    quote_into(&mut with, name);
    with.push(b':');
    with.extend_from_slice(value);
    Edit::insert(inner.end, with)
}

#[cfg(test)]
mod tests;
