//! A call within the arguments of another: what is to be called, and with which arguments. It is read as strictly as the
//! frame around it, with the places in that frame, so that exactly those bytes can go on.

use std::borrow::Cow;

use crate::{
    envelope::{keep, object, optional},
    error::Reason,
    limits::Limits,
    scan::Scanner,
    splice::Span,
    text::Text,
};

/// What is known of it.
#[derive(Debug, Clone, Default)]
pub struct Nested<'a> {
    /// `name`.
    pub name: Option<Text<'a>>,
    /// `arguments`: an object.
    pub arguments: Option<Span>,
    /// The first of the above that had the wrong JSON type; it reads as absent.
    pub mistyped: Option<&'static str>,
    /// The first member that is none of the above.
    pub unknown: Option<Cow<'a, str>>,
}

/// Reads the object that stands at `span` of `source`, which is within a frame that has been read. None if it is no object,
/// or has a member twice.
pub fn read(source: &[u8], span: Span) -> Option<Nested<'_>> {
    let text = std::str::from_utf8(span.of(source)).ok()?;
    let mut scanner = Scanner::within(text, 0, &Limits::REQUEST);
    let mut nested = Nested::default();
    let Nested {
        name: called,
        arguments,
        mistyped,
        unknown,
    } = &mut nested;
    if scanner.peek() != Some(b'{') {
        return None;
    }
    let walked = scanner.named(|scanner, name, _| {
        match &*name {
            "name" => keep(called, optional(scanner)?, mistyped, "name"),
            "arguments" => keep(arguments, object(scanner)?, mistyped, "arguments"),
            _ => {
                scanner.value()?;
                unknown.get_or_insert(name);
            }
        }
        Ok(())
    });
    let end = walked.and_then(|read| match read.end == text.len() {
        true => Ok(()),
        false => Err(scanner.fault(Reason::Trailing)),
    });
    end.ok()?;
    let within = |own: Span| Span::new(span.start + own.start, span.start + own.end);
    if let Some(called) = &mut nested.name {
        called.span = within(called.span);
    }
    nested.arguments = nested.arguments.map(within);
    Some(nested)
}

#[cfg(test)]
mod tests;
