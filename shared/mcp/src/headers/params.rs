//! `x-mcp-header` annotations: arguments that a modern client repeats as `Mcp-Param-*` headers, so that intermediaries
//! can read them. On requests of clients the headers are checked against the body; on requests to servers they are
//! generated from it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{HeaderMismatch, HeaderProblem, PARAM_PREFIX, ReceivedHeader, encode};

/// Annotated arguments of one tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderAnnotations(Vec<HeaderAnnotation>);

/// Annotated argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderAnnotation {
    /// Name of the header in lower case, with its prefix.
    pub header: String,
    /// Property names from the arguments object down to the value.
    pub path: Vec<String>,
}

/// Reason why an annotation makes its tool unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnnotation {
    /// The annotation is not a string.
    #[error("it must be a string")]
    NotText,
    /// The annotation is not a valid header name.
    #[error("it is not a valid part of a header name")]
    NotToken,
    /// Two arguments use the same header.
    #[error("two arguments share one header")]
    Repeated,
    /// The type of the argument has no single textual form.
    #[error("only strings, integers and booleans can be mirrored")]
    Type,
    /// The argument is not reachable through `properties` alone, so it is not at a fixed location in every call.
    #[error("only arguments reached through `properties` alone can be mirrored")]
    Location,
    /// The schema cannot be parsed.
    #[error("the schema cannot be read")]
    Schema,
}

impl HeaderAnnotations {
    /// Collects the annotations of an input schema given as JSON.
    pub fn of_schema(schema: &[u8]) -> Result<Self, InvalidAnnotation> {
        // Nearly all schemas have no annotations and need no parsing.
        if memchr::memmem::find(schema, b"x-mcp-header").is_none()
            && memchr::memchr(b'\\', schema).is_none()
        {
            return Ok(Self::default());
        }
        let schema = serde_json::from_slice(schema).map_err(|_| InvalidAnnotation::Schema)?;
        let mut walk = SchemaWalker::default();
        walk.schema(&schema, Some(&mut Vec::new()))?;
        Ok(Self(walk.found))
    }

    /// Returns `true` if there are no annotations.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an iterator over the annotations.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderAnnotation> {
        self.0.iter()
    }

    /// Returns the headers and their encoded values for a call with these arguments (a JSON object).
    pub fn mirror<'a>(&'a self, arguments: &[u8]) -> Vec<(&'a str, String)> {
        if self.is_empty() {
            return Vec::new();
        }
        let arguments: Value = serde_json::from_slice(arguments).unwrap_or_default();
        let pair = |annotation: &'a HeaderAnnotation| {
            let text = header_text(annotation.value(&arguments)?)?;
            Some((annotation.header.as_str(), encode(&text).into_owned()))
        };
        self.0.iter().filter_map(pair).collect()
    }

    /// Checks the headers of a call with these arguments (a JSON object). Headers without an annotation are ignored.
    pub fn check<'h>(
        &self,
        arguments: &[u8],
        header: impl Fn(&str) -> ReceivedHeader<'h>,
    ) -> Result<(), HeaderMismatch> {
        if self.is_empty() {
            return Ok(());
        }
        let arguments: Value = serde_json::from_slice(arguments).unwrap_or_default();
        for annotation in &self.0 {
            let name = &annotation.header;
            let body = annotation.value(&arguments).and_then(header_text);
            let mismatch = |problem| HeaderMismatch::new(name.clone(), problem);
            let seen = header(name);
            match body {
                None if seen == ReceivedHeader::Absent => {}
                None => return Err(mismatch(HeaderProblem::Differs)),
                Some(body) => {
                    let stated = seen.decoded().map_err(mismatch)?;
                    if !values_equal(&stated, &body) {
                        return Err(mismatch(HeaderProblem::Differs));
                    }
                }
            }
        }
        Ok(())
    }
}

impl HeaderAnnotation {
    fn value<'v>(&self, arguments: &'v Value) -> Option<&'v Value> {
        self.path
            .iter()
            .try_fold(arguments, |at, name| at.get(name))
    }
}

/// Returns the header value before encoding.
fn header_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns `true` if the values are equal as text or as integers (`01` equals `1`).
fn values_equal(header: &str, body: &str) -> bool {
    let number = |text: &str| text.parse::<i128>().ok();
    header == body || number(header).is_some_and(|n| number(body) == Some(n))
}

#[derive(Default)]
struct SchemaWalker {
    found: Vec<HeaderAnnotation>,
    headers: BTreeSet<String>,
}

impl SchemaWalker {
    /// Walks a schema. `path` is `None` for locations that need not be present in a call, such as below `items` or
    /// `anyOf`.
    fn schema(
        &mut self,
        schema: &Value,
        mut path: Option<&mut Vec<String>>,
    ) -> Result<(), InvalidAnnotation> {
        let Value::Object(members) = schema else {
            return Ok(());
        };
        if let Some(header) = members.get("x-mcp-header") {
            let path = path.as_deref().ok_or(InvalidAnnotation::Location)?;
            self.annotation(header, members, path)?;
        }
        for (keyword, value) in members {
            match (keyword.as_str(), value) {
                ("properties", Value::Object(properties)) => {
                    for (name, property) in properties {
                        if let Some(path) = path.as_deref_mut() {
                            path.push(name.clone());
                            self.schema(property, Some(path))?;
                            path.pop();
                        } else {
                            self.schema(property, None)?;
                        }
                    }
                }
                // These keywords hold values, not schemas.
                ("enum" | "const" | "default" | "examples" | "x-mcp-header", _) => {}
                (
                    "$defs" | "definitions" | "patternProperties" | "dependentSchemas",
                    Value::Object(map),
                ) => {
                    for schema in map.values() {
                        self.schema(schema, None)?;
                    }
                }
                (_, Value::Array(items)) => {
                    for item in items {
                        self.schema(item, None)?;
                    }
                }
                (_, Value::Object(_)) => self.schema(value, None)?,
                (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {}
            }
        }
        Ok(())
    }

    fn annotation(
        &mut self,
        header: &Value,
        schema: &Map<String, Value>,
        path: &[String],
    ) -> Result<(), InvalidAnnotation> {
        let Value::String(header) = header else {
            return Err(InvalidAnnotation::NotText);
        };
        if path.is_empty() {
            return Err(InvalidAnnotation::Location);
        }
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if header.is_empty() || !header.bytes().all(token) {
            return Err(InvalidAnnotation::NotToken);
        }
        let kind = schema.get("type").and_then(Value::as_str);
        if !matches!(kind, Some("string" | "integer" | "boolean")) {
            return Err(InvalidAnnotation::Type);
        }
        let header = format!("{PARAM_PREFIX}{}", header.to_ascii_lowercase());
        if !self.headers.insert(header.clone()) {
            return Err(InvalidAnnotation::Repeated);
        }
        let path = path.to_vec();
        self.found.push(HeaderAnnotation { header, path });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
