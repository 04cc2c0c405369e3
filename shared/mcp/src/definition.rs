//! Definitions of tools, prompts, resources and resource templates as listed by servers. They are validated, limited in
//! size, normalized where that is harmless, digested, and otherwise kept byte for byte. Deceptive characters in texts that
//! clients display are shown as escapes. A definition that would make a
//! strict client reject the whole list is left out.

mod icons;
mod members;
pub mod normalize;
mod references;

use std::{borrow::Cow, collections::BTreeSet};

use url::Url;

use crate::{
    canonical, case_variants, deceptive_text,
    error::FrameErrorKind,
    headers::params::{self, HeaderAnnotations},
    limits::FrameLimits,
    method, object,
    protocol_members::{self, ProtocolObject},
    scan::JsonScanner,
    splice::ByteSpan,
};

use normalize::MistypedMember;

/// Kind of definition that a server lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    /// Tool.
    Tool,
    /// Prompt.
    Prompt,
    /// Resource.
    Resource,
    /// Resource template.
    Template,
}

/// Validated definition of one tool, prompt, resource or resource template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedDefinition {
    /// Name given by the server, URI, or URI template, depending on the kind.
    pub name: String,
    /// SHA-256 of the canonical form.
    pub digest: [u8; 32],
    /// Definition, a JSON object: as received, unless it had to be normalized.
    pub json: String,
}

/// Definition that failed validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedDefinition {
    /// Name in a form that is safe to display; empty if there is none.
    pub name: String,
    /// Reason for the rejection.
    pub reason: DefinitionError,
}

/// Reason why a definition is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Not an object with a name.
    #[error("it is not an object with a `name`")]
    Shape,
    /// The member that identifies the definition is missing.
    #[error("it has no `{0}`")]
    Key(&'static str),
    /// Name of a tool or prompt that is too long or has deceptive characters.
    #[error("its name is not 1 to {MAX_NAME} characters that can be seen")]
    Name,
    /// URI that is too long, not absolute, or has deceptive characters.
    #[error("its URI is not a valid absolute one of at most {MAX_URI} bytes that can be seen")]
    Uri,
    /// Name or URI that was listed before.
    #[error("another one of this server has the same name or URI")]
    Repeated,
    /// Definition larger than the limit.
    #[error("its definition is larger than {0} bytes")]
    TooLarge(usize),
    /// `inputSchema` is not an object.
    #[error("its `inputSchema` is not an object")]
    Schema,
    /// A member is of another type than in the schema of the protocol.
    #[error(transparent)]
    Member(#[from] MistypedMember),
    /// Nesting deeper than the limit.
    #[error("it is nested more than {0} levels deep")]
    TooDeep(u32),
    /// Malformed JSON, for example a duplicate member.
    #[error("its definition is malformed: {0}")]
    Malformed(FrameErrorKind),
    /// Invalid `x-mcp-header` annotation.
    #[error("its `x-mcp-header` annotation is invalid: {0}")]
    Header(params::InvalidAnnotation),
}

/// Limits of one definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefinitionLimits {
    /// Maximum size of a definition in bytes.
    pub bytes: usize,
    /// True if `x-mcp-header` annotations are validated (modern servers).
    pub annotations: bool,
}

/// Definitions collected from the pages of one list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionList {
    /// Accepted definitions, in the order of the list.
    pub accepted: Vec<ParsedDefinition>,
    /// Rejected definitions, at most [`MAX_REJECTED`].
    pub rejected: Vec<RejectedDefinition>,
    /// Names of accepted definitions with deceptive characters in texts, which are shown as escapes, at most
    /// [`MAX_REJECTED`].
    pub with_deceptive_text: Vec<String>,
    /// Names of accepted definitions from which members were removed whose names differ from those of the protocol by case
    /// only, at most [`MAX_REJECTED`].
    pub with_case_variants: Vec<String>,
    /// Names of accepted definitions of which icons were left out, at most [`MAX_REJECTED`].
    pub with_unsafe_icons: Vec<String>,
    /// Names of accepted definitions with deceptive characters in names and values, which are kept, at most
    /// [`MAX_REJECTED`].
    pub with_deceptive_values: Vec<String>,
    /// Names of accepted tools whose schemas have a reference that leads nowhere, at most [`MAX_REJECTED`].
    pub with_unresolved_references: Vec<String>,
    /// Number of definitions on these pages that did not fit.
    pub beyond_limit: usize,
}

/// Collects the definitions from the pages of one list.
#[derive(Debug)]
pub struct DefinitionCollector {
    kind: DefinitionKind,
    limits: DefinitionLimits,
    names: BTreeSet<String>,
    page: DefinitionList,
}

/// Error of a result that is not a page of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's result is not a page of the list")]
pub struct InvalidPage;

/// Maximum length of the name of a tool or prompt in characters.
pub const MAX_NAME: usize = 256;
/// Maximum length of a URI or URI template in bytes.
pub const MAX_URI: usize = 2048;
/// Maximum number of rejected definitions kept for the report.
pub const MAX_REJECTED: usize = 100;

