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
        object_name,
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
    #[arg(required = true, value_name = "SERVER/TOOL")]
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
        self.change.run(out, add).await
    }
}

impl RemoveToolArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.change.run(out, remove).await
    }
}

/// Change of the bindings of a gateway by one tool of a server.
type BindingChange = fn(&mut Vec<Value>, &str, &str) -> Result<(), CliError>;

impl ToolBindingChange {
    async fn run(mut self, out: &mut OutputWriter, change: BindingChange) -> Result<(), CliError> {
        object_name::localize(&mut self.admin.connection, [(&GATEWAY, &mut self.gateway)])?;
        let mut tools = Vec::new();
        for tool in &self.tools {
            tools.push(tool.split_once('/').ok_or_else(|| {
                CliError::usage(format!("`{tool}` names no server"))
                    .with_next_step("write tools as SERVER/TOOL")
            })?);
        }
        let mut admin = self.admin.connect()?;
        let name = GATEWAY.resource_name(admin.organization(), &self.gateway);
        let mut gateway = admin.get(&GATEWAY, &name).await?;
        let bindings = gateway["spec"]["bindings"].as_array();
        let mut bindings = bindings.cloned().unwrap_or_default();
        for (server, tool) in &tools {
            change(&mut bindings, server, tool)?;
        }
        let servers = tools.iter().map(|(server, _)| *server).collect();
        let catalogues = admin.find_each(&CATALOGUE, servers).await;
        let named: Vec<_> = tools
            .iter()
            .map(|(server, tool)| json!({ "server": server, "tools": [tool] }))
            .collect();
        let warnings = unknown_names(SelectableKind::Tool, &json!(named), &catalogues);
        add_warnings(out, &warnings, self.strict)?;
        gateway["spec"]["bindings"] = json!(bindings);
        let written = admin.update(&GATEWAY, gateway, self.dry_run).await?;
        match out.format() {
            OutputFormat::Json => out.json(&written),
            OutputFormat::Yaml => out.yaml(&to_document(&GATEWAY, &written)),
            OutputFormat::Name => out.line(&name),
            OutputFormat::Table | OutputFormat::Wide => {
                let suffix = if self.dry_run { " (dry run)" } else { "" };
                let count = written["status"]["tools"].as_array().map_or(0, Vec::len);
                out.line(format_args!(
                    "gateway {} updated{suffix}: {}",
                    self.gateway,
                    cell::counted(count, "tool", "tools")
                ))
            }
        }
    }
}

/// Adds a tool to the binding of its server, or a binding.
fn add(bindings: &mut Vec<Value>, server: &str, tool: &str) -> Result<(), CliError> {
    let Some(binding) = bindings.iter_mut().find(|it| it["server"] == server) else {
        bindings.push(json!({
            "server": server, "tools": [tool], "allPrompts": false, "resources": false,
        }));
        return Ok(());
    };
    if binding["allTools"] == true {
        return Ok(());
    }
    match binding["tools"].as_array_mut() {
        Some(tools) if tools.iter().any(|it| it == tool) => {}
        Some(tools) => tools.push(json!(tool)),
        None => binding["tools"] = json!([tool]),
    }
    Ok(())
}

/// Removes a tool from the binding of its server, and the binding if nothing is left of it.
fn remove(bindings: &mut Vec<Value>, server: &str, tool: &str) -> Result<(), CliError> {
    let absent = || {
        CliError::error(format!(
            "the gateway does not bind the tool {server}/{tool}"
        ))
        .with_next_step("`toolgate describe gateway` shows its bindings")
    };
    let binding = bindings.iter_mut().find(|it| it["server"] == server);
    let binding = binding.ok_or_else(absent)?;
    if binding["allTools"] == true {
        return Err(CliError::error(format!(
            "the gateway offers all tools of {server}, not {tool} by name"
        ))
        .with_next_step("`toolgate edit gateway` replaces `allTools` by a list of `tools`"));
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
