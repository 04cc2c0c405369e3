//! `server add`: adds a server and, if needed, its credential, then probes it.

mod probe;
mod update;

use clap::ValueEnum;
use serde_json::{Value, json};
use toolgate_model::{FieldPlace, MaxAnswer, OriginPattern, ProtocolVersion};

use self::probe::{refresh_definitions, summary};
pub use self::{
    probe::{ProbeServerArgs, omissions, request_probe},
    update::UpdateServerArgs,
};
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{CREDENTIAL, SERVER},
    },
    commands::credential::{
        fields::{self, GivenField, ValuedField},
        users_of,
    },
    output::{
        OutputFormat, OutputWriter, credential_fields,
        error::{CliError, CliErrorKind},
    },
};

/// Fields of servers that flags set.
const FLAGS: [(&str, &str); 7] = [
    ("server_id", "NAME"),
    ("spec.url", "--url"),
    ("spec.credential", "--credential"),
    ("spec.era", "--era"),
    ("spec.protocolVersion", "--protocol-version"),
    ("spec.maxAnswerMib", "--max-answer"),
    ("spec.description", "--description"),
];
/// Fields of the credential of a new server that flags set.
const CREDENTIAL_FLAGS: [(&str, &str); 5] = [
    ("credential_id", "NAME"),
    ("spec.hosts", "--url"),
    ("spec.staticHeader", "--header"),
    ("spec.requestFields.headers", "--header"),
    ("spec.requestFields.query", "--query"),
];

/// Work with servers.
#[derive(Debug, clap::Subcommand)]
pub enum ServerCommand {
    /// Add an MCP server that already runs somewhere, and probe it.
    Add(AddServerArgs),
    /// Ask a server now what it offers, and show its answer.
    Probe(ProbeServerArgs),
    /// Change single fields of a server.
    Update(UpdateServerArgs),
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
    /// standard input, and with `NAME=@FILE` from FILE.
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

impl AddServerArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let command = format!("toolgate server add {} …", self.name);
        let values = fields::read_values(self.given_fields()?, &self.name, &command)?;
        if let Some(warning) = fields::scheme_warning(&values) {
            out.notice(warning);
        }
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
                let fault = fault.with_flags(&FLAGS);
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
                Err(fault) => {
                    let fault = fault.with_flags(&CREDENTIAL_FLAGS);
                    Err(self.explain_conflict(admin, fault).await)
                }
            };
        };
        credential["spec"] = new["spec"].take();
        let written = admin.update(&CREDENTIAL, credential, self.dry_run).await;
        written.map_err(|fault| fault.with_flags(&CREDENTIAL_FLAGS))?;
        out.notice(format_args!(
            "the credential {0}, which no server presented, takes what is given; `toolgate describe credential {0}` shows it",
            self.name
        ));
        Ok(false)
    }

    /// Adds advice on the conflicting objects, if the name is taken: to change a server that exists, or to delete what is in
    /// the way. Only existing objects are named.
    async fn explain_conflict(&self, admin: &mut AdminClient, fault: CliError) -> CliError {
        if fault.kind != CliErrorKind::Conflict {
            return fault;
        }
        let mut taken = Vec::new();
        for kind in [&SERVER, &CREDENTIAL] {
            let name = kind.resource_name(admin.organization(), &self.name);
            if let Ok(Some(_)) = admin.find(kind, &name).await {
                taken.push(kind);
            }
        }
        let Some(first) = taken.first() else {
            return fault;
        };
        let change = match first.name == SERVER.name {
            true => format!(
                "; `toolgate server update {} --url {}` changes it, `toolgate apply -f` too",
                self.name, self.url
            ),
            false => String::new(),
        };
        let steps = taken
            .iter()
            .map(|kind| format!("`toolgate delete {} {}`", kind.field(), self.name));
        let steps: Vec<_> = steps.collect();
        let makes = if steps.len() == 1 { "makes" } else { "make" };
        fault.with_next_step(format!(
            "`toolgate describe {} {}` shows what is there{change}; {} {makes} room",
            first.field(),
            self.name,
            steps.join(" and ")
        ))
    }

    /// Returns the command that sets the values of the new credential, if there is one.
    fn set_command(&self) -> Option<String> {
        let name = |given: &str| {
            let name = given.split(['=', ':']).next().unwrap_or_default();
            name.trim().to_owned()
        };
        let headers = self.headers.iter();
        let headers = headers.map(|it| credential_fields::flag(FieldPlace::Header, &name(it)));
        let query = self.query.iter();
        let query = query.map(|it| credential_fields::flag(FieldPlace::Query, &name(it)));
        let flags: Vec<String> = headers.chain(query).collect();
        let command = format!("toolgate credential set {}", self.name);
        match flags.len() {
            0 => None,
            1 => Some(command),
            _ => Some(format!("{command} {}", flags.join(" "))),
        }
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
                let set_credential = self.set_command();
                let set_credential = set_credential.as_deref();
                for line in summary(&self.name, &self.url, set_credential, &catalogue) {
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
