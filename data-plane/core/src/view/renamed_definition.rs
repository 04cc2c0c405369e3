//! Definitions of servers under their exposed names.

use std::sync::Arc;

use toolgate_mcp::{ByteSpan, object, text::quote};

/// Original definition in which the name is replaced when it is written.
#[derive(Debug)]
pub(super) struct RenamedDefinition {
    definition: Arc<str>,
    name_span: ByteSpan,
    name: Box<str>,
}

impl RenamedDefinition {
    /// Replaces the string at `member` by `name`. Returns `None` if there is no such string.
    pub(super) fn new(definition: &Arc<str>, member: &str, name: &str) -> Option<Self> {
        let mut members = object::members(definition.as_bytes());
        let own = members.find(|own| own.name == member && own.value.starts_with(b"\""))?;
        Some(Self {
            definition: Arc::clone(definition),
            name_span: own.span,
            name: quote(name).into(),
        })
    }

    /// Length of the definition, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.definition.len() + self.name.len()
    }

    /// Writes the definition under its exposed name.
    pub(super) fn write(&self, out: &mut String) {
        let whole: &str = &self.definition;
        out.push_str(whole.get(..self.name_span.start).unwrap_or_default());
        out.push_str(&self.name);
        out.push_str(whole.get(self.name_span.end..).unwrap_or_default());
    }
}
