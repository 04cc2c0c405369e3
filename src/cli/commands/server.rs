//! `server add`: adds a server and, if needed, its credential, then probes it. `server probe`: probes a server
//! again.

mod update;

use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use toolgate_model::{FieldPlace, MaxAnswer, OriginPattern, ProtocolVersion};

pub use self::update::UpdateServerArgs;
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{CATALOGUE, CREDENTIAL, SERVER},
        object_name,
    },
    commands::credential::{
        fields::{self, GivenField, ValuedField},
        users_of,
    },
    output::{
        OutputFormat, OutputWriter,
        error::{CliError, CliErrorKind},
        probe_advice,
    },
};

/// Work with servers.
#[derive(Debug, clap::Subcommand)]
pub enum ServerCommand {
    /// Adds an MCP server that already runs somewhere, and probes it.
    Add(AddServerArgs),
    /// Ask a server now what it offers, and show its answer.
    Probe(ProbeServerArgs),
    /// Change single fields of a server.
    Update(UpdateServerArgs),
}

/// Probes a server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate server probe git")]
pub struct ProbeServerArgs {
    /// Id of the server.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::servers))]
    pub name: String,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Adds a server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate server add git --url https://git.example.com/mcp --header 'Authorization=Bearer …'\n\
    \x20 toolgate server add mail --url https://mail.example.com/mcp --header X-Api-Key=-\n\
    \x20 toolgate server add maps --url https://maps.example.com/mcp --query api_key\n\
    \x20 toolgate server add old --url https://old.example.com/mcp --era legacy --no-wait")]
pub struct AddServerArgs {
    /// Id of the server; with `always` prefixes its tools are called NAME__tool.
    pub name: String,
    /// Absolute http or https URL of its endpoint: Streamable HTTP, or HTTP+SSE as of 2024-11-05.
    #[arg(long)]
    pub url: String,
    /// Header to present to it, e.g. `Authorization=Bearer …`; repeat for several. It is sealed into a credential of the
    /// server's name, which is bound to the origin of the URL. With `NAME=-` the value is read from a prompt, or from
    /// standard input.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<String>,
    /// Query parameter to present to it, for a server that wants a key in its URL; repeat for several. The value is read
    /// from a prompt, from standard input or from FILE. Several values on standard input are one line each, those of the
    /// headers first.
    #[arg(long = "query", value_name = "NAME[=@FILE]")]
    pub query: Vec<String>,
    /// Protocol era to speak.
    #[arg(long, value_enum, default_value_t)]
    pub era: EraPolicyArg,
    /// Protocol version to speak, for a server that refuses others; a version is negotiated otherwise.
    #[arg(long, value_name = "VERSION", value_parser = protocol_version)]
    pub protocol_version: Option<ProtocolVersion>,
    /// Maximum size of one message that it may answer with, in MiB.
    #[arg(long, default_value_t = MaxAnswer::default().mebibytes(), value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MaxAnswer::MAX_MEBIBYTES)))]
    pub max_answer: u32,
    /// For people.
    #[arg(long, default_value = "")]
    pub description: String,
    /// Do not wait for the first probe.
    #[arg(long)]
    pub no_wait: bool,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Protocol eras at the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum EraPolicyArg {
    /// Find out.
    #[default]
    Auto,
    /// Sessions: 2025-11-25 and before.
    Legacy,
    /// Stateless: 2026-07-28.
    Modern,
}

fn protocol_version(text: &str) -> Result<ProtocolVersion, String> {
    text.parse()
        .map_err(|unknown| format!("`{text}` {unknown}"))
}

impl EraPolicyArg {
    fn as_proto(self) -> &'static str {
        match self {
            Self::Auto => "ERA_POLICY_UNSPECIFIED",
            Self::Legacy => "ERA_POLICY_LEGACY",
            Self::Modern => "ERA_POLICY_MODERN",
        }
    }
}

impl ProbeServerArgs {
    /// Runs the command. A problem is an error, so that scripts can wait for a server.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        object_name::localize(&mut self.admin.connection, [(&SERVER, &mut self.name)])?;
        let mut admin = self.admin.connect()?;
        let name = SERVER.resource_name(admin.organization(), &self.name);
        let server = admin.get(&SERVER, &name).await?;
        let catalogue = refresh_definitions(&mut admin, out, &self.name).await?;
        match out.format() {
            OutputFormat::Json => out.json(&catalogue)?,
            OutputFormat::Yaml => out.yaml(&catalogue)?,
            OutputFormat::Name => out.line(CATALOGUE.name_of(&catalogue))?,
            OutputFormat::Table | OutputFormat::Wide if problem_of(&catalogue).is_none() => {
                out.line(definitions_summary(&catalogue))?;
            }
            OutputFormat::Table | OutputFormat::Wide => {}
        }
        for omission in omissions(&catalogue) {
            out.notice(format_args!("  warning: {omission}"));
        }
        let Some(problem) = problem_of(&catalogue) else {
            return Ok(());
        };
        let url = crate::cli::output::cell::text(&server, "/spec/url");
        let credential = server["spec"]["credential"].as_str().unwrap_or_default();
        let since =
            crate::cli::output::cell::age(&catalogue, "/problemSinceTime", crate::cli::now());
        let before = match catalogue["era"].as_str() {
            Some("") | None => "it has never been seen, so nothing of it is offered",
            Some(_) => "what was seen of it stays offered",
        };
        Err(CliError::error(format!("the probe failed: {problem}"))
            .with_note(format!("for {since}; {before}"))
            .with_next_step(probe_advice::advice_for_probe(
                problem, &self.name, &url, credential,
            )))
    }
}

