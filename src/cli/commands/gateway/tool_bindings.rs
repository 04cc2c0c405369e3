//! `gateway add-tool` and `gateway remove-tool`: change the tools that a gateway offers by name.

use serde_json::{Value, json};

use super::{
    SelectableKind, add_warnings,
    offer_selection::{offers_something, unknown_names},
};
use crate::cli::{
    client::{
        admin::AdminCommandOptions,
        kind::{CATALOGUE, GATEWAY},
        object_name, suggestions,
    },
    commands::objects::to_document,
    output::{OutputFormat, OutputWriter, cell, error::CliError},
};

/// Changes the tools of a gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate gateway add-tool tools git/search mail/send\n\
    \x20 toolgate gateway add-tool tools git/search --dry-run")]
pub struct AddToolArgs {
    /// Tools to change.
    #[command(flatten)]
    pub change: ToolBindingChange,
}

/// Changes the tools of a gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate gateway remove-tool tools git/search")]
pub struct RemoveToolArgs {
    /// Tools to change.
    #[command(flatten)]
    pub change: ToolBindingChange,
}

/// Tools that are added to a gateway, or removed from it.
#[derive(Debug, clap::Args)]
pub struct ToolBindingChange {
    /// Id of the gateway.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::gateways))]
    pub gateway: String,
    /// Tools as SERVER/TOOL, by the names that their servers use.
    #[arg(required = true, value_name = "SERVER/TOOL", add = crate::cli::commands::completion::by(crate::cli::commands::completion::server_tools))]
    pub tools: Vec<String>,
    /// Fail, and write nothing, if a server was not seen to offer a tool of that name.
    #[arg(long)]
    pub strict: bool,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl AddToolArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.change.run(out, BindingAction::Add).await
    }
}

impl RemoveToolArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.change.run(out, BindingAction::Remove).await
    }
}

/// Change of the bindings of a gateway by tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BindingAction {
    Add,
    Remove,
}

impl ToolBindingChange {
    async fn run(mut self, out: &mut OutputWriter, action: BindingAction) -> Result<(), CliError> {
        object_name::localize(&mut self.admin.connection, [(&GATEWAY, &mut self.gateway)])?;
        let mut admin = self.admin.connect()?;
        let name = GATEWAY.resource_name(admin.organization(), &self.gateway);
        let gateway = admin.get(&GATEWAY, &name).await?;
        let tools: Vec<_> = self
            .tools
            .iter()
            .map(|tool| {
                tool.split_once('/')
                    .ok_or_else(|| no_server(&gateway, tool))
            })
            .collect::<Result<_, _>>()?;
        if action == BindingAction::Add {
            let servers = tools.iter().map(|(server, _)| *server).collect();
            let catalogues = admin.find_each(&CATALOGUE, servers).await;
            let named: Vec<_> = tools
                .iter()
                .map(|(server, tool)| json!({ "server": server, "tools": [tool] }))
                .collect();
            let warnings = unknown_names(SelectableKind::Tool, &json!(named), &catalogues);
            add_warnings(out, &warnings, self.strict)?;
        }
        let modified = admin.modify(&GATEWAY, &name, self.dry_run, |gateway| {
            let bindings = gateway["spec"]["bindings"].as_array();
            let before = bindings.cloned().unwrap_or_default();
            let mut after = before.clone();
            for (server, tool) in &tools {
                match action {
                    BindingAction::Add => add(&mut after, server, tool),
                    BindingAction::Remove => remove(&mut after, &self.gateway, server, tool)?,
                }
            }
            let is_changed = before != after;
            gateway["spec"]["bindings"] = json!(after);
            Ok(is_changed)
        });
        let (written, is_changed) = modified
            .await
            .map_err(|fault| fault.with_flags(&[("spec.bindings", "SERVER/TOOL")]))?;
        match out.format() {
            OutputFormat::Json => out.json(&written),
            OutputFormat::Yaml => out.yaml(&to_document(&GATEWAY, &written)),
            OutputFormat::Name => out.line(&name),
            OutputFormat::Table | OutputFormat::Wide => {
                let suffix = if self.dry_run { " (dry run)" } else { "" };
                let done = if is_changed { "updated" } else { "unchanged" };
                let count = written["status"]["tools"].as_array().map_or(0, Vec::len);
                out.line(format_args!(
                    "gateway {} {done}{suffix}: {}",
                    self.gateway,
                    cell::counted(count, "tool", "tools")
                ))
            }
        }
    }
}

/// Error of a tool without its server. A name that clients see is explained.
fn no_server(gateway: &Value, tool: &str) -> CliError {
    let fault = CliError::usage(format!("`{tool}` names no server"))
        .with_next_step("write tools as SERVER/TOOL, by the names that their servers use");
    let exposed = gateway["status"]["tools"].as_array().into_iter().flatten();
    let mut exposed = exposed.filter(|it| it["name"] == tool);
    match exposed.next() {
        Some(it) => fault.with_note(format!(
            "did you mean `{}/{}`?",
            cell::text(it, "/server"),
            cell::text(it, "/originalName")
        )),
        None => fault,
    }
}

/// Adds a tool to the binding of its server, or a binding.
fn add(bindings: &mut Vec<Value>, server: &str, tool: &str) {
    let Some(binding) = bindings.iter_mut().find(|it| it["server"] == server) else {
        bindings.push(json!({
            "server": server, "tools": [tool], "allPrompts": false, "resources": false,
        }));
        return;
    };
    if binding["allTools"] == true {
        return;
    }
    match binding["tools"].as_array_mut() {
        Some(tools) if tools.iter().any(|it| it == tool) => {}
        Some(tools) => tools.push(json!(tool)),
        None => binding["tools"] = json!([tool]),
    }
}

/// Removes a tool from the binding of its server, and the binding if nothing is left of it.
fn remove(
    bindings: &mut Vec<Value>,
    gateway: &str,
    server: &str,
    tool: &str,
) -> Result<(), CliError> {
    let bound = suggestions::bound_tools(bindings);
    let absent = || {
        let fault = CliError::error(format!(
            "the gateway {gateway} does not bind the tool {server}/{tool}"
        ));
        let name = format!("{server}/{tool}");
        let fault = suggestions::with_suggestion(fault, &name, bound.iter().map(String::as_str));
        let fault = match bound.is_empty() {
            true => fault.with_note("it binds no tool by name"),
            false => fault.with_note(format!("bound by name: {}", bound.join(", "))),
        };
        fault.with_next_step(format!(
            "`toolgate describe gateway {gateway}` shows its bindings"
        ))
    };
    let binding = bindings.iter_mut().find(|it| it["server"] == server);
    let binding = binding.ok_or_else(absent)?;
    if binding["allTools"] == true {
        return Err(CliError::error(format!(
            "the gateway {gateway} offers all tools of {server}, not {tool} by name"
        ))
        .with_next_step(format!(
            "`toolgate edit gateway {gateway}` replaces `allTools` by a list of `tools`"
        )));
    }
    let tools = binding["tools"].as_array_mut().ok_or_else(absent)?;
    let count = tools.len();
    tools.retain(|it| it != tool);
    if tools.len() == count {
        return Err(absent());
    }
    bindings.retain(offers_something);
    Ok(())
}

#[cfg(test)]
mod tests;
