//! `connect CLIENT`: prints the settings with which a client reaches a gateway, in the format of that client. On
//! request it writes them into the client's settings file, or removes them again.

pub mod client_token;
pub mod clients;
mod dry_run;
pub mod settings_file;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use self::{
    clients::{ClientProfile, TemplateValues},
    settings_file::SettingsChange,
};
use crate::cli::{
    client::{
        admin::{AdminCommandOptions, AdminConnectionOptions},
        gateway_access,
        gateway_address::{ADDRESS_ADVICE, FoundEndpoint},
        kind::GATEWAY,
        object_name, suggestions,
    },
    commands::token,
    output::{
        OutputFormat, OutputWriter, cell,
        error::{CliError, CliErrorKind},
    },
};

/// Timeout of a request to the control plane for the address of a proxy. Offline, the default address is shown.
const CONTROL_PLANE_TIMEOUT: Duration = Duration::from_secs(2);

/// Shows or writes a client's settings.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate connect\n\
    \x20 toolgate connect claude-code --gateway tools --write --dry-run\n\
    \x20 toolgate connect claude-code --gateway tools --write\n\
    \x20 toolgate connect claude-code --gateway tools --undo")]
pub struct ConnectArgs {
    /// Client to connect; without one, all that are known are listed.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::clients))]
    pub client: Option<String>,
    /// Id of the gateway.
    #[arg(long, add = crate::cli::commands::completion::by(crate::cli::commands::completion::gateways))]
    pub gateway: Option<String>,
    /// Name under which the client knows it. Without: the gateway's id.
    #[arg(long)]
    pub name: Option<String>,
    /// Token to present. Without one, `--write` makes one with the admin token.
    #[arg(long, env = "TOOLGATE_GATEWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Lifetime of a token made by `--write`, e.g. 90d; 0s: until it is revoked.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = token::parse_pause)]
    pub ttl: Duration,
    /// Address of a proxy, or of the balancer before them. Without it, the control plane is asked.
    #[arg(long, env = "TOOLGATE_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Write it into the client's file; what was there is kept beside it.
    #[arg(long, conflicts_with = "undo")]
    pub write: bool,
    /// Take out of the client's file what `--write` put in.
    #[arg(long)]
    pub undo: bool,
    /// Check everything that `--write` or `--undo` does, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Home folder in which the client keeps its files.
    #[arg(long, env = "HOME", value_name = "DIR", hide_env = true)]
    pub home: PathBuf,
    /// Address of the admin API; without it the address that `toolgate up` left in its data folder, or
    /// http://127.0.0.1:7400.
    #[arg(long, env = "TOOLGATE_ADDR", help_heading = "Connection")]
    pub addr: Option<String>,
    /// Admin token.
    #[arg(
        long,
        env = "TOOLGATE_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub admin_token: Option<String>,
    /// Common options of every connection.
    #[command(flatten)]
    pub connection: AdminConnectionOptions,
}

/// Entry of a settings file before it is written.
struct CheckedEntry {
    /// Settings file of the client.
    path: PathBuf,
    /// Member of the file that holds the servers.
    within: &'static str,
    /// Entry of the same name that the file has.
    before: Option<String>,
    /// Endpoint of the gateway.
    url: String,
}