impl Default for DefinitionLimits {
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            annotations: true,
        }
    }
}

impl DefinitionKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    /// Returns the method that lists this kind.
    pub fn method(self) -> &'static str {
        match self {
            Self::Tool => method::TOOLS_LIST,
            Self::Prompt => method::PROMPTS_LIST,
            Self::Resource => method::RESOURCES_LIST,
            Self::Template => method::RESOURCES_TEMPLATES_LIST,
        }
    }

    /// Returns the member of the result that holds the list.
    pub fn list(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// Returns the member of a definition that identifies it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    /// Returns the members that the protocol gives to a definition.
    fn object(self) -> &'static ProtocolObject {
        match self {
            Self::Tool => &protocol_members::TOOL,
            Self::Prompt => &protocol_members::PROMPT,
            Self::Resource => &protocol_members::RESOURCE,
            Self::Template => &protocol_members::TEMPLATE,
        }
    }

    /// Returns the server capability that announces this kind.
    pub fn capability(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource | Self::Template => "resources",
        }
    }
}

impl DefinitionError {
    /// Returns `true` if a limit of Toolgate is the reason: the definition is valid, but too large or too deep.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::TooDeep(_))
    }

    fn of_frame(reason: FrameErrorKind) -> Self {
        if reason == FrameErrorKind::TooDeep {
            return Self::TooDeep(FrameLimits::DEFINITION.depth);
        }
        Self::Malformed(reason)
    }
}

/// Returns `true` if `name` follows the recommendation of the protocol for tool names. Other names are valid too, and some
/// clients do not take them.
pub fn is_recommended_tool_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

impl DefinitionCollector {
    /// Creates a collector for a new listing.
    pub fn new(kind: DefinitionKind, limits: DefinitionLimits) -> Self {
        Self {
            kind,
            limits,
            names: BTreeSet::new(),
            page: DefinitionList::default(),
        }
    }

    /// Adds the definitions of one page, given its `result` object. Keeps at most `room` definitions over all pages and
    /// returns `false` if some did not fit.
    pub fn add_page(&mut self, result: &[u8], room: usize) -> Result<bool, InvalidPage> {
        let list = object::get(result, self.kind.list()).ok_or(InvalidPage)?;
        let text = std::str::from_utf8(list).map_err(|_| InvalidPage)?;
        let mut scanner = JsonScanner::within(text, 0, &FrameLimits::LENIENT);
        let mut items: Vec<ByteSpan> = Vec::new();
        let mut beyond = 0;
        let kept = self.page.accepted.len() + self.page.rejected.len();
        let scanned = scanner.array(|scanner| {
            let (span, _) = scanner.value()?;
            if kept + items.len() < room {
                items.push(span);
            } else {
                beyond += 1;
            }
            Ok(())
        });
        scanned.map_err(|_| InvalidPage)?;
        for span in items {
            self.add_definition(span.of(list));
        }
        self.page.beyond_limit += beyond;
        Ok(beyond == 0)
    }

    /// Returns the collected definitions.
    pub fn finish(self) -> DefinitionList {
        self.page
    }

    /// Returns the number of accepted definitions.
    pub fn len(&self) -> usize {
        self.page.accepted.len()
    }

    /// Returns `true` if no definition was accepted.
    pub fn is_empty(&self) -> bool {
        self.page.accepted.is_empty()
    }

    fn add_definition(&mut self, json: &[u8]) {
        match parse_definition(self.kind, json, &self.limits) {
            Ok(it) if self.names.insert(it.name.clone()) => {
                self.note(json, &it);
                self.page.accepted.push(it);
            }
            Ok(it) => self.reject(printable_name(&it.name), DefinitionError::Repeated),
            Err(RejectedDefinition { name, reason }) => self.reject(name, reason),
        }
    }

    /// Notes what is to be known of an accepted definition. `json` is the definition as received.
    fn note(&mut self, json: &[u8], accepted: &ParsedDefinition) {
        let kind = self.kind;
        let is_tool = kind == DefinitionKind::Tool;
        let deceives = deceptive_text::contained_in_json(json);
        let still_deceives =
            deceives && deceptive_text::contained_in_json(accepted.json.as_bytes());
        let page = &mut self.page;
        for (list, applies) in [
            (&mut page.with_deceptive_text, deceives && !still_deceives),
            (&mut page.with_deceptive_values, still_deceives),
            (
                &mut page.with_case_variants,
                case_variants::contained_in(json, kind.object()),
            ),
            (&mut page.with_unsafe_icons, icons::are_unsafe(json)),
            (
                &mut page.with_unresolved_references,
                is_tool && references::is_unresolved(json, &["inputSchema", "outputSchema"]),
            ),
        ] {
            if applies && list.len() < MAX_REJECTED {
                list.push(printable_name(&accepted.name));
            }
        }
    }

