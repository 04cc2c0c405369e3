//! Definitions of a server with the facts about them that gateways need. The facts are found once for all gateways that bind
//! the server, when the first one needs them, and kept while the server and its definitions stay the same.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
};

use toolgate_mcp::{apps, deceptive_text, object};
use toolgate_model::{
    Definition, Digest, SnapshotResource, UriMode,
    snapshot::{DefinitionsResource, SnapshotEntry},
    text::truncated,
};

use crate::{
    ServerView,
    client_state::task::EXTENSION,
    view::{
        definition::{ToolFacts, with_exposed_uris},
        resource::ResourceView,
    },
};

/// Maximum length of one server's part of the instructions, in bytes. Quoted text is longer than what the server wrote;
/// it must not push out the parts of other servers.
const SERVER_INSTRUCTIONS_LIMIT: usize = 12 * 1024;

/// Maximum number of characters of the name of a resource that a problem shows.
const MAX_NAME_CHARS: usize = 128;

/// Number of forms of exposed URIs.
const URI_MODES: usize = 2;

/// Definitions of a server with the facts about them.
#[derive(Debug)]
pub(in crate::view) struct ServerOffer {
    /// Server, if it is served.
    server: Option<Arc<ServerView>>,
    /// Definitions.
    entry: SnapshotEntry,
    tools: NameIndex,
    prompts: NameIndex,
    /// Facts of each tool, for each form of URIs that is used.
    facts: [OnceLock<FactsOfTools>; URI_MODES],
    resources: [OnceLock<OfferedResources>; URI_MODES],
    features: OnceLock<OfferedFeatures>,
    instructions: OnceLock<Box<str>>,
}

/// Features that a server offers to the gateways that bind it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct OfferedFeatures {
    pub(super) app_pages: bool,
    pub(super) logging: bool,
    pub(super) prompts: bool,
    pub(super) resources: bool,
    pub(super) subscribe: bool,
    pub(super) completions: bool,
    pub(super) tasks: bool,
}

/// Resources and templates of a server as a gateway exposes them.
#[derive(Debug, Default)]
pub(super) struct OfferedResources {
    pub(super) listed: Vec<Arc<ResourceView>>,
    pub(super) templates: Vec<Arc<ResourceView>>,
    pub(super) problems: Vec<String>,
}

