//! Definitions of tools, prompts, resources and templates as servers give them: checked, capped, digested, and
//! otherwise left byte for byte. What would make a strict client drop the whole list is left out of it.

use std::collections::BTreeSet;

use crate::{
    canonical,
    headers::params::{self, Annotations},
    hidden,
    limits::Limits,
    method, object,
    scan::Scanner,
    splice::Span,
};

/// What a server lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Tools.
    Tool,
    /// Prompts.
    Prompt,
    /// Resources.
    Resource,
    /// Templates of resources.
    Template,
}

/// One tool, prompt, resource or template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The server's own name for it; its URI, its URI template.
    pub name: String,
    /// SHA-256 of its canonical form.
    pub digest: [u8; 32],
    /// The definition as received: a JSON object.
    pub json: String,
}

/// One that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its name as far as it can be shown.
    pub name: String,
    /// Why.
    pub reason: Unfit,
}

/// Why it is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not an object with a name.
    #[error("it is not an object with a `name`")]
    Shape,
    /// Not an object with what it is known by.
    #[error("it has no `{0}`")]
    Key(&'static str),
    /// A tool's name outside of the alphabet.
    #[error("its name is not 1 to 128 of A-Z a-z 0-9 _ . -")]
    Name,
    /// A prompt's name that cannot be shown.
    #[error("its name is not 1 to {MAX_PROMPT_NAME} characters that can be seen")]
    PromptName,
    /// A URI that cannot be asked for.
    #[error("its URI is not an absolute one of at most {MAX_URI} bytes that can be seen")]
    Uri,
    /// A name or URI that came before.
    #[error("another one of this server has the same name or URI")]
    Repeated,
    /// A definition over its limit.
    #[error("its definition is larger than {0} bytes")]
    TooLarge(usize),
    /// `inputSchema` is not an object.
    #[error("its `inputSchema` is not an object")]
    Schema,
    /// `arguments` of a prompt are not a list.
    #[error("its `arguments` are not a list")]
    Arguments,
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

/// What the pages of one list hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Those that are taken, in order.
    pub taken: Vec<Definition>,
    /// Those that are not.
    pub refused: Vec<Refused>,
    /// Names of those that are taken and hold characters that nobody sees; no more than [`MAX_REFUSED`].
    pub hiding: Vec<String>,
}

/// Collects the pages of one server.
#[derive(Debug)]
pub struct Collector {
    kind: Kind,
    limits: DefinitionLimits,
    names: BTreeSet<String>,
    page: Page,
}

/// A page that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's result is not a page of the list")]
pub struct NotAPage;

/// Characters of a prompt's name.
pub const MAX_PROMPT_NAME: usize = 256;
/// Bytes of a URI, or of a template.
pub const MAX_URI: usize = 2048;
/// Most refused ones that are kept for the report.
pub const MAX_REFUSED: usize = 100;