impl ConnectArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        let gateway = self.gateway.as_mut().map(|gateway| (&GATEWAY, gateway));
        object_name::localize(&mut self.connection, gateway)?;
        let Some(word) = &self.client else {
            let row = |client: &ClientProfile| vec![client.id.to_owned(), client.title.to_owned()];
            return out.table(&["CLIENT", "IS"], clients::ALL.iter().map(row).collect());
        };
        let client = clients::find(word)?;
        let name = self.name.as_ref().or(self.gateway.as_ref());
        if let (true, Some(name)) = (self.undo, name) {
            return match self.dry_run {
                true => self.preview_undo(client, name, out).await,
                false => self.undo_entry(client, name, out).await,
            };
        }
        let Some(gateway) = self.gateway.clone() else {
            return Err(CliError::usage("which gateway?")
                .with_next_step("add --gateway; `toolgate get gateways` lists them"));
        };
        let name = self.name.clone().unwrap_or_else(|| gateway.clone());
        if self.write {
            return match self.dry_run {
                true => self.preview_write(client, &gateway, name, out).await,
                false => self.write_entry(client, &gateway, name, out).await,
            };
        }
        if let Some(fault) = self.find_missing_gateway(&gateway).await {
            out.notice(format_args!("warning: {}\n", fault.message));
        }
        let token = self.token.clone();
        let token = token.unwrap_or_else(|| "<token>".to_owned());
        let url = gateway_access::endpoint_url(&self.endpoint(&gateway, out).await, &gateway);
        let given = TemplateValues { name, url, token };
        show(client, &given, out)?;
        if self.token.is_none() && matches!(out.format(), OutputFormat::Table | OutputFormat::Wide)
        {
            out.notice(next_token(client, &gateway));
        }
        Ok(())
    }

    /// Returns the error to report if the control plane says that the gateway does not exist.
    async fn find_missing_gateway(&self, gateway: &str) -> Option<CliError> {
        let request = async {
            let mut admin = self.admin().connect().ok()?;
            suggestions::require_gateway(&mut admin, gateway)
                .await
                .err()
        };
        let answer = tokio::time::timeout(CONTROL_PLANE_TIMEOUT, request)
            .await
            .ok()
            .flatten();
        answer.filter(|fault| fault.kind == CliErrorKind::NotFound)
    }

    fn admin(&self) -> AdminCommandOptions {
        let (addr, token, connection) = (
            self.addr.clone(),
            self.admin_token.clone(),
            self.connection.clone(),
        );
        AdminCommandOptions {
            addr,
            token,
            connection,
        }
    }

    /// Returns the address of the gateway as the control plane tells it. If the address is a guess, a warning says why.
    async fn endpoint(&self, gateway: &str, out: &mut OutputWriter) -> String {
        if let Some(endpoint) = &self.endpoint {
            return endpoint.clone();
        }
        let request = async {
            let mut admin = self.admin().connect()?;
            gateway_access::find_endpoint(&mut admin, gateway).await
        };
        let found = in_time(request).await;
        let found = found.unwrap_or_else(|fault| FoundEndpoint::unknown(&fault.message));
        if let Some(doubt) = &found.doubt {
            out.notice(format_args!(
                "warning: {} is a guess: {doubt}\n  next: {ADDRESS_ADVICE}\n",
                found.url
            ));
        }
        found.url
    }

    /// Checks what the entry of a settings file depends on. Nothing is written.
    async fn check_entry(
        &self,
        client: &ClientProfile,
        gateway: &str,
        name: &str,
        out: &mut OutputWriter,
    ) -> Result<CheckedEntry, CliError> {
        let (path, within) = self.settings_location(client)?;
        let before = settings_file::entry(&path, within, name)?;
        if let Some(fault) = self.find_missing_gateway(gateway).await {
            return Err(fault);
        }
        let url = gateway_access::endpoint_url(&self.endpoint(gateway, out).await, gateway);
        Ok(CheckedEntry {
            path,
            within,
            before,
            url,
        })
    }

    /// Writes the client's settings file. Everything that can fail is checked before a token is created; a token
    /// whose entry was not written is deleted.
    async fn write_entry(
        &self,
        client: &ClientProfile,
        gateway: &str,
        name: String,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let CheckedEntry {
            path,
            within,
            before,
            url,
        } = self.check_entry(client, gateway, &name, out).await?;
        let Some(token) = self.token.clone() else {
            let mut admin = self.admin().connect()?;
            let ttl = self.lifetime();
            let issued = client_token::create(&mut admin, client, gateway, ttl).await?;
            let token = issued.secret.clone();
            let given = TemplateValues { name, url, token };
            let put = settings_file::put(&path, within, &given.name, &given.fill(client.entry));
            let changed = match put {
                Ok(changed) => changed,
                Err(fault) => {
                    return Err(
                        match client_token::delete_unused(&mut admin, &issued).await {
                            Ok(()) => fault,
                            Err(_) => {
                                fault.with_note(format!("the token {} was made for it", issued.id))
                            }
                        },
                    );
                }
            };
            // From here on the client uses the token: an error of the output does not delete it.
            let told = tell_written(client, &path, within, &given.name, changed, out);
            out.notice(format_args!(
                "  made the token {} for it; it {}",
                issued.id,
                end_in_words(ttl)
            ));
            self.revoke_former_token(client, before.as_deref(), out)
                .await;
            return told;
        };
        let given = TemplateValues { name, url, token };
        let entry = given.fill(client.entry);
        let changed = settings_file::put(&path, within, &given.name, &entry)?;
        tell_written(client, &path, within, &given.name, changed, out)
    }

    async fn undo_entry(
        &self,
        client: &ClientProfile,
        name: &str,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let (path, within) = self.settings_location(client)?;
        let before = settings_file::entry(&path, within, name)?;
        settings_file::undo(&path, within, name)?;
        out.line(format_args!(
            "{}: {within}.{name} is as it was before",
            path.display()
        ))?;
        self.revoke_former_token(client, before.as_deref(), out)
            .await;
        Ok(())
    }

    /// Revokes the token of a removed entry if `connect` created it. A failure is only reported, since the file is
    /// already written.
    async fn revoke_former_token(
        &self,
        client: &ClientProfile,
        entry: Option<&str>,
        out: &mut OutputWriter,
    ) {
        let Some(entry) = entry else {
            return;
        };
        let revoked = async {
            let mut admin = self.admin().connect()?;
            client_token::revoke(&mut admin, client, entry).await
        };
        match in_time(revoked).await {
            Ok(Some(id)) => out.notice(format_args!("  revoked the token {id} that was in the file")),
            Ok(None) => {}
            Err(fault) => out.notice(format_args!(
                "  the token that was in the file may still work: {}; `toolgate get tokens -o wide` shows how each begins, \
                 `toolgate token revoke NAME` ends it",
                fault.message
            )),
        }
    }

    /// Returns the lifetime of a token made by `--write`, or `None` if it has no end.
    fn lifetime(&self) -> Option<Duration> {
        Some(self.ttl).filter(|ttl| !ttl.is_zero())
    }

    fn settings_location(
        &self,
        client: &ClientProfile,
    ) -> Result<(PathBuf, &'static str), CliError> {
        let (file, within) = writable_file(client)?;
        Ok((self.home.join(file.path()), within))
    }
}

