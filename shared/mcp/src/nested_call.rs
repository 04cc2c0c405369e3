//! Parser of a tool call nested in the arguments of another call. It is as strict as the parser of the enclosing frame,
//! and its spans refer to that frame, so that exactly those bytes can be forwarded.

use std::borrow::Cow;

use crate::{
    envelope::{assign_member, optional_object, optional_string},
    error::FrameErrorKind,
    limits::FrameLimits,
    scan::JsonScanner,
    splice::ByteSpan,
    text::JsonString,
};

/// Members of the nested call.
#[derive(Debug, Clone, Default)]
pub struct NestedCall<'a> {
    /// `name`.
    pub name: Option<JsonString<'a>>,
    /// `arguments`, an object.
    pub arguments: Option<ByteSpan>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent.
    pub mistyped: Option<&'static str>,
    /// First member that is none of the above.
    pub unknown: Option<Cow<'a, str>>,
}

/// Parses the object at `span` of `source`, which is part of a frame that was already parsed. Returns `None` if it is
/// not an object or has a duplicate member.
pub fn read(source: &[u8], span: ByteSpan) -> Option<NestedCall<'_>> {
    let text = std::str::from_utf8(span.of(source)).ok()?;
    let mut scanner = JsonScanner::within(text, 0, &FrameLimits::REQUEST);
    let mut nested = NestedCall::default();
    let NestedCall {
        name: called,
        arguments,
        mistyped,
        unknown,
    } = &mut nested;
    if scanner.peek() != Some(b'{') {
        return None;
    }
    let scanned = scanner.object_members(|scanner, name, _| {
        match &*name {
            "name" => assign_member(called, optional_string(scanner)?, mistyped, "name"),
            "arguments" => {
                assign_member(arguments, optional_object(scanner)?, mistyped, "arguments")
            }
            _ => {
                scanner.value()?;
                unknown.get_or_insert(name);
            }
        }
        Ok(())
    });
    let end = scanned.and_then(|read| match read.end == text.len() {
        true => Ok(()),
        false => Err(scanner.error(FrameErrorKind::Trailing)),
    });
    end.ok()?;
    let within = |own: ByteSpan| ByteSpan::new(span.start + own.start, span.start + own.end);
    if let Some(called) = &mut nested.name {
        called.span = within(called.span);
    }
    nested.arguments = nested.arguments.map(within);
    Some(nested)
}

#[cfg(test)]
mod tests;
