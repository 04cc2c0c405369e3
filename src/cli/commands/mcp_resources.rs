//! `resources list` and `resources read`: list the resources of a gateway and show their contents.

use serde_json::{Value, json};
use toolgate_mcp::{definition::DefinitionKind, method};

use crate::cli::{
    client::{
        gateway_access::{GatewayTarget, without_binary},
        mcp_client::McpRequest,
        suggestions,
    },
    output::{
        OutputFormat, OutputWriter, cell,
        error::{CliError, CliErrorKind},
    },
};

/// List and read resources.
#[derive(Debug, clap::Subcommand)]
pub enum ResourcesCommand {
    /// List the resources that a gateway offers to the token.
    List(ListResourcesArgs),
    /// Read a resource.
    Read(ReadResourceArgs),
}

/// Lists resources.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate resources list --gateway tools\n\
    \x20 toolgate resources list --gateway tools --templates")]
pub struct ListResourcesArgs {
    /// Templates of resources, instead of resources.
    #[arg(long)]
    pub templates: bool,
    /// Gateway to use.
    #[command(flatten)]
    pub target: GatewayTarget,
}

/// Reads a resource.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate resources read --gateway tools git+file:///README.md")]
pub struct ReadResourceArgs {
    /// URI of the resource, as the gateway lists it.
    pub uri: String,
    /// Gateway to use.
    #[command(flatten)]
    pub target: GatewayTarget,
}

impl ListResourcesArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.target.localize()?;
        let (kind, heading, what) = match self.templates {
            true => (
                DefinitionKind::Template,
                "URI TEMPLATE",
                "resource templates",
            ),
            false => (DefinitionKind::Resource, "URI", "resources"),
        };
        let listed = self
            .target
            .with_client(async |client| client.list(kind).await);
        let listed = listed.await?;
        if listed.is_empty() {
            self.target.explain_empty(out, what).await;
        }
        let uri = |it: &Value| it[kind.key()].as_str().unwrap_or_default().to_owned();
        match out.format() {
            OutputFormat::Json => out.json(&json!(listed)),
            OutputFormat::Yaml => out.yaml(&json!(listed)),
            OutputFormat::Name => listed.iter().try_for_each(|it| out.line(uri(it))),
            OutputFormat::Table | OutputFormat::Wide => {
                let row = |it: &Value| {
                    vec![
                        uri(it),
                        cell::text(it, "/name"),
                        cell::text(it, "/mimeType"),
                        cell::summary_line(it["description"].as_str().unwrap_or_default()),
                    ]
                };
                out.table(
                    &[heading, "NAME", "TYPE", "DESCRIPTION"],
                    listed.iter().map(row).collect(),
                )
            }
        }
    }
}

impl ReadResourceArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.target.localize()?;
        let ask = McpRequest {
            method: method::RESOURCES_READ,
            name: Some(&self.uri),
            params_members: format!("\"uri\":{}", json!(self.uri)),
            mirrored_headers: Vec::new(),
        };
        let read = self.target.with_client(async |client| {
            let answer = client.send(ask, &mut |_| {}).await;
            let Err(fault) = answer else {
                return answer;
            };
            if fault.kind != CliErrorKind::NotFound {
                return Err(fault);
            }
            let listed = client.list(DefinitionKind::Resource).await;
            let listed = listed.unwrap_or_default();
            let uris = listed.iter().filter_map(|it| it["uri"].as_str());
            Err(suggestions::with_suggestion(fault, &self.uri, uris))
        });
        let result = match read.await {
            Ok(result) => result,
            Err(fault) => {
                let fault = with_advice(fault);
                return Err(self.target.explain_limit(fault, None).await);
            }
        };
        match out.format() {
            OutputFormat::Json => out.json(&result),
            OutputFormat::Yaml => out.yaml(&result),
            OutputFormat::Name | OutputFormat::Table | OutputFormat::Wide => {
                for part in result["contents"].as_array().into_iter().flatten() {
                    match part["text"].as_str() {
                        Some(text) => out.line(text)?,
                        None => out.json(&without_binary(part))?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// Adds advice to an error. For a failed server it is `doctor`: the list of resources does not contain those of a
/// failed server.
fn with_advice(fault: CliError) -> CliError {
    if fault.next_step.is_some() {
        fault
    } else if fault.kind == CliErrorKind::CallFailed {
        fault.with_next_step("`toolgate doctor` looks closer at the server")
    } else if fault.kind == CliErrorKind::NotFound {
        fault.with_next_step("`toolgate resources list` with the same --gateway and token shows the resources there are")
    } else {
        fault
    }
}

#[cfg(test)]
mod tests;
