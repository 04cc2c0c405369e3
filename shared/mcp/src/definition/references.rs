//! References of the schemas of a tool that lead nowhere: to another document, which is not fetched, or to a part of the schema
//! that does not exist. A client that checks arguments against such a schema cannot, or fetches the document itself.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Members that refer to a schema.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Members that name a place in the schema.
const ANCHORS: [&str; 2] = ["$anchor", "$dynamicAnchor"];

/// Members whose values are data and no schemas.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Starts of the names of documents that validators know without fetching them.
const KNOWN_DOCUMENTS: [&str; 2] = ["https://json-schema.org/", "http://json-schema.org/"];

/// Maximum depth of a schema that is searched; a definition is not nested deeper.
const MAX_DEPTH: usize = 128;

/// Names that the references of a schema can lead to.
#[derive(Default)]
struct SchemaPlaces<'a> {
    /// Schemas with an identifier of their own, and the root.
    resources: Vec<&'a Value>,
    ids: BTreeSet<&'a str>,
    anchors: BTreeSet<&'a str>,
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

fn has_unresolved(schema: &Value) -> bool {
    let mut places = SchemaPlaces {
        resources: vec![schema],
        ..SchemaPlaces::default()
    };
    places.collect(schema, 0);
    !all_references(schema, 0, &|reference| places.resolve(reference))
}

/// Members of an object that may hold schemas.
fn inner(members: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let holds_schemas = |(name, _): &(&String, &Value)| !DATA.contains(&name.as_str());
    members.iter().filter(holds_schemas).map(|(_, value)| value)
}

/// Returns `true` if each reference in `value` satisfies `holds`.
fn all_references(value: &Value, depth: usize, holds: &impl Fn(&str) -> bool) -> bool {
    if depth > MAX_DEPTH {
        return true;
    }
    match value {
        Value::Object(members) => {
            let mut own = REFERENCES
                .iter()
                .filter_map(|name| members.get(*name)?.as_str());
            own.all(holds) && inner(members).all(|inner| all_references(inner, depth + 1, holds))
        }
        Value::Array(all) => all.iter().all(|it| all_references(it, depth + 1, holds)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

impl<'a> SchemaPlaces<'a> {
    fn collect(&mut self, value: &'a Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Object(members) => {
                if let Some(id) = members.get("$id").and_then(Value::as_str) {
                    self.ids.insert(id.trim_end_matches('#'));
                    self.resources.push(value);
                }
                let anchors = ANCHORS
                    .iter()
                    .filter_map(|name| members.get(*name)?.as_str());
                self.anchors.extend(anchors);
                for inner in inner(members) {
                    self.collect(inner, depth + 1);
                }
            }
            Value::Array(all) => all.iter().for_each(|it| self.collect(it, depth + 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Returns `true` if a reference leads to a place in the schema, or to a document that validators know.
    fn resolve(&self, reference: &str) -> bool {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if KNOWN_DOCUMENTS
            .iter()
            .any(|known| document.starts_with(known))
        {
            return true;
        }
        if !document.is_empty() && !self.ids.iter().any(|id| is_same_document(id, document)) {
            return false;
        }
        if fragment.is_empty() {
            return true;
        }
        if !fragment.starts_with('/') {
            return self.anchors.contains(fragment);
        }
        let pointer = percent_decoded(fragment);
        let mut resources = self.resources.iter();
        resources.any(|resource| resource.pointer(&pointer).is_some())
    }
}

/// Returns `true` if a document has this identifier. A relative reference is compared with the end of an absolute one.
fn is_same_document(id: &str, document: &str) -> bool {
    id == document
        || id
            .strip_suffix(document)
            .is_some_and(|before| before.ends_with('/'))
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