impl AddServerArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let values = fields::read_values(self.given_fields()?, &self.name)?;
        let credential = match values.is_empty() || self.dry_run {
            true => "",
            false => self.name.as_str(),
        };
        let mut admin = self.admin.connect()?;
        let new_credential = match values.is_empty() {
            true => false,
            false => self.add_credential(&mut admin, out, values).await?,
        };
        let server = json!({ "spec": {
            "url": self.url,
            "credential": credential,
            "era": self.era.as_proto(),
            "protocolVersion": self.protocol_version.map(ProtocolVersion::as_str).unwrap_or_default(),
            "description": self.description,
            "maxAnswerMib": self.max_answer,
        } });
        let added = match admin
            .create(&SERVER, &self.name, server, self.dry_run)
            .await
        {
            Ok(added) => added,
            Err(fault) => {
                if new_credential && !self.dry_run {
                    // The credential was created for this server; if it remained, a second attempt would fail.
                    let name = CREDENTIAL.resource_name(admin.organization(), &self.name);
                    let _left_behind = admin.delete(&CREDENTIAL, &name, false).await;
                }
                return Err(self.explain_conflict(&mut admin, fault).await);
            }
        };
        let catalogue = match self.dry_run || self.no_wait {
            true => None,
            false => Some(refresh_definitions(&mut admin, out, &self.name).await),
        };
        self.report(out, added, catalogue)
    }

    /// Returns the headers and query parameters of the credential.
    fn given_fields(&self) -> Result<Vec<GivenField>, CliError> {
        let headers = self.headers.iter();
        let headers = headers.map(|given| GivenField::parse_pair(given));
        let query = self.query.iter();
        let query = query.map(|given| GivenField::parse(FieldPlace::Query, given));
        headers.chain(query).collect()
    }

    /// Creates the credential of the server. A credential of its name that no server presents, such as that of a deleted
    /// server, takes the values instead. Returns `true` if the credential is new.
    async fn add_credential(
        &self,
        admin: &mut AdminClient,
        out: &mut OutputWriter,
        values: Vec<ValuedField>,
    ) -> Result<bool, CliError> {
        let origin = single_origin(&self.url)?;
        let mut new = json!({ "spec": {
            "hosts": [origin.to_string()],
            "description": format!("Presented to the server {}", self.name),
        } });
        fields::write_fields(&mut new, values, true);
        let name = CREDENTIAL.resource_name(admin.organization(), &self.name);
        let unused = match admin.find(&CREDENTIAL, &name).await? {
            Some(existing) if users_of(admin, &self.name).await?.is_empty() => Some(existing),
            Some(_) | None => None,
        };
        let Some(mut credential) = unused else {
            let created = admin.create(&CREDENTIAL, &self.name, new, self.dry_run);
            return match created.await {
                Ok(_) => Ok(true),
                Err(fault) => Err(self.explain_conflict(admin, fault).await),
            };
        };
        credential["spec"] = new["spec"].take();
        admin.update(&CREDENTIAL, credential, self.dry_run).await?;
        out.notice(format_args!(
            "the credential {0}, which no server presented, takes what is given; `toolgate describe credential {0}` shows it",
            self.name
        ));
        Ok(false)
    }

    /// Adds advice on deleting the conflicting objects, if the name is taken. Only existing objects are named.
    async fn explain_conflict(&self, admin: &mut AdminClient, fault: CliError) -> CliError {
        if fault.kind != CliErrorKind::Conflict {
            return fault;
        }
        let mut steps = Vec::new();
        for kind in [&SERVER, &CREDENTIAL] {
            let name = kind.resource_name(admin.organization(), &self.name);
            if let Ok(Some(_)) = admin.find(kind, &name).await {
                steps.push(format!("`toolgate delete {} {}`", kind.field(), self.name));
            }
        }
        let Some(first) = steps.first() else {
            return fault;
        };
        let look = first.replace("delete", "describe");
        let makes = if steps.len() == 1 { "makes" } else { "make" };
        fault.with_next_step(format!(
            "{look} shows what is there; {} {makes} room",
            steps.join(" and ")
        ))
    }

    fn report(
        &self,
        out: &mut OutputWriter,
        added: Value,
        probe: Option<Result<Value, CliError>>,
    ) -> Result<(), CliError> {
        match out.format() {
            OutputFormat::Json => out.json(&added)?,
            OutputFormat::Yaml => {
                out.yaml(&crate::cli::commands::objects::to_document(&SERVER, &added))?
            }
            OutputFormat::Name => out.line(SERVER.name_of(&added))?,
            OutputFormat::Table | OutputFormat::Wide => {
                let suffix = if self.dry_run { " (dry run)" } else { "" };
                out.line(format_args!("server {} added{suffix}", self.name))?;
            }
        }
        match probe {
            None => Ok(()),
            Some(Ok(catalogue)) => {
                let has_credential = !self.headers.is_empty() || !self.query.is_empty();
                for line in summary(&self.name, &self.url, has_credential, &catalogue) {
                    out.notice(line);
                }
                Ok(())
            }
            Some(Err(fault)) => {
                out.notice(format_args!(
                    "the first probe has not answered: {}",
                    fault.message
                ));
                out.notice(format_args!(
                    "  next: `toolgate describe server {}` in a moment",
                    self.name
                ));
                Ok(())
            }
        }
    }
}

