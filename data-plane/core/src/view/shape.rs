//! Modifications that a gateway makes to a tool. The exposed definition is written once, with the view. A tool without
//! modifications stores nothing here.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use toolgate_mcp::{
    ByteEdit, case_folding,
    deceptive_text::{
        self,
        confusable::{caseless_skeleton, look_alike_keys},
    },
    headers::params::HeaderAnnotations,
    object::{self, ObjectMember},
    splice,
    text::quote,
};
use toolgate_model::snapshot::ToolShape;

/// Maximum depth of nested schemas that are modified.
const MAX_SCHEMA_DEPTH: usize = 8;

/// Arguments of one tool that callers may not set.
#[derive(Debug)]
pub(crate) struct ReservedArguments {
    /// Names of fixed and hidden arguments, by their look-alike keys. Some servers read names without regard to case, or in a
    /// normal form, so that a name that looks alike sets the same argument.
    reserved: BTreeMap<Box<str>, Box<str>>,
    /// The same names by their letters and digits alone. Some servers read `tenantId` as `tenant_id`.
    spellings: BTreeMap<Box<str>, Box<str>>,
    /// Arguments of the tool that have such a key too. They are arguments of their own.
    declared: BTreeSet<Box<str>>,
    fixed: Vec<(Box<str>, Box<str>)>,
    /// Arguments that the server expects in headers; reserved ones are not exposed to clients.
    header_annotations: HeaderAnnotations,
}

impl ReservedArguments {
    /// Creates the reserved arguments of a tool, or `None` if there are none. The error says why the tool cannot be
    /// served.
    pub(super) fn new(
        shape: &ToolShape,
        definition: &str,
    ) -> Result<Option<Box<Self>>, &'static str> {
        if shape.fixed.is_empty() && shape.hidden.is_empty() {
            return Ok(None);
        }
        if !shape.fixed.values().all(|json| object::is_value(json)) {
            return Err("an argument of it is set to what is not JSON");
        }
        let input = object::get(definition.as_bytes(), "inputSchema");
        let params = HeaderAnnotations::of_schema(input.unwrap_or(b"{}"));
        let fixed = shape.fixed.iter();
        let spellings: BTreeMap<Box<str>, Box<str>> = reserved_names(shape)
            .filter_map(|name| Some((spelling_key(name)?.into(), name.into())))
            .collect();
        let mut declared = BTreeSet::new();
        declared_names(input.unwrap_or(b"{}"), MAX_SCHEMA_DEPTH, &mut |name| {
            if spelling_key(name).is_some_and(|key| spellings.contains_key(key.as_str())) {
                declared.insert(Box::from(name));
            }
        });
        Ok(Some(Box::new(Self {
            reserved: reserved_names(shape)
                .flat_map(|name| look_alike_keys(name).map(|key| (key.into(), name.into())))
                .collect(),
            spellings,
            declared,
            fixed: fixed
                .map(|(name, json)| (name.as_str().into(), json.trim().into()))
                .collect(),
            header_annotations: params
                .map_err(|_problem| "its x-mcp-header annotations are not valid")?,
        })))
    }

    /// Checks that a caller sets none of the arguments. The error text is sent to the client.
    pub(crate) fn check(&self, given: &[u8]) -> Result<(), Cow<'static, str>> {
        let members = object::members(given);
        // Arguments that cannot be parsed are not passed on.
        if members.len() == 0 && given.iter().any(|byte| !b"{} \t\r\n".contains(byte)) {
            return Err("`arguments` cannot be read".into());
        }
        for member in members {
            let keys = look_alike_keys(&member.name);
            if let Some(reserved) = keys.iter().find_map(|key| self.reserved.get(key.as_str())) {
                return Err(refusal(&member.name, reserved).into());
            }
            if let Some(reserved) = self.other_spelling(&member.name) {
                return Err(refusal(&member.name, reserved).into());
            }
        }
        Ok(())
    }

    /// Returns the reserved argument that this name spells in another convention, unless the tool has an argument of the name.
    fn other_spelling(&self, name: &str) -> Option<&str> {
        let reserved = self.spellings.get(spelling_key(name)?.as_str())?;
        (!self.declared.contains(name)).then_some(reserved)
    }

    /// Returns the caller's arguments with the fixed ones, or `None` if none are fixed.
    pub(crate) fn merged(&self, given: &[u8]) -> Option<Vec<u8>> {
        if self.fixed.is_empty() {
            return None;
        }
        let fixed = self.fixed.iter();
        let fixed: Vec<(&str, &[u8])> = fixed
            .map(|(name, json)| (&**name, json.as_bytes()))
            .collect();
        Some(object::rebuild(given, |_| true, &fixed))
    }

    /// Arguments that the server expects in headers.
    pub(crate) fn params(&self) -> &HeaderAnnotations {
        &self.header_annotations
    }
}

/// Returns the text for a client that sets the argument `reserved` under this name.
fn refusal(name: &str, reserved: &str) -> String {
    let short: String = name.chars().take(128).collect();
    let shown = deceptive_text::escaped(&short);
    if name == reserved {
        return format!("argument `{shown}` cannot be set by callers: leave it out");
    }
    let looks_alike = || {
        let keys = look_alike_keys(reserved);
        look_alike_keys(name).iter().any(|key| keys.contains(key))
    };
    let relation = match case_folding::folded(name) == case_folding::folded(reserved) {
        true => "differs only by case from",
        false if looks_alike() => "looks like",
        false => "is another spelling of",
    };
    format!(
        "argument `{shown}` {relation} `{reserved}`, which cannot be set by callers: leave it out"
    )
}