/// Facts of the tools of a server, in the order of its list.
type FactsOfTools = Box<[OnceLock<Box<Result<ToolFacts, &'static str>>>]>;

/// Positions of the definitions of a list, sorted by name.
#[derive(Debug)]
struct NameIndex(Box<[u32]>);

/// Definitions of a server without any.
static NO_DEFINITIONS: DefinitionsResource = DefinitionsResource {
    tools: Vec::new(),
    prompts: Vec::new(),
    resources: Vec::new(),
    templates: Vec::new(),
    instructions: String::new(),
    capabilities: String::new(),
};

impl ServerOffer {
    /// Creates the offer of a server with the definitions in `entry`. Nothing is read yet.
    pub(super) fn new(server: Option<Arc<ServerView>>, entry: SnapshotEntry) -> Self {
        let definitions = definitions(&entry.resource);
        let (tools, prompts) = (
            NameIndex::of(&definitions.tools),
            NameIndex::of(&definitions.prompts),
        );
        Self {
            facts: Default::default(),
            server,
            tools,
            prompts,
            entry,
            resources: Default::default(),
            features: OnceLock::new(),
            instructions: OnceLock::new(),
        }
    }

    /// Returns `true` if the offer was made from this server and these definitions.
    pub(super) fn is_of(&self, server: Option<&Arc<ServerView>>, definitions: Digest) -> bool {
        let digest = |server: &Arc<ServerView>| server.digest;
        self.entry.digest == definitions && self.server.as_ref().map(digest) == server.map(digest)
    }

    fn definitions(&self) -> &DefinitionsResource {
        definitions(&self.entry.resource)
    }

    /// Returns the definition of a prompt.
    pub(super) fn prompt(&self, name: &str) -> Option<&Definition> {
        let prompts = &self.definitions().prompts;
        prompts.get(self.prompts.position(prompts, name)?)
    }

    /// Returns the definition of a tool and the facts about it. `reads` counts the definitions that are read for it.
    pub(super) fn tool(
        &self,
        name: &str,
        uris: UriMode,
        reads: &Cell<usize>,
    ) -> Option<(&Definition, &Result<ToolFacts, &'static str>)> {
        let tools = &self.definitions().tools;
        let at = self.tools.position(tools, name)?;
        let slots = || std::iter::repeat_with(OnceLock::new).take(tools.len());
        let facts = self.facts.get(uri_mode_index(uris))?;
        let facts = facts.get_or_init(|| slots().collect()).get(at)?;
        let definition = tools.get(at)?;
        let read = || {
            reads.set(reads.get() + 1);
            let server = self.server.as_ref().ok_or("its server is not known");
            let exposed = server.map(|server| with_exposed_uris(server, definition, uris));
            Box::new(exposed.and_then(ToolFacts::read))
        };
        let facts: &Result<ToolFacts, &'static str> = facts.get_or_init(read);
        Some((definition, facts))
    }

    /// Returns the resources and templates, if the server is served.
    pub(super) fn resources(
        &self,
        uris: UriMode,
        reads: &Cell<usize>,
    ) -> Option<&OfferedResources> {
        let server = self.server.as_ref()?;
        let resources = self.resources.get(uri_mode_index(uris))?;
        Some(resources.get_or_init(|| {
            let definitions = self.definitions();
            let count = definitions.resources.len() + definitions.templates.len();
            reads.set(reads.get() + count);
            OfferedResources::read(uris, server, definitions)
        }))
    }

    /// Returns the features that do not depend on the era of the server.
    pub(super) fn features(&self, reads: &Cell<usize>) -> OfferedFeatures {
        *self.features.get_or_init(|| {
            reads.set(reads.get() + self.definitions().tools.len());
            OfferedFeatures::read(self.definitions())
        })
    }

    /// Returns the instructions as a block quotation: no heading in them ends their section. Empty if there are none.
    pub(super) fn instructions(&self) -> &str {
        self.instructions.get_or_init(|| {
            let own = self.definitions().instructions.trim();
            let quoted = deceptive_text::quoted(own);
            truncated(&quoted, SERVER_INSTRUCTIONS_LIMIT).into()
        })
    }

    /// Returns `true` if the server has instructions.
    pub(super) fn has_instructions(&self) -> bool {
        !self.definitions().instructions.trim().is_empty()
    }
}

impl OfferedFeatures {
    fn read(definitions: &DefinitionsResource) -> Self {
        let mut found = Self {
            app_pages: has_app_pages(definitions),
            ..Self::default()
        };
        for capability in object::members(definitions.capabilities.as_bytes()) {
            match &*capability.name {
                "logging" => found.logging = true,
                "prompts" => found.prompts = true,
                "resources" => {
                    found.resources = true;
                    let subscribe = object::get(capability.value, "subscribe");
                    found.subscribe |= subscribe == Some(b"true");
                }
                "completions" => found.completions = true,
                "extensions" => {
                    let has = |extension: &str| object::get(capability.value, extension).is_some();
                    found.tasks |= has(EXTENSION);
                    found.app_pages |= has(apps::EXTENSION);
                }
                _ => {}
            }
        }
        found
    }
}

impl OfferedResources {
    fn read(uris: UriMode, server: &Arc<ServerView>, definitions: &DefinitionsResource) -> Self {
        let mut found = Self::default();
        let mut problem = |kind: &str, definition: &Definition, reason: &str| {
            let name: String = definition.name.chars().take(MAX_NAME_CHARS).collect();
            found.problems.push(format!("{kind} `{name}`: {reason}"));
        };
        for definition in &definitions.resources {
            match ResourceView::listed(uris, server, definition) {
                Ok(view) => found.listed.push(Arc::new(view)),
                Err(reason) => problem("resource", definition, reason),
            }
        }
        for definition in &definitions.templates {
            match ResourceView::template(uris, server, definition) {
                Ok(view) => found.templates.push(Arc::new(view)),
                Err(reason) => problem("template", definition, reason),
            }
        }
        found
    }
}

impl NameIndex {
    fn of(list: &[Definition]) -> Self {
        let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let mut positions: Vec<u32> = (0..count).collect();
        positions.sort_by_key(|at| name_at(list, *at));
        Self(positions.into())
    }

    /// Returns the position in `list`, of which this is the index.
    fn position(&self, list: &[Definition], name: &str) -> Option<usize> {
        let found = self.0.binary_search_by_key(&name, |at| name_at(list, *at));
        let at = *self.0.get(found.ok()?)?;
        usize::try_from(at).ok()
    }
}

fn name_at(list: &[Definition], at: u32) -> &str {
    let definition = usize::try_from(at).ok().and_then(|at| list.get(at));
    definition.map_or("", |definition| &definition.name)
}

fn uri_mode_index(uris: UriMode) -> usize {
    match uris {
        UriMode::Prefixed => 0,
        UriMode::Through => 1,
    }
}

fn definitions(resource: &SnapshotResource) -> &DefinitionsResource {
    match resource {
        SnapshotResource::Catalogue(definitions) => definitions,
        SnapshotResource::Gateway(_) | SnapshotResource::Server(_) | SnapshotResource::Token(_) => {
            &NO_DEFINITIONS
        }
    }
}

/// Returns `true` if a server has MCP Apps pages. Servers need not declare the extension, and pages of tools need not
/// be listed.
fn has_app_pages(definitions: &DefinitionsResource) -> bool {
    let listed = |resource: &Definition| resource.name.starts_with(apps::URI_SCHEME);
    let has_page = |tool: &Definition| {
        let meta = object::get(tool.json.as_bytes(), "_meta");
        meta.is_some_and(|meta| {
            let page = |at: &[u8], name: &str| object::get(at, name).is_some();
            object::get(meta, "ui").is_some_and(|ui| page(ui, "resourceUri"))
                || page(meta, "ui/resourceUri")
        })
    };
    definitions.resources.iter().any(listed)
        || definitions.templates.iter().any(listed)
        || definitions.tools.iter().any(has_page)
}