impl Default for DefinitionLimits {
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            annotations: true,
        }
    }
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    /// The method that lists it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Tool => method::TOOLS_LIST,
            Self::Prompt => method::PROMPTS_LIST,
            Self::Resource => method::RESOURCES_LIST,
            Self::Template => method::RESOURCES_TEMPLATES_LIST,
        }
    }

    /// The member of a result that holds the list.
    pub fn list(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// The member of a definition that it is known by.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    /// The capability of a server that has it.
    pub fn capability(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource | Self::Template => "resources",
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
    pub fn new(kind: Kind, limits: DefinitionLimits) -> Self {
        Self {
            kind,
            limits,
            names: BTreeSet::new(),
            page: Page::default(),
        }
    }

    /// Takes the `result` object of one page; at most `room` definitions altogether. Whether all of them fitted.
    pub fn take(&mut self, result: &[u8], room: usize) -> Result<bool, NotAPage> {
        let list = object::get(result, self.kind.list()).ok_or(NotAPage)?;
        let text = std::str::from_utf8(list).map_err(|_| NotAPage)?;
        let mut scanner = Scanner::within(text, 0, &Limits::OF_PARTS);
        let mut items: Vec<Span> = Vec::new();
        let mut fits = true;
        let kept = self.page.taken.len() + self.page.refused.len();
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
            self.definition(span.of(list));
        }
        Ok(fits)
    }

    /// What has been collected.
    pub fn finish(self) -> Page {
        self.page
    }

    /// How many have been taken.
    pub fn len(&self) -> usize {
        self.page.taken.len()
    }

    /// Whether none has been taken.
    pub fn is_empty(&self) -> bool {
        self.page.taken.is_empty()
    }

    fn definition(&mut self, json: &[u8]) {
        match normalise(self.kind, json, &self.limits) {
            Ok(it) if self.names.insert(it.name.clone()) => {
                if self.page.hiding.len() < MAX_REFUSED && hidden::is_within(it.json.as_bytes()) {
                    self.page.hiding.push(show(&it.name));
                }
                self.page.taken.push(it);
            }
            Ok(it) => self.refuse(show(&it.name), Unfit::Repeated),
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
pub fn normalise(
    kind: Kind,
    json: &[u8],
    limits: &DefinitionLimits,
) -> Result<Definition, Refused> {
    let text = |member: &str| {
        object::get(json, member).and_then(|text| serde_json::from_slice::<String>(text).ok())
    };
    let key = text(kind.key());
    let shown = key.as_deref().map(show).unwrap_or_default();
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
    text("name").ok_or_else(|| refuse(Unfit::Shape))?;
    let name = key.ok_or_else(|| refuse(Unfit::Key(kind.key())))?;
    fits(kind, &name, json, limits).map_err(refuse)?;
    let json = std::str::from_utf8(json).map_err(|_| refuse(Unfit::Shape))?;
    let json = json.to_owned();
    Ok(Definition { name, digest, json })
}

/// What is asked of each kind.
fn fits(kind: Kind, key: &str, json: &[u8], limits: &DefinitionLimits) -> Result<(), Unfit> {
    match kind {
        Kind::Tool if !is_tool_name(key) => Err(Unfit::Name),
        Kind::Tool => {
            let schema = object::get(json, "inputSchema").unwrap_or_default();
            if !schema.starts_with(b"{") {
                return Err(Unfit::Schema);
            }
            if limits.annotations {
                Annotations::of_schema(schema).map_err(Unfit::Header)?;
            }
            Ok(())
        }
        Kind::Prompt if !is_prompt_name(key) => Err(Unfit::PromptName),
        Kind::Prompt => match object::get(json, "arguments") {
            Some(arguments) if !arguments.starts_with(b"[") => Err(Unfit::Arguments),
            Some(_) | None => Ok(()),
        },
        Kind::Resource if !is_uri(key) => Err(Unfit::Uri),
        Kind::Template if !is_template(key) => Err(Unfit::Uri),
        Kind::Resource | Kind::Template => Ok(()),
    }
}

fn is_prompt_name(name: &str) -> bool {
    let characters = name.chars().take(MAX_PROMPT_NAME + 1).count();
    (1..=MAX_PROMPT_NAME).contains(&characters)
        && !name.contains(hidden::is_hidden)
        && !name.contains(char::is_control)
}

/// Whether `uri` is absolute and can be sent on; what its scheme asks for is the server's business.
pub fn is_uri(uri: &str) -> bool {
    let scheme = |scheme: &str| {
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(rest)
    };
    is_template(uri)
        && uri
            .split_once(':')
            .is_some_and(|(before, _)| scheme(before))
}

/// A template may begin with an expression, so that even its scheme is open.
fn is_template(template: &str) -> bool {
    (1..=MAX_URI).contains(&template.len())
        && !template.contains(hidden::is_hidden)
        && !template.contains(char::is_control)
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