/// Returns the letters and digits of a name in the form that look-alikes share; `None` if it has none. Names have the same key
/// in all spelling conventions: `tenant_id`, `tenant-id`, `tenantId`, `TenantID`.
fn spelling_key(name: &str) -> Option<String> {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    (!plain.is_empty()).then(|| caseless_skeleton(&plain))
}

/// Passes the names of the arguments that a schema declares, those of its subschemas for the same object included.
fn declared_names(schema: &[u8], depth: usize, pass: &mut impl FnMut(&str)) {
    for member in object::members(schema) {
        match &*member.name {
            "properties" => object::members(member.value).for_each(|it| pass(&it.name)),
            "allOf" | "anyOf" | "oneOf" if depth > 0 => {
                for one in object::elements(member.value) {
                    declared_names(one.of(member.value), depth - 1, pass);
                }
            }
            _ => {}
        }
    }
}

/// Names of the arguments that clients do not see.
fn reserved_names(shape: &ToolShape) -> impl Iterator<Item = &str> {
    let fixed = shape.fixed.keys().map(String::as_str);
    fixed.chain(shape.hidden.iter().map(String::as_str))
}

/// Returns the exposed definition except for the name, or `None` if the input is not a definition.
pub(super) fn exposed_definition(shape: &ToolShape, definition: &str) -> Option<Arc<str>> {
    let json = definition.as_bytes();
    let members: Vec<ObjectMember<'_>> = object::members(json).collect();
    let find = |name: &str| members.iter().find(|member| member.name == name);
    let kept: BTreeSet<String> = reserved_names(shape).flat_map(look_alike_keys).collect();
    let mut edits = Vec::with_capacity(2);
    if let Some(text) = &shape.description {
        let text = quote(text).into_bytes();
        edits.push(match find("description") {
            Some(own) => ByteEdit::replace(own.span, text),
            None => {
                let end = find("name")?.span.end;
                ByteEdit::insert(end, [b",\"description\":", &text[..]].concat())
            }
        });
    }
    if let Some(input) = find("inputSchema")
        && !kept.is_empty()
    {
        edits.push(ByteEdit::replace(
            input.span,
            without_reserved(input.value, &kept, MAX_SCHEMA_DEPTH),
        ));
    }
    let spliced = splice(json, edits).ok()?;
    std::str::from_utf8(&spliced).ok().map(Arc::from)
}

/// Removes reserved arguments, and those whose names look like them, from the properties and required names of a schema.
/// Subschemas that apply to the same object (`allOf`, `anyOf`) are modified as well.
fn without_reserved(schema: &[u8], kept: &BTreeSet<String>, depth: usize) -> Vec<u8> {
    let mut changed: Vec<(Cow<'_, str>, Vec<u8>)> = Vec::new();
    let mut removed = BTreeSet::new();
    for member in object::members(schema) {
        let value = member.value;
        let without = |name: &str| !is_reserved(name, kept);
        let new = match &*member.name {
            "properties" | "dependentRequired" | "dependentSchemas" => {
                object::rebuild(value, without, &[])
            }
            "required" => match items(value, |item| named(item, kept)) {
                remaining if remaining == b"[]" => {
                    removed.insert(member.name);
                    continue;
                }
                remaining => remaining,
            },
            "allOf" | "anyOf" if depth > 0 => {
                each(value, |one| self::without_reserved(one, kept, depth - 1))
            }
            _ => continue,
        };
        changed.push((member.name, new));
    }
    let added: Vec<(&str, &[u8])> = changed
        .iter()
        .map(|(name, value)| (&**name, &value[..]))
        .collect();
    object::rebuild(schema, |name| !removed.contains(name), &added)
}

/// Returns `true` if the string `item` is not among the reserved names.
fn named(item: &[u8], kept: &BTreeSet<String>) -> bool {
    let name = serde_json::from_slice::<String>(item);
    name.map_or(true, |name| !is_reserved(&name, kept))
}

/// Returns `true` if a name is a reserved name, given by its keys, or looks like it.
fn is_reserved(name: &str, keys: &BTreeSet<String>) -> bool {
    look_alike_keys(name).iter().any(|key| keys.contains(key))
}

/// Returns the array without the items that `keep` rejects.
fn items(array: &[u8], keep: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let spans = object::elements(array).into_iter();
    let remaining = spans.map(|span| span.of(array)).filter(|item| keep(item));
    join_items(remaining.map(Cow::Borrowed))
}

/// Modifies each object of an array; other items stay unchanged.
fn each(array: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let spans = object::elements(array).into_iter();
    join_items(
        spans
            .map(|span| span.of(array))
            .map(|item| match item.starts_with(b"{") {
                true => Cow::Owned(change(item)),
                false => Cow::Borrowed(item),
            }),
    )
}

fn join_items<'a>(items: impl Iterator<Item = Cow<'a, [u8]>>) -> Vec<u8> {
    let mut out = vec![b'['];
    for item in items {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&item);
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests;
