//! `server update`: changes single fields of a server.

use serde_json::{Value, json};
use toolgate_model::{MaxAnswer, ProtocolVersion};

use super::{EraPolicyArg, FLAGS, protocol_version};
use crate::cli::{
    client::{admin::AdminCommandOptions, kind::SERVER, object_name},
    commands::objects::to_document,
    output::{OutputFormat, OutputWriter, error::CliError},
};

/// Changes a server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate server update git --url https://git.example.com/mcp\n\
    \x20 toolgate server update git --credential git --max-answer 16\n\
    \x20 toolgate server update git --url https://git.example.com/mcp --replace-endpoints\n\
    \x20 toolgate server update git --credential ''")]
pub struct UpdateServerArgs {
    /// Id of the server.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::servers))]
    pub name: String,
    /// Absolute http or https URL of its endpoint. A server with several endpoints is refused, unless they are replaced.
    #[arg(long)]
    pub url: Option<String>,
    /// Let --url replace all endpoints of the server, with their regions.
    #[arg(long, requires = "url")]
    pub replace_endpoints: bool,
    /// Credential to present to it; '' for none.
    #[arg(long, add = crate::cli::commands::completion::by(crate::cli::commands::completion::credentials))]
    pub credential: Option<String>,
    /// Protocol era to speak.
    #[arg(long, value_enum)]
    pub era: Option<EraPolicyArg>,
    /// Protocol version to speak, for a server that refuses others.
    #[arg(long, value_name = "VERSION", value_parser = protocol_version)]
    pub protocol_version: Option<ProtocolVersion>,
    /// Maximum size of one message that it may answer with, in MiB.
    #[arg(long, value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MaxAnswer::MAX_MEBIBYTES)))]
    pub max_answer: Option<u32>,
    /// For people.
    #[arg(long)]
    pub description: Option<String>,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl UpdateServerArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        object_name::localize(&mut self.admin.connection, [(&SERVER, &mut self.name)])?;
        let mut admin = self.admin.connect()?;
        let name = SERVER.resource_name(admin.organization(), &self.name);
        let mut removed = Vec::new();
        let modified = admin.modify(&SERVER, &name, self.dry_run, |server| {
            let before = server["spec"].clone();
            self.change(&mut server["spec"])?;
            removed = removed_endpoints(&before, &server["spec"]);
            Ok(before != server["spec"])
        });
        let modified = modified.await;
        let (written, is_changed) = modified.map_err(|fault| fault.with_flags(&FLAGS))?;
        if !is_changed {
            return Err(CliError::usage(format!(
                "nothing to change in the server {}",
                self.name
            ))
            .with_next_step(format!(
                "`toolgate server update --help` lists the flags; `toolgate edit server {}` changes everything",
                self.name
            )));
        }
        match out.format() {
            OutputFormat::Json => out.json(&written),
            OutputFormat::Yaml => out.yaml(&to_document(&SERVER, &written)),
            OutputFormat::Name => out.line(&name),
            OutputFormat::Table | OutputFormat::Wide => {
                let suffix = if self.dry_run { " (dry run)" } else { "" };
                out.line(format_args!("server {} updated{suffix}", self.name))?;
                for endpoint in removed {
                    out.notice(format_args!("  removed endpoint: {endpoint}"));
                }
                out.notice(format_args!(
                    "  next: `toolgate server probe {}` tries it",
                    self.name
                ));
                Ok(())
            }
        }
    }

    fn change(&self, spec: &mut Value) -> Result<(), CliError> {
        if !spec.is_object() {
            *spec = json!({});
        }
        if let Some(url) = &self.url {
            self.set_url(spec, url)?;
        }
        let version = self.protocol_version.map(ProtocolVersion::as_str);
        for (field, value) in [
            ("credential", self.credential.as_ref().map(|it| json!(it))),
            ("era", self.era.map(|it| json!(it.as_proto()))),
            ("protocolVersion", version.map(|it| json!(it))),
            ("maxAnswerMib", self.max_answer.map(|it| json!(it))),
            ("description", self.description.as_ref().map(|it| json!(it))),
        ] {
            if let Some(value) = value {
                spec[field] = value;
            }
        }
        Ok(())
    }

    /// Sets the URL of a server. Its only endpoint keeps its region; of several endpoints none is dropped without the flag.
    fn set_url(&self, spec: &mut Value, url: &str) -> Result<(), CliError> {
        let endpoints = spec["endpoints"].as_array_mut();
        match endpoints.map(Vec::as_mut_slice) {
            Some([only]) if !self.replace_endpoints => only["url"] = json!(url),
            Some([first, others @ ..]) if !self.replace_endpoints => {
                let all = std::iter::once(&*first).chain(&*others);
                let all: Vec<_> = all.map(described_endpoint).collect();
                let name = &self.name;
                return Err(CliError::usage(format!(
                    "the server {name} has {} endpoints, all of which --url would replace: {}",
                    all.len(),
                    all.join(", ")
                ))
                .with_next_step(format!(
                    "`toolgate edit server {name}` changes one of them; `toolgate server update {name} --url {url} \
                     --replace-endpoints` replaces all of them"
                )));
            }
            Some(_) | None => {
                spec["url"] = json!(url);
                if let Some(members) = spec.as_object_mut() {
                    members.remove("endpoints");
                }
            }
        }
        Ok(())
    }
}

/// Returns the listed endpoints of the former fields that one URL has replaced.
fn removed_endpoints(before: &Value, after: &Value) -> Vec<String> {
    let former = before["endpoints"].as_array().into_iter().flatten();
    let kept = after["endpoints"].as_array();
    if kept.is_some_and(|kept| !kept.is_empty()) {
        return Vec::new();
    }
    let former = former.filter(|it| it["url"] != after["url"]);
    former.map(described_endpoint).collect()
}

/// Describes an endpoint by its URL and its region.
fn described_endpoint(endpoint: &Value) -> String {
    let url = endpoint["url"].as_str().unwrap_or_default();
    match endpoint["region"].as_str() {
        None | Some("") => url.to_owned(),
        Some(region) => format!("{url} (region {region})"),
    }
}

#[cfg(test)]
mod tests;
