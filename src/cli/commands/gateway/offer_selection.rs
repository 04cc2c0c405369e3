//! Converts the selection of a command line into bindings.

use serde_json::{Value, json};

use crate::cli::{
    client::suggestions,
    output::{cell, error::CliError},
};

/// Kinds that are selected by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectableKind {
    /// Tools.
    Tool,
    /// Prompts.
    Prompt,
}

/// Selection of what a gateway offers.
#[derive(Debug)]
pub struct OfferSelection<'a> {
    servers: &'a [String],
    tools: Vec<&'a str>,
    prompts: Option<Vec<&'a str>>,
    resources: Option<Vec<&'a str>>,
}

/// Selects everything of a server.
const ALL: [&str; 1] = ["all"];
/// Selects nothing of any server.
const NONE: [&str; 1] = ["none"];

impl<'a> OfferSelection<'a> {
    /// Creates a selection from the flags of the command line.
    pub fn new(
        servers: &'a [String],
        tools: &'a [String],
        prompts: Option<&'a [String]>,
        resources: Option<&'a [String]>,
    ) -> Self {
        Self {
            servers,
            tools: trimmed(tools),
            prompts: prompts.map(trimmed),
            resources: resources.map(trimmed),
        }
    }

    /// Returns `true` if a tool or prompt is selected by its name.
    pub fn selects_by_name(&self) -> bool {
        let names = |chosen: &[&str]| chosen != ALL && chosen != NONE;
        names(&self.tools) || self.prompts.as_deref().is_some_and(names)
    }

    /// Returns one binding per server, in the given order. A server of which nothing is selected has none.
    pub fn bindings(&self) -> Result<Vec<Value>, CliError> {
        let mut bindings: Vec<Value> = self
            .servers
            .iter()
            .map(|server| json!({ "server": server }))
            .collect();
        self.select(&mut bindings, SelectableKind::Tool, &self.tools)?;
        if let Some(prompts) = &self.prompts {
            self.select(&mut bindings, SelectableKind::Prompt, prompts)?;
        }
        if let Some(resources) = &self.resources {
            self.select_resources(&mut bindings, resources)?;
        }
        bindings.retain(offers_something);
        Ok(bindings)
    }

    fn select(
        &self,
        bindings: &mut [Value],
        what: SelectableKind,
        chosen: &[&str],
    ) -> Result<(), CliError> {
        let (list, all) = what.members();
        if chosen == ALL || chosen == NONE {
            for binding in bindings {
                binding[all] = json!(chosen == ALL);
            }
            return Ok(());
        }
        for binding in &mut *bindings {
            binding[list] = json!([]);
            // Set explicitly: if absent, it follows the selection of the tools.
            binding[all] = json!(false);
        }
        for name in chosen {
            let (server, name) = self.resolve_name(what, name)?;
            let mut of_server = bindings.iter_mut().filter(|it| it["server"] == server);
            if let Some(Value::Array(names)) = of_server.next().map(|it| &mut it[list]) {
                names.push(json!(name));
            }
        }
        Ok(())
    }

    /// Splits `name` into its server and its name on that server.
    fn resolve_name(
        &self,
        what: SelectableKind,
        name: &'a str,
    ) -> Result<(&'a str, &'a str), CliError> {
        let qualified = name
            .split_once('/')
            .filter(|(server, _)| self.servers.iter().any(|s| s == server));
        match (qualified, self.servers) {
            (Some(pair), _) => Ok(pair),
            (None, [only]) => Ok((only, name)),
            (None, _) => {
                let what = what.noun();
                Err(
                    CliError::usage(format!("`{name}` names no server")).with_next_step(format!(
                        "with several servers write {what}s as server/{what}"
                    )),
                )
            }
        }
    }

    fn select_resources(&self, bindings: &mut [Value], chosen: &[&str]) -> Result<(), CliError> {
        let named = chosen != ALL && chosen != NONE;
        let unknown = |id: &&&str| named && !self.servers.iter().any(|server| server == **id);
        if let Some(unknown) = chosen.iter().find(unknown) {
            return Err(
                CliError::usage(format!("--resources {unknown}: no such server is given"))
                    .with_next_step("write `all`, `none`, or servers that are given with --server"),
            );
        }
        for binding in bindings {
            let server = binding["server"].as_str().unwrap_or_default();
            let offered = chosen == ALL || named && chosen.contains(&server);
            binding["resources"] = json!(offered);
        }
        Ok(())
    }
}

impl SelectableKind {
    fn noun(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
        }
    }

    /// Members of a binding: the list of names, and the flag for all.
    fn members(self) -> (&'static str, &'static str) {
        match self {
            Self::Tool => ("tools", "allTools"),
            Self::Prompt => ("prompts", "allPrompts"),
        }
    }
}

/// Returns `true` if a binding offers anything.
pub fn offers_something(binding: &Value) -> bool {
    let any = |list: &str| binding[list].as_array().is_some_and(|it| !it.is_empty());
    let all = |flag: &str| binding[flag] == true;
    any("tools") || any("prompts") || all("allTools") || all("allPrompts") || all("resources")
}

/// Trims the names and drops empty ones, which result from spaces and commas on the command line.
fn trimmed(words: &[String]) -> Vec<&str> {
    let trimmed = words.iter().map(|word| word.trim());
    trimmed.filter(|word| !word.is_empty()).collect()
}

/// Selected name that the probed definitions of its server do not contain.
#[derive(Debug)]
pub struct UnknownName {
    /// Id of the server.
    pub server: String,
    /// Name of the tool or prompt.
    pub name: String,
    /// Warning, with a suggestion.
    pub warning: String,
}

/// Lists selected names that the probed definitions of their server do not contain, with suggestions.
pub fn unknown_names(
    what: SelectableKind,
    bindings: &Value,
    catalogues: &[Value],
) -> Vec<UnknownName> {
    let (list, _) = what.members();
    let mut warnings = Vec::new();
    for binding in bindings.as_array().into_iter().flatten() {
        let server = binding["server"].as_str().unwrap_or_default();
        let catalogue = catalogues
            .iter()
            .find(|catalogue| cell::id(catalogue, "/name") == server);
        let Some(catalogue) = catalogue else { continue };
        let offered = catalogue[list].as_array().into_iter().flatten();
        let names: Vec<_> = offered.filter_map(|it| it["name"].as_str()).collect();
        if names.is_empty() {
            // Usually not probed yet.
            continue;
        }
        let requested = binding[list].as_array().into_iter().flatten();
        let requested = requested.filter_map(Value::as_str);
        warnings.extend(requested.filter(|name| !names.contains(name)).map(|name| {
            let near = suggestions::suggestion(name, names.iter().copied());
            let what = what.noun();
            UnknownName {
                server: server.to_owned(),
                name: name.to_owned(),
                warning: format!("server {server} does not offer a {what} `{name}`{near}"),
            }
        }));
    }
    warnings
}

#[cfg(test)]
mod tests;
