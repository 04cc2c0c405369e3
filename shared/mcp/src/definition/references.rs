//! References of the schemas of a tool that lead nowhere: to another document, which is not fetched, or to a part of the schema
//! that does not exist. A client cannot check arguments against such a schema, or fetches the document itself. Clients that
//! compile the schemas of results when they list tools fail with the whole list, and so with the tools of all other servers.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Map, Value};

use crate::limits::FrameLimits;

/// Members that refer to a schema.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Members that name a place in the schema.
const ANCHORS: [&str; 2] = ["$anchor", "$dynamicAnchor"];

/// Members whose values are data and no schemas.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Starts of the names of documents that validators know without fetching them.
const KNOWN_DOCUMENTS: [&str; 2] = ["https://json-schema.org/", "http://json-schema.org/"];

/// Maximum depth of a schema that is searched; a definition that is kept is not nested deeper.
const MAX_DEPTH: u32 = FrameLimits::DEFINITION.depth;

/// Maximum number of distinct references of a schema that are resolved. Nothing is reported for further ones.
const MAX_REFERENCES: usize = 10_000;

/// Maximum number of resources that a relative reference is looked for in.
const MAX_NAMESAKES: usize = 4;

/// Position of the root among the resources.
const ROOT: usize = 0;

/// References of a schema, and the places that they can lead to. A place belongs to a resource: the root, or a schema with
/// `$id`.
struct SchemaPlaces<'a> {
    resources: Vec<&'a Value>,
    /// Positions of the resources by identifier. Its bytes are reversed, so that identifiers with the same end are neighbors.
    ids: BTreeMap<Vec<u8>, usize>,
    /// Anchors, with the resource that contains them.
    anchors: BTreeSet<(usize, &'a str)>,
    /// References, with the resource that contains them.
    references: BTreeSet<(usize, &'a str)>,
}

/// Returns `true` if a schema in these members of a definition has a reference that leads nowhere.
pub(super) fn is_unresolved(definition: &[u8], members: &[&str]) -> bool {
    // Most definitions have none, and are not parsed.
    if memchr::memmem::find(definition, b"Ref\"").is_none()
        && memchr::memmem::find(definition, b"ref\"").is_none()
    {
        return false;
    }
    members.iter().any(|member| {
        let schema = crate::object::get(definition, member);
        let schema = schema.and_then(|schema| serde_json::from_slice::<Value>(schema).ok());
        schema.is_some_and(|schema| has_unresolved(&schema))
    })
}

/// Returns the definition of a tool without its `outputSchema` if a reference in the schema cannot be resolved. The tool remains:
/// `outputSchema` is optional, and without it clients do not validate results.
pub(super) fn without_unresolved_output(definition: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    const OUTPUT: &str = "outputSchema";
    if !is_unresolved(&definition, &[OUTPUT]) {
        return definition;
    }
    Cow::Owned(crate::object::rebuild(
        &definition,
        |name| name != OUTPUT,
        &[],
    ))
}

fn has_unresolved(schema: &Value) -> bool {
    let places = SchemaPlaces::of(schema);
    let mut references = places.references.iter();
    references.any(|(resource, reference)| !places.resolve(*resource, reference))
}

/// Members of an object that may hold schemas.
fn inner(members: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let holds_schemas = |(name, _): &(&String, &Value)| !DATA.contains(&name.as_str());
    members.iter().filter(holds_schemas).map(|(_, value)| value)
}

impl<'a> SchemaPlaces<'a> {
    fn of(schema: &'a Value) -> Self {
        let mut places = Self {
            resources: vec![schema],
            ids: BTreeMap::new(),
            anchors: BTreeSet::new(),
            references: BTreeSet::new(),
        };
        places.collect(schema, ROOT, 0);
        places
    }

    /// Collects the references and places of `value`, which is a part of the resource at `resource`.
    fn collect(&mut self, value: &'a Value, resource: usize, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Object(members) => {
                let text = |name: &&str| members.get(*name)?.as_str();
                let id = members.get("$id").and_then(Value::as_str);
                let resource = id.map_or(resource, |id| self.identify(value, id, resource, depth));
                let anchors = ANCHORS.iter().filter_map(text);
                self.anchors
                    .extend(anchors.map(|anchor| (resource, anchor)));
                for reference in REFERENCES.iter().filter_map(text) {
                    if self.references.len() < MAX_REFERENCES {
                        self.references.insert((resource, reference));
                    }
                }
                for inner in inner(members) {
                    self.collect(inner, resource, depth + 1);
                }
            }
            Value::Array(all) => {
                for inner in all {
                    self.collect(inner, resource, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Adds the identifier of a schema, and returns the position of the resource that the schema belongs to. A fragment in an
    /// identifier is an anchor; an identifier without a document starts no resource.
    fn identify(&mut self, schema: &'a Value, id: &'a str, within: usize, depth: u32) -> usize {
        let (document, fragment) = id.split_once('#').unwrap_or((id, ""));
        let mut resource = within;
        if !document.is_empty() {
            if depth > 0 {
                resource = self.resources.len();
                self.resources.push(schema);
            }
            self.ids.entry(reversed(document)).or_insert(resource);
        }
        if !fragment.is_empty() {
            self.anchors.insert((resource, fragment));
        }
        resource
    }

    /// Returns `true` if a reference in a resource leads to a place in the schema, or to a document that validators know.
    fn resolve(&self, resource: usize, reference: &str) -> bool {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if KNOWN_DOCUMENTS
            .iter()
            .any(|known| document.starts_with(known))
        {
            return true;
        }
        let named = self.named(resource, document);
        if fragment.is_empty() {
            return !named.is_empty();
        }
        let mut named = named.into_iter();
        if !fragment.starts_with('/') {
            return named.any(|resource| self.anchors.contains(&(resource, fragment)));
        }
        let pointer = percent_decoded(fragment);
        named.any(|resource| {
            let resource = self.resources.get(resource);
            resource.is_some_and(|resource| resource.pointer(&pointer).is_some())
        })
    }

    /// Returns the positions of the resources that a reference in `resource` names by its document. Without a document, they
    /// are that resource and the root: some schemas refer to the root within a schema with an identifier. A relative reference
    /// is compared with the end of an absolute identifier.
    fn named(&self, resource: usize, document: &str) -> Vec<usize> {
        if document.is_empty() {
            return match resource {
                ROOT => vec![ROOT],
                _ => vec![resource, ROOT],
            };
        }
        let mut id = reversed(document);
        if let Some(same) = self.ids.get(&id) {
            return vec![*same];
        }
        id.push(b'/');
        let following = self.ids.range(id.clone()..);
        let namesakes = following.take_while(|(longer, _)| longer.starts_with(&id));
        namesakes
            .map(|(_, resource)| *resource)
            .take(MAX_NAMESAKES)
            .collect()
    }
}

fn reversed(text: &str) -> Vec<u8> {
    text.bytes().rev().collect()
}

/// Decodes the percent signs of a fragment.
fn percent_decoded(fragment: &str) -> String {
    let mut out = Vec::with_capacity(fragment.len());
    let mut bytes = fragment.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        let escaped = rest.get(..2).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match (first, escaped) {
            (b'%', Some(byte)) => {
                out.push(byte);
                bytes = rest.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