/// Awaits a request to the control plane for a limited time.
async fn in_time<T>(request: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let late = |_elapsed| Err(CliError::error("the control plane did not answer"));
    let answered = tokio::time::timeout(CONTROL_PLANE_TIMEOUT, request).await;
    answered.unwrap_or_else(late)
}

/// Describes the end of a token with a lifetime.
fn end_in_words(ttl: Option<Duration>) -> String {
    match ttl {
        None => "does not end by itself".to_owned(),
        Some(ttl) => format!("ends in {}", cell::format_duration(ttl.as_secs())),
    }
}

/// Reports that the entry `name` is in the settings file.
fn tell_written(
    client: &ClientProfile,
    path: &Path,
    within: &str,
    name: &str,
    change: SettingsChange,
    out: &mut OutputWriter,
) -> Result<(), CliError> {
    let word = match change.is_changed {
        true => "written",
        false => "already there",
    };
    let told = out.line(format_args!("{}: {within}.{name} {word}", path.display()));
    if let Some(mode) = change.former_mode {
        out.notice(format_args!(
            "  others than its owner had access to the file (mode {mode:03o}); they have none now, because it holds a token"
        ));
    }
    out.notice(format_args!(
        "  next: restart {}; `toolgate connect {} --name {name} --undo` takes it out again",
        client.title, client.id
    ));
    told
}

fn writable_file(
    client: &ClientProfile,
) -> Result<(clients::SettingsPath, &'static str), CliError> {
    client.file.ok_or_else(|| {
        CliError::usage(format!(
            "there is no settings file of {} to write to",
            client.title
        ))
        .with_next_step("the same command without `--write` shows what to enter there")
    })
}

fn show(
    client: &ClientProfile,
    given: &TemplateValues,
    out: &mut OutputWriter,
) -> Result<(), CliError> {
    let command = client.command.map(|command| given.fill(command));
    let snippet = given.fill(client.snippet);
    let file = client.file.map(|(file, _)| format!("~/{}", file.path()));
    match out.format() {
        OutputFormat::Json | OutputFormat::Yaml => {
            let value = json!({
                "client": client.id, "name": given.name, "url": given.url, "command": command,
                "file": file, "settings": snippet, "notes": client.notes,
            });
            return if out.format() == OutputFormat::Json {
                out.json(&value)
            } else {
                out.yaml(&value)
            };
        }
        OutputFormat::Name => return out.line(&given.url),
        OutputFormat::Table | OutputFormat::Wide => {}
    }
    out.bytes(instructions(client, given).as_bytes())
}

/// Returns the next step for settings without a token.
fn next_token(client: &ClientProfile, gateway: &str) -> String {
    let (id, write) = (
        client.id,
        "`--write` writes the file, with a token of its own",
    );
    let by_hand = format!(
        "put a token in place of <token>: `toolgate token create {id}-1 --gateway {gateway}`"
    );
    match client.file {
        Some(_) => format!("\nnext: {by_hand}; or {write}"),
        None => format!("\nnext: {by_hand}"),
    }
}

/// Returns the full instructions for a client: command, file, settings and notes.
fn instructions(client: &ClientProfile, given: &TemplateValues) -> String {
    let mut text = format!("# {}\n", client.title);
    if let Some(command) = client.command {
        text.push_str(&format!("\n{}\n", given.fill(command)));
    }
    if !client.snippet.is_empty() {
        let location = match (client.file, client.snippet_location) {
            (Some((file, _)), _) => format!("\n# ~/{}\n", file.path()),
            (None, "") => "\n".to_owned(),
            (None, location) => format!("\n# {}\n", given.fill(location)),
        };
        text.push_str(&location);
        text.push_str(given.fill(client.snippet).trim_matches('\n'));
        text.push('\n');
    }
    for note in client.notes {
        text.push_str(&format!("\n# {note}\n"));
    }
    text
}

#[cfg(test)]
mod tests;
