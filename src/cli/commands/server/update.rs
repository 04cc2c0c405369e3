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
    \x20 toolgate server update git --credential ''")]
pub struct UpdateServerArgs {
    /// Id of the server.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::servers))]
    pub name: String,
    /// Absolute http or https URL of its endpoint. Replaces several endpoints too.
    #[arg(long)]
    pub url: Option<String>,
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
        let modified = admin.modify(&SERVER, &name, self.dry_run, |server| {
            let before = server["spec"].clone();
            self.change(&mut server["spec"]);
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
                out.notice(format_args!(
                    "  next: `toolgate server probe {}` tries it",
                    self.name
                ));
                Ok(())
            }
        }
    }

    fn change(&self, spec: &mut Value) {
        if !spec.is_object() {
            *spec = json!({});
        }
        if let Some(url) = &self.url {
            spec["url"] = json!(url);
            if let Some(members) = spec.as_object_mut() {
                members.remove("endpoints");
            }
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
    }
}
