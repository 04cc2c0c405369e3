//! A definition as a server gave it, under the name that clients see.

use std::sync::Arc;

use toolgate_mcp::{Span, object, text::quote};

/// Its bytes, but for the name.
#[derive(Debug)]
pub(super) struct Renamed {
    definition: Arc<str>,
    place: Span,
    name: Box<str>,
}

impl Renamed {
    /// With `name` in the place of the string that stands at `member`. None if there is no such string.
    pub(super) fn new(definition: &Arc<str>, member: &str, name: &str) -> Option<Self> {
        let mut members = object::members(definition.as_bytes());
        let own = members.find(|own| own.name == member && own.value.starts_with(b"\""))?;
        Some(Self {
            definition: Arc::clone(definition),
            place: own.span,
            name: quote(name).into(),
        })
    }

    /// How long it is.
    pub(super) fn weight(&self) -> usize {
        self.definition.len() + self.name.len()
    }

    /// Writes it.
    pub(super) fn write(&self, out: &mut String) {
        let whole: &str = &self.definition;
        out.push_str(whole.get(..self.place.start).unwrap_or_default());
        out.push_str(&self.name);
        out.push_str(whole.get(self.place.end..).unwrap_or_default());
    }
}
