//! `credential set`: writes the value of a credential, which is read from a terminal or from standard input.

use serde_json::{Value, json};
use toolgate_model::OriginPattern;
use url::Url;

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{CREDENTIAL, SERVER},
        object_name,
    },
    commands::objects::to_document,
    output::{
        OutputFormat, OutputWriter, cell,
        error::{CliError, CliErrorKind},
        prompt,
    },
};

/// Header of a new credential.
const DEFAULT_HEADER: &str = "Authorization";

/// Work with credentials.
#[derive(Debug, clap::Subcommand)]
pub enum CredentialCommand {
    /// Write the value of a credential: from standard input, or from a prompt.
    Set(SetCredentialArgs),
}

/// Writes the value of a credential.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate credential set git\n\
    \x20 toolgate credential set git --server git\n\
    \x20 toolgate credential set mail --header X-Api-Key --host https://mail.example.com")]
pub struct SetCredentialArgs {
    /// Id of the credential; it is created if it does not exist.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::credentials))]
    pub name: String,
    /// Header that carries the value. Left out: as it is, or `Authorization` for a new credential, whose value then is
    /// the complete `Bearer …`.
    #[arg(long, value_name = "NAME")]
    pub header: Option<String>,
    /// Origin that the value may be sent to, e.g. `https://api.example.com`; repeat for several. Left out: as it is.
    #[arg(long = "host", value_name = "ORIGIN")]
    pub hosts: Vec<String>,
    /// Server to present it to: the origins of the server are added, and the server refers to the credential.
    #[arg(long, add = crate::cli::commands::completion::by(crate::cli::commands::completion::servers))]
    pub server: Option<String>,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl SetCredentialArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        let server = self.server.as_mut().map(|server| (&SERVER, server));
        let names = std::iter::once((&CREDENTIAL, &mut self.name)).chain(server);
        object_name::localize(&mut self.admin.connection, names)?;
        let mut admin = self.admin.connect()?;
        let name = CREDENTIAL.resource_name(admin.organization(), &self.name);
        let existing = admin.find(&CREDENTIAL, &name).await?;
        let server = match &self.server {
            Some(id) => {
                let server = SERVER.resource_name(admin.organization(), id);
                Some(admin.get(&SERVER, &server).await?)
            }
            None => None,
        };
        let hosts = self.hosts_for(existing.as_ref(), server.as_ref());
        if existing.is_none() && hosts.is_empty() {
            return Err(self.without_hosts());
        }
        let value = prompt::read_secret(&format!("value of the credential {}", self.name))?;
        if value.trim().is_empty() {
            return Err(
                CliError::usage("no value was given").with_next_step(format!(
                    "type it at the prompt, or pass it: `printf %s \"$VALUE\" | toolgate credential set {}`",
                    self.name
                )),
            );
        }
        let written = self.write(&mut admin, existing, &hosts, &value).await?;
        if let Some(server) = server {
            self.refer(&mut admin, server).await?;
        }
        self.report(&mut admin, out, &written).await
    }

    /// Returns the origins that the credential is bound to afterwards.
    fn hosts_for(&self, existing: Option<&Value>, server: Option<&Value>) -> Vec<String> {
        let mut hosts = self.hosts.clone();
        if hosts.is_empty() {
            let bound = existing.and_then(|it| it["spec"]["hosts"].as_array());
            let bound = bound.into_iter().flatten().filter_map(Value::as_str);
            hosts.extend(bound.map(str::to_owned));
        }
        for url in server.map(endpoint_urls).unwrap_or_default() {
            let patterns = hosts.iter().filter_map(|host| host.parse().ok());
            let permitted = patterns
                .into_iter()
                .any(|pattern: OriginPattern| pattern.matches(&url));
            if let (false, Some(origin)) = (permitted, OriginPattern::of_url(&url)) {
                hosts.push(origin.to_string());
            }
        }
        hosts
    }

    fn without_hosts(&self) -> CliError {
        CliError::new(
            CliErrorKind::NotFound,
            format!("there is no credential `{}`", self.name),
        )
        .with_note("a new one is bound to the origins that its value may be sent to")
        .with_next_step(format!(
            "`toolgate credential set {0} --server SERVER` makes one for a server, `--host ORIGIN` for any origin; \
             `toolgate get credentials` lists what there is",
            self.name
        ))
    }

    async fn write(
        &self,
        admin: &mut AdminClient,
        existing: Option<Value>,
        hosts: &[String],
        value: &str,
    ) -> Result<Value, CliError> {
        let Some(mut object) = existing else {
            let header = self.header.as_deref().unwrap_or(DEFAULT_HEADER);
            let spec = json!({
                "hosts": hosts,
                "staticHeader": { "header": header, "value": value },
            });
            let created = json!({ "spec": spec });
            return admin
                .create(&CREDENTIAL, &self.name, created, self.dry_run)
                .await;
        };
        let spec = &mut object["spec"];
        spec["hosts"] = json!(hosts);
        spec["staticHeader"]["value"] = json!(value);
        if let Some(header) = &self.header {
            spec["staticHeader"]["header"] = json!(header);
        }
        admin.update(&CREDENTIAL, object, self.dry_run).await
    }

    /// Lets a server refer to the credential. In a dry run of a new credential nothing can be checked.
    async fn refer(&self, admin: &mut AdminClient, mut server: Value) -> Result<(), CliError> {
        if self.dry_run || server["spec"]["credential"] == self.name.as_str() {
            return Ok(());
        }
        server["spec"]["credential"] = json!(self.name);
        let written = admin.update(&SERVER, server, false).await;
        written.map(drop).map_err(|fault| {
            fault.with_note(format!("the credential {} has been written", self.name))
        })
    }

    async fn report(
        &self,
        admin: &mut AdminClient,
        out: &mut OutputWriter,
        written: &Value,
    ) -> Result<(), CliError> {
        match out.format() {
            OutputFormat::Json => out.json(written)?,
            OutputFormat::Yaml => out.yaml(&to_document(&CREDENTIAL, written))?,
            OutputFormat::Name => out.line(CREDENTIAL.name_of(written))?,
            OutputFormat::Table | OutputFormat::Wide => {
                let suffix = if self.dry_run { " (dry run)" } else { "" };
                out.line(format_args!(
                    "credential {} set{suffix}: header {}, sent to {}",
                    self.name,
                    cell::text(written, "/spec/staticHeader/header"),
                    strings(&written["spec"]["hosts"]).join(", ")
                ))?;
            }
        }
        let users = users_of(admin, &self.name).await?;
        match users.first() {
            Some(first) => out.notice(format_args!(
                "  next: `toolgate server probe {first}` tries the value at the server"
            )),
            None => out.notice(format_args!(
                "  no server presents it; next: `toolgate credential set {} --server SERVER`, or `credential: {0}` in the \
                 document of a server",
                self.name
            )),
        }
        Ok(())
    }
}

fn strings(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

/// Returns the URLs of the endpoints of a server.
fn endpoint_urls(server: &Value) -> Vec<Url> {
    let several = server["spec"]["endpoints"].as_array().into_iter().flatten();
    let urls = several.map(|endpoint| &endpoint["url"]);
    std::iter::once(&server["spec"]["url"])
        .chain(urls)
        .filter_map(|url| url.as_str()?.parse().ok())
        .collect()
}

/// Returns the ids of the servers that present a credential.
pub async fn users_of(admin: &mut AdminClient, credential: &str) -> Result<Vec<String>, CliError> {
    let servers = admin.list(&SERVER).await?;
    let users = servers
        .iter()
        .filter(|server| server["spec"]["credential"] == credential);
    Ok(users
        .map(|server| cell::id(server, "/metadata/name"))
        .collect())
}

#[cfg(test)]
mod tests;
