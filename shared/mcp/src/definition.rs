//! Tool definitions as servers give them: checked, capped, digested, and otherwise left byte for byte.

use std::collections::BTreeSet;

use crate::{
    canonical,
    headers::params::{self, Annotations},
    limits::Limits,
    object,
    scan::Scanner,
    splice::Span,
};

/// One tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The server's own name for it.
    pub name: String,
    /// SHA-256 of its canonical form.
    pub digest: [u8; 32],
    /// The definition as received: a JSON object.
    pub json: String,
}

/// A tool that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its name as far as it can be shown.
    pub name: String,
    /// Why.
    pub reason: Unfit,
}

/// Why a tool is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not an object with a name.
    #[error("it is not an object with a `name`")]
    Shape,
    /// A name outside of the alphabet.
    #[error("its name is not 1 to 128 of A-Z a-z 0-9 _ . -")]
    Name,
    /// A name that came before.
    #[error("another tool of this server has the same name")]
    Repeated,
    /// A definition over its limit.
    #[error("its definition is larger than {0} bytes")]
    TooLarge(usize),
    /// `inputSchema` is not an object.
    #[error("its `inputSchema` is not an object")]
    Schema,
    /// Malformed: a member written twice, too deep.
    #[error("its definition is malformed: {0}")]
    Malformed(crate::error::Reason),
    /// An invalid `x-mcp-header`.
    #[error("its `x-mcp-header` annotation is invalid: {0}")]
    Header(params::InvalidAnnotation),
}

/// Bounds of one definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefinitionLimits {
    /// Bytes of a definition.
    pub bytes: usize,
    /// Whether `x-mcp-header` annotations count (modern servers).
    pub annotations: bool,
}

/// What one page of `tools/list` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The tools that are taken, in order.
    pub tools: Vec<Definition>,
    /// The tools that are not.
    pub refused: Vec<Refused>,
}

/// Collects the pages of one server.
#[derive(Debug)]
pub struct Collector {
    limits: DefinitionLimits,
    names: BTreeSet<String>,
    page: Page,
}

/// A page that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the result of tools/list has no `tools` array")]
pub struct NotAPage;

/// Most refused tools that are kept for the report.
pub const MAX_REFUSED: usize = 100;

impl Default for DefinitionLimits {
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            annotations: true,
        }
    }
}

/// Whether `name` may be the name of a tool.
pub fn is_tool_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

impl Collector {
    /// For a new listing.
    pub fn new(limits: DefinitionLimits) -> Self {
        Self {
            limits,
            names: BTreeSet::new(),
            page: Page::default(),
        }
    }

    /// Takes the `result` object of one page; at most `room` tools altogether. Whether all of them fitted.
    pub fn take(&mut self, result: &[u8], room: usize) -> Result<bool, NotAPage> {
        let tools = object::get(result, "tools").ok_or(NotAPage)?;
        let text = std::str::from_utf8(tools).map_err(|_| NotAPage)?;
        let mut scanner = Scanner::within(text, 0, &Limits::ANSWER);
        let mut items: Vec<Span> = Vec::new();
        let mut fits = true;
        let kept = self.page.tools.len() + self.page.refused.len();
        let walked = scanner.array(|scanner| {
            let (span, _) = scanner.value()?;
            if kept + items.len() < room {
                items.push(span);
            } else {
                fits = false;
            }
            Ok(())
        });
        walked.map_err(|_| NotAPage)?;
        for span in items {
            self.tool(span.of(tools));
        }
        Ok(fits)
    }

    /// What has been collected.
    pub fn finish(self) -> Page {
        self.page
    }

    /// How many tools have been taken.
    pub fn len(&self) -> usize {
        self.page.tools.len()
    }

    /// Whether no tool has been taken.
    pub fn is_empty(&self) -> bool {
        self.page.tools.is_empty()
    }

    fn tool(&mut self, json: &[u8]) {
        match normalise(json, &self.limits) {
            Ok(tool) if self.names.insert(tool.name.clone()) => self.page.tools.push(tool),
            Ok(tool) => self.refuse(tool.name, Unfit::Repeated),
            Err(Refused { name, reason }) => self.refuse(name, reason),
        }
    }

    fn refuse(&mut self, name: String, reason: Unfit) {
        if self.page.refused.len() < MAX_REFUSED {
            self.page.refused.push(Refused { name, reason });
        }
    }
}

/// Checks one definition.
pub fn normalise(json: &[u8], limits: &DefinitionLimits) -> Result<Definition, Refused> {
    let named =
        object::get(json, "name").and_then(|name| serde_json::from_slice::<String>(name).ok());
    let shown = named.as_deref().map(show).unwrap_or_default();
    let refuse = |reason| Refused {
        name: shown.clone(),
        reason,
    };
    if json.len() > limits.bytes {
        return Err(refuse(Unfit::TooLarge(limits.bytes)));
    }
    if !json.starts_with(b"{") {
        return Err(refuse(Unfit::Shape));
    }
    let digest = canonical::digest(json, &Limits::ANSWER)
        .map_err(|error| refuse(Unfit::Malformed(error.reason)))?;
    let name = named.ok_or_else(|| refuse(Unfit::Shape))?;
    if !is_tool_name(&name) {
        return Err(refuse(Unfit::Name));
    }
    let schema = object::get(json, "inputSchema").unwrap_or_default();
    if !schema.starts_with(b"{") {
        return Err(refuse(Unfit::Schema));
    }
    if limits.annotations {
        Annotations::of_schema(schema).map_err(|invalid| refuse(Unfit::Header(invalid)))?;
    }
    let json = std::str::from_utf8(json).map_err(|_| refuse(Unfit::Shape))?;
    let json = json.to_owned();
    Ok(Definition { name, digest, json })
}

/// A name fit for a report: no control or invisible characters, not long.
fn show(name: &str) -> String {
    name.chars()
        .take(64)
        .flat_map(char::escape_default)
        .collect()
}

#[cfg(test)]
mod tests;