    fn reject(&mut self, name: String, reason: DefinitionError) {
        if self.page.rejected.len() < MAX_REJECTED {
            self.page.rejected.push(RejectedDefinition { name, reason });
        }
    }
}

/// Validates one definition.
pub fn parse_definition(
    kind: DefinitionKind,
    json: &[u8],
    limits: &DefinitionLimits,
) -> Result<ParsedDefinition, RejectedDefinition> {
    let text = |member: &str| {
        object::get(json, member).and_then(|text| serde_json::from_slice::<String>(text).ok())
    };
    let key = text(kind.key());
    let display_name = key.as_deref().map(printable_name).unwrap_or_default();
    let refuse = |reason| RejectedDefinition {
        name: display_name.clone(),
        reason,
    };
    if json.len() > limits.bytes {
        return Err(refuse(DefinitionError::TooLarge(limits.bytes)));
    }
    if !json.starts_with(b"{") {
        return Err(refuse(DefinitionError::Shape));
    }
    let digest = |json: &[u8]| {
        canonical::digest(json, &FrameLimits::DEFINITION)
            .map_err(|error| refuse(DefinitionError::of_frame(error.reason)))
    };
    let received = digest(json)?;
    text("name").ok_or_else(|| refuse(DefinitionError::Shape))?;
    let name = key.ok_or_else(|| refuse(DefinitionError::Key(kind.key())))?;
    check_kind(kind, &name, json, limits).map_err(refuse)?;
    let bare = case_variants::removed(json, kind.object())
        .map_err(|reason| refuse(DefinitionError::of_frame(reason)))?;
    let normalize = |json| {
        normalize::normalized(kind, json)
            .map_err(|mistyped| refuse(DefinitionError::Member(mistyped)))
    };
    let normalized = match &bare {
        Cow::Borrowed(_) => normalize(json)?,
        Cow::Owned(bare) => Cow::Owned(normalize(bare)?.into_owned()),
    };
    let displayed: &[&str] = match kind {
        DefinitionKind::Tool | DefinitionKind::Prompt => &[],
        DefinitionKind::Resource | DefinitionKind::Template => &["name"],
    };
    let escaped = match deceptive_text::escaped_display_members(&normalized, displayed) {
        Cow::Owned(escaped) => Some(escaped),
        Cow::Borrowed(_) => None,
    };
    let normalized = icons::without_unsafe(escaped.map_or(normalized, Cow::Owned));
    let normalized = match kind {
        DefinitionKind::Tool => references::without_unresolved_output(normalized),
        DefinitionKind::Prompt | DefinitionKind::Resource | DefinitionKind::Template => normalized,
    };
    if normalized.len() > limits.bytes {
        return Err(refuse(DefinitionError::TooLarge(limits.bytes)));
    }
    let digest = match &normalized {
        Cow::Borrowed(_) => received,
        Cow::Owned(changed) => digest(changed)?,
    };
    let json =
        String::from_utf8(normalized.into_owned()).map_err(|_| refuse(DefinitionError::Shape))?;
    Ok(ParsedDefinition { name, digest, json })
}

/// Applies the checks that depend on the kind.
fn check_kind(
    kind: DefinitionKind,
    key: &str,
    json: &[u8],
    limits: &DefinitionLimits,
) -> Result<(), DefinitionError> {
    match kind {
        DefinitionKind::Tool | DefinitionKind::Prompt if !is_name(key) => {
            Err(DefinitionError::Name)
        }
        DefinitionKind::Tool => {
            let schema = object::get(json, "inputSchema").unwrap_or_default();
            if !schema.starts_with(b"{") {
                return Err(DefinitionError::Schema);
            }
            if limits.annotations {
                HeaderAnnotations::of_schema(schema).map_err(DefinitionError::Header)?;
            }
            Ok(())
        }
        // Clients that parse URIs reject the whole list because of a single invalid one.
        DefinitionKind::Resource if !is_uri(key) || Url::parse(key).is_err() => {
            Err(DefinitionError::Uri)
        }
        DefinitionKind::Template if !is_template(key) => Err(DefinitionError::Uri),
        DefinitionKind::Prompt | DefinitionKind::Resource | DefinitionKind::Template => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    let characters = name.chars().take(MAX_NAME + 1).count();
    (1..=MAX_NAME).contains(&characters)
        && !deceptive_text::contained_in_name(name)
        && !name.contains(char::is_control)
}

/// Returns `true` if `uri` is absolute and safe to forward. The rules of its scheme are left to the server.
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

/// A template may begin with an expression, so its scheme is not checked.
fn is_template(template: &str) -> bool {
    (1..=MAX_URI).contains(&template.len())
        && !deceptive_text::contained_in_name(template)
        && !template.contains(char::is_control)
}

/// Shortens and escapes a name for use in a report.
fn printable_name(name: &str) -> String {
    name.chars()
        .take(64)
        .flat_map(char::escape_default)
        .collect()
}

#[cfg(test)]
mod tests;
