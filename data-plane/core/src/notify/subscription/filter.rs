//! Filter of a `subscriptions/listen` request.

use std::{borrow::Cow, collections::BTreeSet};

use toolgate_mcp::{object, text::quote};

use crate::{client_state::StatePurpose, notify::view_change::ListChanges};

/// Maximum number of resources in a filter.
pub const MAX_URIS: usize = 100;

/// Maximum number of tasks in a filter.
pub const MAX_TASKS: usize = 100;

/// Maximum length of a URI, in bytes.
pub const URI_LIMIT: usize = 2048;

/// Changes that a client subscribes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    /// Changed lists.
    pub list_changes: ListChanges,
    /// Exposed URIs of updated resources.
    pub uris: BTreeSet<Box<str>>,
    /// Exposed ids of tasks.
    pub tasks: BTreeSet<Box<str>>,
}

impl SubscriptionFilter {
    /// Reads the JSON object of a request. Unknown members are ignored and so not acknowledged. The error text is sent
    /// to the client.
    pub fn read(json: &[u8]) -> Result<Self, &'static str> {
        let mut filter = Self::default();
        for member in object::members(json) {
            match &*member.name {
                "toolsListChanged" => filter.list_changes.tools = flag(member.value)?,
                "promptsListChanged" => filter.list_changes.prompts = flag(member.value)?,
                "resourcesListChanged" => filter.list_changes.resources = flag(member.value)?,
                "resourceSubscriptions" => filter.uris = uris(member.value)?,
                "taskIds" => filter.tasks = tasks(member.value)?,
                _ => {}
            }
        }
        Ok(filter)
    }

    /// Encodes the filter as a JSON object.
    pub fn to_json(&self) -> String {
        let kinds = [
            (self.list_changes.tools, "toolsListChanged"),
            (self.list_changes.prompts, "promptsListChanged"),
            (self.list_changes.resources, "resourcesListChanged"),
        ];
        let enabled = kinds.into_iter().filter(|(enabled, _)| *enabled);
        let mut members: Vec<String> = enabled
            .map(|(_, name)| format!("\"{name}\":true"))
            .collect();
        let named = [
            ("resourceSubscriptions", &self.uris),
            ("taskIds", &self.tasks),
        ];
        for (name, all) in named.into_iter().filter(|(_, all)| !all.is_empty()) {
            let all: Vec<String> = all.iter().map(|one| quote(one)).collect();
            members.push(format!("\"{name}\":[{}]", all.join(",")));
        }
        format!("{{{}}}", members.join(","))
    }

    /// Returns the requested resource that equals `uri` or has it as a part.
    pub fn covering(&self, uri: &str) -> Option<&str> {
        let mut subscribed = self.uris.iter().map(|uri| &**uri);
        subscribed.find(|whole| relative_part(whole, uri).is_some())
    }
}

/// Returns the rest of `uri` after `whole`, if `uri` equals `whole` or is a part of it: the rest begins with a
/// segment, a query or a fragment.
pub fn relative_part<'a>(whole: &str, uri: &'a str) -> Option<&'a str> {
    let rest = uri.strip_prefix(whole)?;
    let within = rest.is_empty() || whole.ends_with('/') || rest.starts_with(['/', '?', '#']);
    within.then_some(rest)
}

fn flag(json: &[u8]) -> Result<bool, &'static str> {
    match json {
        b"true" => Ok(true),
        b"false" | b"null" => Ok(false),
        _ => Err("a member of `notifications` that ends in `ListChanged` must be a boolean"),
    }
}

fn uris(json: &[u8]) -> Result<BTreeSet<Box<str>>, &'static str> {
    let uris: Vec<Cow<'_, str>> = serde_json::from_slice(json)
        .map_err(|_shape| "`resourceSubscriptions` must be an array of URIs")?;
    if uris.len() > MAX_URIS {
        return Err("`resourceSubscriptions` names more than 100 resources");
    }
    if uris
        .iter()
        .any(|uri| uri.is_empty() || uri.len() > URI_LIMIT)
    {
        return Err("a URI in `resourceSubscriptions` is empty or longer than 2048 bytes");
    }
    Ok(uris.into_iter().map(|uri| Box::from(&*uri)).collect())
}

fn tasks(json: &[u8]) -> Result<BTreeSet<Box<str>>, &'static str> {
    let ids: Vec<Cow<'_, str>> =
        serde_json::from_slice(json).map_err(|_shape| "`taskIds` must be an array of ids")?;
    if ids.len() > MAX_TASKS {
        return Err("`taskIds` names more than 100 tasks");
    }
    // Longer than any id of the gateway, therefore unknown.
    let ids = ids
        .iter()
        .filter(|id| id.len() <= StatePurpose::Task.limit());
    Ok(ids.map(|id| Box::from(&**id)).collect())
}

#[cfg(test)]
mod tests;
