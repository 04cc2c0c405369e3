//! `credential set`: writes the values of a credential, which are read from a terminal, from standard input or from files.

pub mod fields;

use serde_json::{Value, json};
use toolgate_model::{FieldPlace, OriginPattern};
use url::Url;

use self::fields::{GivenField, ValuedField};

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{CREDENTIAL, SERVER},
        object_name,
    },
    commands::objects::to_document,
    output::{
        OutputFormat, OutputWriter, cell, credential_fields,
        error::{ApiErrorReason, CliError, CliErrorKind},
    },
};

/// Work with credentials.
#[derive(Debug, clap::Subcommand)]
pub enum CredentialCommand {
    /// Write the values of a credential: from standard input, from a prompt, or from files.
    Set(SetCredentialArgs),
}

/// Writes the values of a credential.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate credential set git\n\
    \x20 toolgate credential set git --server git\n\
    \x20 toolgate credential set mail --header X-Api-Key --host https://mail.example.com\n\
    \x20 toolgate credential set maps --query api_key --server maps\n\
    \x20 toolgate credential set crm --header X-App-Id=@id.txt --header X-App-Key=@key.txt --server crm")]
pub struct SetCredentialArgs {
    /// Id of the credential; it is created if it does not exist.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::credentials))]
    pub name: String,
    /// Header that carries a value; repeat for several. The value is read from a prompt or from standard input, or from
    /// FILE. Left out: as it is, or `Authorization` for a new credential, whose value then is the complete `Bearer …`.
    #[arg(long = "header", value_name = "NAME[=@FILE]")]
    pub headers: Vec<String>,
    /// Query parameter that carries a value, for servers that want a key in their URL; repeat for several. The value is
    /// read as that of a header. Several values on standard input are one line each, those of the headers first.
    #[arg(long = "query", value_name = "NAME[=@FILE]")]
    pub query: Vec<String>,
    /// Remove the headers and query parameters that are not given.
    #[arg(long)]
    pub replace: bool,
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
        let given = self.given_fields()?;
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
        if existing.is_none() && self.hosts_for(None, server.as_ref()).is_empty() {
            return Err(self.without_hosts());
        }
        let given = self.fields_to_read(given, existing.as_ref())?;
        if let Some(server) = &server {
            self.check_server(&mut admin, server, existing.as_ref(), &given)
                .await?;
        }
        let values = fields::read_values(given, &self.name, &self.command_line())?;
        if let Some(warning) = fields::scheme_warning(&values) {
            out.notice(warning);
        }
        let is_new = existing.is_none();
        let written = self
            .write(&mut admin, is_new, server.as_ref(), values)
            .await?;
        if let Some(server) = server {
            self.refer(&mut admin, server, is_new).await?;
        }
        self.report(&mut admin, out, &written).await
    }

    /// Returns the command without the values.
    fn command_line(&self) -> String {
        let mut command = format!("toolgate credential set {}", self.name);
        for (flag, given) in [("--header", &self.headers), ("--query", &self.query)] {
            for field in given {
                command += &format!(" {flag} {field}");
            }
        }
        if let Some(server) = &self.server {
            command += &format!(" --server {server}");
        }
        command
    }

    fn given_fields(&self) -> Result<Vec<GivenField>, CliError> {
        let headers = self.headers.iter();
        let headers = headers.map(|given| GivenField::parse(FieldPlace::Header, given));
        let query = self.query.iter();
        let query = query.map(|given| GivenField::parse(FieldPlace::Query, given));
        let given: Vec<_> = headers.chain(query).collect::<Result<_, _>>()?;
        if self.replace && given.is_empty() {
            return Err(CliError::usage(
                "--replace removes what is not given, and nothing is given",
            )
            .with_next_step("name what stays, with `--header NAME` or `--query NAME`"));
        }
        Ok(given)
    }

    /// Returns the fields whose values are read: those given, or the only one of the credential.
    fn fields_to_read(
        &self,
        given: Vec<GivenField>,
        existing: Option<&Value>,
    ) -> Result<Vec<GivenField>, CliError> {
        if !given.is_empty() {
            return Ok(given);
        }
        let stored = existing
            .map(credential_fields::stored_fields)
            .unwrap_or_default();
        match &*stored {
            [] => Ok(vec![GivenField::default_header()]),
            [(place, name)] => Ok(vec![GivenField::unread(*place, name)]),
            several => {
                let options = several.iter();
                let options: Vec<String> = options
                    .map(|(place, name)| credential_fields::flag(*place, name))
                    .collect();
                Err(CliError::usage(format!(
                    "the credential {} has {} values",
                    self.name,
                    several.len()
                ))
                .with_next_step(format!(
                    "name those that you write: `{}`, as in `toolgate credential set {} {}`; the others stay",
                    options.join("`, `"),
                    self.name,
                    options.join(" ")
                )))
            }
        }
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

    /// Checks that the server can present the credential, before anything is written or read.
    async fn check_server(
        &self,
        admin: &mut AdminClient,
        server: &Value,
        existing: Option<&Value>,
        given: &[GivenField],
    ) -> Result<(), CliError> {
        let mut parameters = given.iter().filter_map(GivenField::query_parameter);
        if let Some(parameter) = parameters.find(|it| is_in_url(server, it)) {
            let id = cell::id(server, "/metadata/name");
            return Err(CliError::usage(format!(
                "--query {parameter}: the URL of the server {id} has this query parameter already"
            ))
            .with_next_step(format!(
                "`toolgate server update {id} --url URL` takes it out of the URL; nothing was written"
            )));
        }
        if server["spec"]["credential"] == self.name.as_str() {
            return Ok(());
        }
        let mut referring = server.clone();
        referring["spec"]["credential"] = json!(self.name);
        match admin.update(&SERVER, referring, true).await {
            Err(fault) if !self.is_settled_by_write(&fault, existing.is_none()) => {
                let fault = fault.with_flags(&[("spec.credential", "--server")]);
                Err(fault.with_note("nothing was written"))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Returns `true` if a dry run of the server failed only because the credential is not written yet: it does not exist, is
    /// not bound to the origins of the server, or has a parameter that is going to be removed.
    fn is_settled_by_write(&self, fault: &CliError, is_new: bool) -> bool {
        let reason = fault.reason;
        let is_unbound = matches!(
            reason,
            ApiErrorReason::CredentialElsewhere | ApiErrorReason::CredentialUnbound
        );
        let is_replaced = self.replace && reason == ApiErrorReason::CredentialRepeated;
        is_unbound || is_replaced || (is_new && reason == ApiErrorReason::NoSuchReference)
    }

    /// Changes the credential as it is now: the value was typed for minutes, and another administrator may have written it
    /// in that time. Origins stay as they are unless some are given.
    fn change(
        &self,
        object: &mut Value,
        server: Option<&Value>,
        values: &[ValuedField],
    ) -> Result<(), CliError> {
        if self.headers.is_empty() && self.query.is_empty() {
            let chosen = self.fields_to_read(Vec::new(), Some(object))?;
            if !fields::are_values_of(values, &chosen) {
                return Err(self.changed_meanwhile());
            }
        }
        if !self.hosts.is_empty() || server.is_some() {
            object["spec"]["hosts"] = json!(self.hosts_for(Some(object), server));
        }
        fields::write_fields(object, values.to_vec(), self.replace);
        Ok(())
    }

    fn changed_meanwhile(&self) -> CliError {
        CliError::error(format!(
            "the credential {} has other headers or query parameters than when its value was asked for",
            self.name
        ))
        .with_note("nothing was written")
        .with_next_step(format!(
            "`toolgate describe credential {}` shows them; name the one to write with `--header NAME` or `--query NAME`",
            self.name
        ))
    }

    async fn write(
        &self,
        admin: &mut AdminClient,
        is_new: bool,
        server: Option<&Value>,
        values: Vec<ValuedField>,
    ) -> Result<Value, CliError> {
        let change = |object: &mut Value| -> Result<bool, CliError> {
            self.change(object, server, &values).map(|()| true)
        };
        let written = if is_new {
            let mut object = json!({ "spec": {} });
            change(&mut object)?;
            admin
                .create(&CREDENTIAL, &self.name, object, self.dry_run)
                .await
        } else {
            let name = CREDENTIAL.resource_name(admin.organization(), &self.name);
            let modified = admin.modify(&CREDENTIAL, &name, self.dry_run, change);
            modified.await.map(|(written, _)| written)
        };
        written.map_err(|fault| fault.with_flags(&FLAGS))
    }

    /// Lets a server refer to the credential. If that fails, a new credential is deleted again.
    async fn refer(
        &self,
        admin: &mut AdminClient,
        server: Value,
        is_new: bool,
    ) -> Result<(), CliError> {
        // A dry run has checked the server before.
        if self.dry_run || server["spec"]["credential"] == self.name.as_str() {
            return Ok(());
        }
        let refer = |server: &mut Value| {
            server["spec"]["credential"] = json!(self.name);
            Ok(true)
        };
        let name = SERVER.name_of(&server);
        let Err(fault) = admin.modify(&SERVER, name, false, refer).await else {
            return Ok(());
        };
        let credential = CREDENTIAL.resource_name(admin.organization(), &self.name);
        let note = match is_new && admin.delete(&CREDENTIAL, &credential, false).await.is_ok() {
            true => format!("the new credential {} is deleted again", self.name),
            false => format!(
                "the credential {} has been written, and the server does not present it",
                self.name
            ),
        };
        Err(fault
            .with_flags(&[("spec.credential", "--server")])
            .with_note(note))
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
                    "credential {} set{suffix}: {}, sent to {}",
                    self.name,
                    credential_fields::summary(written),
                    strings(&written["spec"]["hosts"]).join(", ")
                ))?;
            }
        }
        let users = users_of(admin, &self.name).await?;
        match users.first().or(self.server.as_ref()) {
            Some(server) if self.dry_run => {
                out.notice(format_args!("  the server {server} would present it"));
            }
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

/// Fields of credentials that flags set.
const FLAGS: [(&str, &str); 5] = [
    ("credential_id", "NAME"),
    ("spec.hosts", "--host"),
    ("spec.staticHeader", "--header"),
    ("spec.requestFields.headers", "--header"),
    ("spec.requestFields.query", "--query"),
];

/// Returns `true` if the URL of an endpoint of a server has a query parameter.
fn is_in_url(server: &Value, parameter: &str) -> bool {
    endpoint_urls(server).iter().any(|url| {
        let mut pairs = url.query_pairs();
        pairs.any(|(name, _)| name.eq_ignore_ascii_case(parameter))
    })
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