/// Probes the server and waits for the result.
pub(super) async fn request_probe(admin: &mut AdminClient, name: &str) -> Result<Value, CliError> {
    let resource = format!("organizations/{}/catalogues/{name}", admin.organization());
    let request = json!({ "name": resource });
    admin.call("Catalogues", "RefreshCatalogue", request).await
}

/// Like [`request_probe`]. On a terminal a spinner is drawn.
async fn refresh_definitions(
    admin: &mut AdminClient,
    out: &OutputWriter,
    name: &str,
) -> Result<Value, CliError> {
    let spinner = out.draws_progress().then(|| {
        let spinner =
            ProgressBar::new_spinner().with_message(format!("asking {name} what it offers"));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    });
    let found = request_probe(admin, name).await;
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    found
}

fn summary(name: &str, url: &str, has_credential: bool, catalogue: &Value) -> Vec<String> {
    let next =
        format!("  next: `toolgate gateway create NAME --server {name}` offers them to clients");
    let warnings = omissions(catalogue).map(|it| format!("  warning: {it}"));
    // The era is known as soon as the server has answered.
    let answered = catalogue["era"].as_str().is_some_and(|era| !era.is_empty());
    match problem_of(catalogue) {
        Some(problem) if answered => {
            let mut lines = vec![definitions_summary(catalogue)];
            lines.push(format!("  problem: {problem}"));
            lines.extend(warnings);
            lines.push(next);
            lines
        }
        Some(problem) => vec![
            format!("the first probe failed: {problem}"),
            format!(
                "  next: {}",
                probe_advice::advice_for_probe(
                    problem,
                    name,
                    url,
                    if has_credential { name } else { "" }
                )
            ),
            format!(
                "  {name} is kept and probed again from time to time: `toolgate describe server {name}` shows the result"
            ),
        ],
        None => {
            let mut lines = vec![definitions_summary(catalogue)];
            lines.extend(warnings);
            lines.push(next);
            lines
        }
    }
}

/// Returns the lists of a server that a limit cuts, with the limits.
pub(super) fn omissions(object: &Value) -> impl Iterator<Item = &str> {
    let omissions = object["omissions"].as_array().into_iter().flatten();
    omissions.filter_map(Value::as_str)
}

fn problem_of(catalogue: &Value) -> Option<&str> {
    let problem = catalogue["problem"].as_str();
    problem.filter(|problem| !problem.is_empty())
}

/// Describes the definitions of a server, with its era and protocol version.
fn definitions_summary(catalogue: &Value) -> String {
    format!(
        "{} found ({}, {})",
        definition_counts(catalogue),
        crate::cli::output::cell::text(catalogue, "/era"),
        crate::cli::output::cell::text(catalogue, "/protocolVersion"),
    )
}

/// Counts the definitions of a server by kind. Kinds without any are left out, except tools.
fn definition_counts(catalogue: &Value) -> String {
    let kinds = [
        ("/tools", "tool"),
        ("/prompts", "prompt"),
        ("/resources", "resource"),
        ("/templates", "template"),
    ];
    let counted = kinds.map(|(list, one)| {
        let count = catalogue
            .pointer(list)
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        let tools = one == "tool";
        (tools || count > 0)
            .then(|| crate::cli::output::cell::counted(count, one, &format!("{one}s")))
    });
    let counted: Vec<_> = counted.into_iter().flatten().collect();
    counted.join(", ")
}

/// Returns the origin of a server's URL, which its credential is bound to.
fn single_origin(url: &str) -> Result<OriginPattern, CliError> {
    let origin = url.parse().ok().as_ref().and_then(OriginPattern::of_url);
    origin.ok_or_else(|| {
        CliError::usage(format!(
            "--url: `{url}` is not an absolute http or https URL, e.g. https://example.com/mcp"
        ))
    })
}

#[cfg(test)]
mod tests;
