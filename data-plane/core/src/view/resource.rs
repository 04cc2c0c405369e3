//! Resources of a gateway: their lists, and the resolution of URIs to servers.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use toolgate_mcp::text::quote;
use toolgate_model::{Definition, Digest, Era, UriMode};

use crate::{
    ServerView,
    plan::ResourceTarget,
    view::{
        ListItem,
        renamed_definition::RenamedDefinition,
        uri::{self, UriTemplateMatcher},
    },
};

/// Maximum length of a URI to resolve, in bytes. Limited because the URI is also sent in a header.
const MAX_URI_LEN: usize = 4 * 1024;

/// Resource or resource template under its exposed URI.
#[derive(Debug)]
pub struct ResourceView {
    /// Exposed URI or URI template.
    pub exposed: Box<str>,
    /// The server's own URI or URI template.
    pub original: Box<str>,
    /// Server that has the resource.
    pub server: Arc<ServerView>,
    /// Digest of the definition.
    pub digest: Digest,
    definition: RenamedDefinition,
    pattern: Option<UriTemplateMatcher>,
}

/// Resources and templates of one gateway.
#[derive(Debug, Default)]
pub(super) struct ResourceIndex {
    pub(super) uris: UriMode,
    /// Servers with exposed resources, in binding order.
    pub(super) servers: Vec<Arc<ServerView>>,
    /// Listed resources, sorted by exposed URI.
    pub(super) listed: Vec<Arc<ResourceView>>,
    /// Templates, sorted by exposed URI template.
    pub(super) templates: Vec<Arc<ResourceView>>,
}

impl ResourceView {
    /// Creates the view of a resource, or returns the reason why it cannot be listed.
    pub(super) fn listed(
        uris: UriMode,
        server: &Arc<ServerView>,
        definition: &Definition,
    ) -> Result<Self, &'static str> {
        let found = Self::new(uris, server, definition, "uri");
        found.ok_or("its definition is not an object with a uri")
    }

    /// Creates the view of a template, or returns the reason why it cannot be listed.
    pub(super) fn template(
        uris: UriMode,
        server: &Arc<ServerView>,
        definition: &Definition,
    ) -> Result<Self, &'static str> {
        let found = Self::new(uris, server, definition, "uriTemplate");
        let found = found.ok_or("its definition is not an object with a uriTemplate")?;
        let pattern = UriTemplateMatcher::parse(&found.exposed);
        Ok(Self { pattern, ..found })
    }

    fn new(
        uris: UriMode,
        server: &Arc<ServerView>,
        definition: &Definition,
        member: &str,
    ) -> Option<Self> {
        let exposed = exposed_uri(uris, server, &definition.name);
        Some(Self {
            definition: RenamedDefinition::new(&definition.json, member, &exposed)?,
            exposed: exposed.into(),
            original: definition.name.as_str().into(),
            server: Arc::clone(server),
            digest: definition.digest,
            pattern: None,
        })
    }
}

impl ListItem for ResourceView {
    fn weight(&self) -> usize {
        self.definition.weight()
    }

    fn write(&self, _era: Era, out: &mut String) {
        self.definition.write(out);
    }
}

/// Exposed form of a server's URI.
pub(super) fn exposed_uri<'a>(uris: UriMode, server: &ServerView, uri: &'a str) -> Cow<'a, str> {
    match uris {
        UriMode::Prefixed => uri::prefixed(server.name.id.as_str(), uri),
        UriMode::Through => Cow::Borrowed(uri),
    }
}

impl ResourceIndex {
    /// Resolves an exposed URI to its server and the server's own URI, whether it is listed or not. Existence is
    /// decided by the server.
    pub(super) fn locate(&self, exposed: &str) -> Option<ResourceTarget> {
        if exposed.len() > MAX_URI_LEN {
            return None;
        }
        let found = |server: &Arc<ServerView>, original: &str| ResourceTarget {
            server: Arc::clone(server),
            exposed: exposed.into(),
            original: original.into(),
            original_json: Bytes::from(quote(original)),
        };
        if self.uris == UriMode::Prefixed && !uri::is_web_uri(exposed) {
            let (id, original) = uri::unprefixed(exposed)?;
            let mut servers = self.servers.iter();
            let server = servers.find(|server| server.name.id.as_str() == id)?;
            return Some(found(server, &original));
        }
        if let Some(listed) = find(&self.listed, exposed) {
            return Some(found(&listed.server, &listed.original));
        }
        self.sole_server(exposed)
            .map(|server| found(server, exposed))
    }

    /// Returns the only server that an unlisted URI can belong to.
    fn sole_server(&self, exposed: &str) -> Option<&Arc<ServerView>> {
        let matching = self.templates.iter().filter(|template| {
            let pattern = template.pattern.as_ref();
            pattern.is_some_and(|pattern| pattern.matches(exposed))
        });
        let mut names = BTreeSet::new();
        let mut servers = matching
            .map(|template| &template.server)
            .filter(|server| names.insert(&server.name));
        match (servers.next(), servers.next()) {
            (Some(one), None) => Some(one),
            (Some(_), Some(_)) => None,
            (None, _) => match self.servers.as_slice() {
                [one] => Some(one),
                _ => None,
            },
        }
    }

    /// Resolves an exposed URI or URI template for completion of an argument.
    pub(super) fn completion_target(&self, exposed: &str) -> Option<ResourceTarget> {
        let Some(template) = find(&self.templates, exposed) else {
            return self.locate(exposed);
        };
        Some(ResourceTarget {
            server: Arc::clone(&template.server),
            exposed: template.exposed.clone(),
            original: template.original.clone(),
            original_json: Bytes::from(quote(&template.original)),
        })
    }

    /// Digest of both lists.
    pub(super) fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        for list in [&self.listed, &self.templates] {
            for resource in list {
                bytes.extend_from_slice(resource.exposed.as_bytes());
                bytes.push(0);
                bytes.extend_from_slice(&resource.digest.0);
            }
            bytes.push(1);
        }
        Digest::of_bytes(&bytes)
    }
}

fn find<'a>(sorted: &'a [Arc<ResourceView>], exposed: &str) -> Option<&'a Arc<ResourceView>> {
    let at = sorted.binary_search_by(|resource| (*resource.exposed).cmp(exposed));
    sorted.get(at.ok()?)
}
