//! `resources list` and `resources read`: list the resources of a gateway and show their contents.

use serde_json::{Value, json};
use toolgate_mcp::{definition::Kind, method};

use super::{
    cell,
    fault::{Fault, FaultKind},
    known,
    mcp::Ask,
    out::{Format, Out},
    through::{Target, without_bulk},
};

/// List and read resources.
#[derive(Debug, clap::Subcommand)]
pub enum ResourcesCommand {
    /// List the resources that a gateway offers to the token.
    List(List),
    /// Read a resource.
    Read(Read),
}

/// Lists resources.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate resources list --gateway tools\n\
    \x20 toolgate resources list --gateway tools --templates")]
pub struct List {
    /// Templates of resources, instead of resources.
    #[arg(long)]
    pub templates: bool,
    /// Gateway to use.
    #[command(flatten)]
    pub target: Target,
}

/// Reads a resource.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate resources read --gateway tools git+file:///README.md")]
pub struct Read {
    /// URI of the resource, as the gateway lists it.
    pub uri: String,
    /// Gateway to use.
    #[command(flatten)]
    pub target: Target,
}

impl List {
    /// Runs the command.
    pub async fn run(self, out: &mut Out) -> Result<(), Fault> {
        let (kind, heading, what) = match self.templates {
            true => (Kind::Template, "URI TEMPLATE", "resource templates"),
            false => (Kind::Resource, "URI", "resources"),
        };
        let mut opened = self.target.open().await?;
        let listed = opened.client.list(kind).await;
        opened.close().await;
        let listed = listed?;
        if listed.is_empty() {
            self.target.why_empty(out, what).await;
        }
        let uri = |it: &Value| it[kind.key()].as_str().unwrap_or_default().to_owned();
        match out.format() {
            Format::Json => out.json(&json!(listed)),
            Format::Yaml => out.yaml(&json!(listed)),
            Format::Name => listed.iter().try_for_each(|it| out.line(uri(it))),
            Format::Table | Format::Wide => {
                let row = |it: &Value| {
                    vec![
                        uri(it),
                        cell::text(it, "/name"),
                        cell::text(it, "/mimeType"),
                        cell::brief(it["description"].as_str().unwrap_or_default()),
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

impl Read {
    /// Runs the command.
    pub async fn run(self, out: &mut Out) -> Result<(), Fault> {
        let mut opened = self.target.open().await?;
        let ask = Ask {
            method: method::RESOURCES_READ,
            name: Some(&self.uri),
            members: format!("\"uri\":{}", json!(self.uri)),
            mirrored: Vec::new(),
        };
        let mut result = opened.client.ask(ask, &mut |_| {}).await;
        if let Err(fault) = &mut result
            && fault.kind == FaultKind::NotFound
        {
            let listed = opened.client.list(Kind::Resource).await.unwrap_or_default();
            let uris = listed.iter().filter_map(|it| it["uri"].as_str());
            *fault = known::meant(fault.clone(), &self.uri, uris);
        }
        opened.close().await;
        let result = result.map_err(advised)?;
        match out.format() {
            Format::Json => out.json(&result),
            Format::Yaml => out.yaml(&result),
            Format::Name | Format::Table | Format::Wide => {
                for part in result["contents"].as_array().into_iter().flatten() {
                    match part["text"].as_str() {
                        Some(text) => out.line(text)?,
                        None => out.json(&without_bulk(part))?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// Adds advice to an error. For a failed server it is `doctor`: the list of resources does not contain those of a
/// failed server.
fn advised(fault: Fault) -> Fault {
    if fault.next.is_some() {
        fault
    } else if fault.kind == FaultKind::Failed {
        fault.next("`toolgate doctor` looks closer at the server")
    } else {
        fault.next("`toolgate resources list` with the same --gateway and token shows the resources there are")
    }
}

#[cfg(test)]
mod tests;
