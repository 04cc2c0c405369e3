//! `server probe`: probes a server, and shows what it offers or the problem with its remedy.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{CATALOGUE, CREDENTIAL, SERVER, server_urls},
        object_name, probe_result,
    },
    output::{
        OutputFormat, OutputWriter, cell, credential_fields,
        error::CliError,
        probe_advice::{self, FailedServer},
    },
};

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

impl ProbeServerArgs {
    /// Runs the command. A problem is an error, so that scripts can wait for a server.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        object_name::localize(&mut self.admin.connection, [(&SERVER, &mut self.name)])?;
        let mut admin = self.admin.connect()?;
        let name = SERVER.resource_name(admin.organization(), &self.name);
        let server = admin.get(&SERVER, &name).await?;
        let catalogue = refresh_definitions(&mut admin, out, &self.name).await?;
        let problem = probe_result::problem(&catalogue);
        let has_answered = problem.as_ref().is_none_or(probe_result::has_answered);
        match out.format() {
            OutputFormat::Json => out.json(&catalogue)?,
            OutputFormat::Yaml => out.yaml(&catalogue)?,
            OutputFormat::Name => out.line(CATALOGUE.name_of(&catalogue))?,
            OutputFormat::Table | OutputFormat::Wide if has_answered => {
                out.line(definitions_summary(&catalogue))?;
            }
            OutputFormat::Table | OutputFormat::Wide => {}
        }
        for omission in omissions(&catalogue) {
            out.notice(format_args!("  warning: {omission}"));
        }
        let Some(problem) = problem else {
            return Ok(());
        };
        if probe_result::is_warning(&problem) {
            out.notice(format_args!("  warning: {}", problem.text));
            return Ok(());
        }
        let url = server_urls(&server).replace(',', ", ");
        let since = cell::age(&catalogue, "/problemSinceTime", crate::cli::now());
        let before = match catalogue["era"].as_str() {
            Some("") | None => "it has never been seen, so nothing of it is offered",
            Some(_) => "what was seen of it stays offered",
        };
        let told = match has_answered {
            true => "the server answers, with a problem",
            false => "the probe failed",
        };
        let set_credential = set_command_of(&mut admin, &server).await;
        let target = FailedServer {
            id: &self.name,
            url: &url,
            set_credential: set_credential.as_deref(),
        };
        Err(CliError::error(format!("{told}: {}", problem.text))
            .with_note(format!("for {since}; {before}"))
            .with_next_step(probe_advice::advice_for_probe(&problem, target)))
    }
}

/// Returns the command that sets the values of the credential of a server, if it has one.
async fn set_command_of(admin: &mut AdminClient, server: &Value) -> Option<String> {
    let id = server["spec"]["credential"].as_str()?;
    if id.is_empty() {
        return None;
    }
    let name = CREDENTIAL.resource_name(admin.organization(), id);
    let credential = admin.find(&CREDENTIAL, &name).await.ok().flatten();
    Some(credential_fields::set_command(id, credential.as_ref()))
}

/// Probes the server and waits for the result.
pub async fn request_probe(admin: &mut AdminClient, name: &str) -> Result<Value, CliError> {
    let resource = format!("organizations/{}/catalogues/{name}", admin.organization());
    let request = json!({ "name": resource });
    admin.call("Catalogues", "RefreshCatalogue", request).await
}

/// Like [`request_probe`]. On a terminal a spinner is drawn.
pub(super) async fn refresh_definitions(
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

pub(super) fn summary(
    name: &str,
    url: &str,
    set_credential: Option<&str>,
    catalogue: &Value,
) -> Vec<String> {
    let target = FailedServer {
        id: name,
        url,
        set_credential,
    };
    let next =
        format!("  next: `toolgate gateway create NAME --server {name}` offers them to clients");
    let warnings = omissions(catalogue).map(|it| format!("  warning: {it}"));
    // The era is known as soon as the server has answered.
    let answered = catalogue["era"].as_str().is_some_and(|era| !era.is_empty());
    match probe_result::problem(catalogue) {
        Some(problem) if answered => {
            let mut lines = vec![definitions_summary(catalogue)];
            let word = match probe_result::is_warning(&problem) {
                true => "warning",
                false => "problem",
            };
            lines.push(format!("  {word}: {}", problem.text));
            lines.extend(warnings);
            lines.push(next);
            lines
        }
        Some(problem) => vec![
            format!("the first probe failed: {}", problem.text),
            format!(
                "  next: {}",
                probe_advice::advice_for_probe(&problem, target)
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
pub fn omissions(object: &Value) -> impl Iterator<Item = &str> {
    let omissions = object["omissions"].as_array().into_iter().flatten();
    omissions.filter_map(Value::as_str)
}

/// Describes the definitions of a server, with its era and protocol version.
fn definitions_summary(catalogue: &Value) -> String {
    format!(
        "{} found ({}, {})",
        definition_counts(catalogue),
        cell::text(catalogue, "/era"),
        cell::text(catalogue, "/protocolVersion"),
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
        (tools || count > 0).then(|| cell::counted(count, one, &format!("{one}s")))
    });
    let counted: Vec<_> = counted.into_iter().flatten().collect();
    counted.join(", ")
}
