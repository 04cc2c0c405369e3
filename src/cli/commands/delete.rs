//! `delete`: deletes objects by name, by label or as documents say.

pub mod command_access;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::Value;

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        gateway_tokens,
        kind::{ApiResourceKind, CREDENTIAL, GATEWAY, PROXY, SERVER, TOKEN},
        label_selector::LabelSelector,
        manifest,
    },
    commands::{
        credential::users_of,
        selection::{self, ObjectSelector},
    },
    output::{
        OutputWriter,
        error::{ApiErrorReason, CliError, CliErrorKind},
        prompt,
    },
};

/// Deletes objects.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate delete gateway tools --dry-run\n\
    \x20 toolgate delete server git mail --ignore-not-found\n\
    \x20 toolgate delete server git --with-credential\n\
    \x20 toolgate delete gateways -l team=ops\n\
    \x20 toolgate delete -f gateways.yaml")]
pub struct DeleteArgs {
    /// Kind, or `kind/name`: organization, gateway (gw), server (srv), credential (cred), token, proxy.
    #[arg(required_unless_present = "files", add = crate::cli::commands::completion::by(crate::cli::commands::completion::kinds))]
    pub kind: Option<String>,
    /// Name; several are allowed.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::names))]
    pub names: Vec<String>,
    /// Delete the objects of the documents in a file, a folder, or `-` for standard input.
    #[arg(
        short = 'f',
        long = "file",
        value_name = "FILE|DIR|-",
        conflicts_with = "kind"
    )]
    pub files: Vec<PathBuf>,
    /// Delete the objects with these labels, such as `team=ops`, `team!=ops` or `env in (a,b)`.
    #[arg(
        short = 'l',
        long = "selector",
        alias = "label",
        value_name = "SELECTOR"
    )]
    pub selectors: Vec<String>,
    /// Delete all objects of the kind.
    #[arg(long, conflicts_with_all = ["files", "selectors", "names"])]
    pub all: bool,
    /// Also delete the credentials of deleted servers that no other server presents.
    #[arg(long)]
    pub with_credential: bool,
    /// Check everything, delete nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not fail if an object does not exist.
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Object to delete.
#[derive(Debug)]
struct ObjectToDelete {
    kind: &'static ApiResourceKind,
    /// Full resource name.
    name: String,
}

impl DeleteArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let mut admin = self.admin.connect()?;
        let objects = match self.files.is_empty() {
            true => self.named(&mut admin).await?,
            false => self.documented(&admin)?,
        };
        if objects.is_empty() {
            out.notice("nothing to delete");
        }
        let objects = self.keep_access(&mut admin, objects, out).await?;
        let gateways = objects.iter().filter(|it| it.kind.name == GATEWAY.name);
        let organizations = gateways.filter_map(|it| it.name.split('/').nth(1));
        let tokens = tokens_before(&admin, organizations.collect()).await;
        let mut missing = Vec::new();
        let mut deleted = DeletedObjects::default();
        for object in objects {
            let credential = match object.kind.name == SERVER.name {
                true => credential_of(&mut admin, &object.name).await?,
                false => None,
            };
            let name = &object.name;
            let result = admin.delete(object.kind, name, self.dry_run).await;
            let result = match self.dry_run {
                true => without_dependents(result, |user| deleted.contains(user)),
                false => result,
            };
            match result {
                Ok(()) => {
                    let done = if self.dry_run {
                        "would be deleted"
                    } else {
                        "deleted"
                    };
                    out.line(format_args!("{name} {done}"))?;
                    deleted.add(name);
                    if object.kind.name == PROXY.name {
                        out.notice(proxy_notice(self.dry_run));
                    }
                    if let Some(credential) = credential {
                        self.delete_orphan(&admin, out, name, &credential).await?;
                    }
                }
                Err(fault) if fault.kind == CliErrorKind::NotFound => {
                    if self.ignore_not_found {
                        out.notice(format_args!("{name} does not exist"));
                    } else {
                        missing.push(fault);
                    }
                }
                Err(fault) => {
                    deleted.tell_tokens(&tokens, self.dry_run, out);
                    return Err(missing.iter().fold(fault, selection::with_other_error));
                }
            }
        }
        deleted.tell_tokens(&tokens, self.dry_run, out);
        // The objects that existed have been deleted at this point.
        selection::missing_objects(missing)
    }

    /// Returns the objects of the kind and names, or of the labels.
    async fn named(&self, admin: &mut AdminClient) -> Result<Vec<ObjectToDelete>, CliError> {
        let selector = ObjectSelector {
            kind: self.kind.clone().unwrap_or_default(),
            names: self.names.clone(),
        };
        let (kind, mut names) = selector.resolve()?;
        // Deleting a proxy expels it from the fleet.
        if !kind.desired && kind.name != PROXY.name {
            return Err(CliError::usage(format!(
                "{} are observed; they cannot be deleted",
                kind.plural
            ))
            .with_next_step(
                "`toolgate delete server NAME` deletes a server, and what was observed of it",
            ));
        }
        let labels = LabelSelector::parse_all(&self.selectors)?;
        if names.is_empty() && labels.is_empty() && !self.all {
            return Err(
                CliError::usage(format!("name the {} to delete", kind.plural))
                    .with_next_step("give names, `-l SELECTOR` for those with labels, or `--all`"),
            );
        }
        if names.is_empty() || !labels.is_empty() {
            let found = selection::fetch(admin, kind, &names, &labels).await?;
            selection::missing_objects(found.missing)?;
            let full = found.objects.iter().map(|it| kind.name_of(it).to_owned());
            names = full.collect();
        }
        Ok(names
            .iter()
            .map(|name| ObjectToDelete {
                kind,
                name: kind.resource_name(admin.organization(), name),
            })
            .collect())
    }

    /// Returns the objects of the documents. An object comes before the objects that it refers to.
    fn documented(&self, admin: &AdminClient) -> Result<Vec<ObjectToDelete>, CliError> {
        let mut documents = Vec::new();
        for file in &self.files {
            documents.extend(manifest::read(file)?);
        }
        documents.sort_by_key(|document| std::cmp::Reverse(document.kind.rank()));
        let objects = documents.into_iter().map(|document| {
            let organization = document.organization.as_deref();
            let organization = organization.unwrap_or(admin.organization());
            ObjectToDelete {
                kind: document.kind,
                name: document.kind.resource_name(organization, &document.id),
            }
        });
        Ok(objects.collect())
    }

    /// Deletes the credential of a deleted server, if no other server presents it and this is wanted; otherwise names
    /// it with the command that deletes it.
    async fn delete_orphan(
        &self,
        admin: &AdminClient,
        out: &mut OutputWriter,
        server: &str,
        credential: &str,
    ) -> Result<(), CliError> {
        // The credential is of the organization of the server.
        let organization = server.split('/').nth(1).unwrap_or_default();
        let mut admin = admin.clone().with_organization(organization);
        let name = CREDENTIAL.resource_name(organization, credential);
        let mut users = users_of(&mut admin, credential).await?;
        let server_id = server.rsplit('/').next().unwrap_or_default();
        users.retain(|user| user != server_id);
        // In documents the credential is an object of its own.
        if !users.is_empty() || !self.files.is_empty() {
            return Ok(());
        }
        if self.dry_run {
            let told = match self.with_credential {
                true => "would be deleted",
                false => "would be presented by no server; --with-credential deletes it too",
            };
            return out.line(format_args!("{name} {told}"));
        }
        let wanted = self.with_credential
            || prompt::confirm(&format!(
                "{name} is presented by no server now. Delete it too?"
            ))
            .unwrap_or(false);
        if !wanted {
            out.notice(format_args!(
                "  {name} is presented by no server now; next: `toolgate delete credential {credential}`, unless another \
                 server is going to use it"
            ));
            return Ok(());
        }
        match admin.delete(&CREDENTIAL, &name, false).await {
            Ok(()) => out.line(format_args!("{name} deleted")),
            Err(fault) if fault.kind == CliErrorKind::NotFound => Ok(()),
            Err(fault) => Err(fault.with_note(format!("{server} has been deleted"))),
        }
    }
}

/// Objects that a command has deleted, or would delete in a dry run.
#[derive(Debug, Default)]
pub struct DeletedObjects {
    /// Full resource names.
    names: BTreeSet<String>,
}

impl DeletedObjects {
    /// Adds an object by its full resource name.
    pub fn add(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// Returns `true` if an object is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Returns the tokens that are not among them: only these may need another gateway.
    fn without_deleted<'a>(&self, tokens: &'a [Value]) -> Vec<&'a Value> {
        let stays = |token: &&Value| !self.contains(TOKEN.name_of(token));
        tokens.iter().filter(stays).collect()
    }

    /// Tells which tokens end with the gateways among the objects. `tokens` are the tokens before, by organization.
    pub fn tell_tokens(
        &self,
        tokens: &BTreeMap<String, Vec<Value>>,
        dry_run: bool,
        out: &mut OutputWriter,
    ) {
        for (organization, tokens) in tokens {
            let tokens = self.without_deleted(tokens);
            let prefix = GATEWAY.resource_name(organization, "");
            let gateways = self.names.iter();
            let gateways = gateways.filter_map(|name| name.strip_prefix(&prefix));
            let gateways = gateways.map(str::to_owned).collect();
            gateway_tokens::tell_ending(&tokens, &gateways, dry_run, out);
        }
    }
}

/// Returns what happens to the process of a deleted proxy.
fn proxy_notice(dry_run: bool) -> String {
    let would = if dry_run { "would stop" } else { "stops" };
    format!(
        "  its process {would} serving within seconds, at the latest when it reaches a control plane, and is not ready any more; to \
         use the machine as a proxy again, start it with another `--id` and a new join token (`toolgate proxies join-token`)"
    )
}

/// Returns the result of a deletion in a dry run as it is without the dependents that the same command deletes or changes
/// before: there they still exist.
pub fn without_dependents(
    result: Result<(), CliError>,
    is_gone: impl Fn(&str) -> bool,
) -> Result<(), CliError> {
    result.or_else(|fault| {
        let is_free = fault.reason == ApiErrorReason::InUse
            && !fault.dependents.is_empty()
            && fault.dependents.iter().all(|user| is_gone(user));
        if is_free { Ok(()) } else { Err(fault) }
    })
}

/// Returns the working tokens of organizations whose gateways are to be deleted, by organization.
pub async fn tokens_before(
    admin: &AdminClient,
    organizations: BTreeSet<&str>,
) -> BTreeMap<String, Vec<Value>> {
    let mut tokens = BTreeMap::new();
    for organization in organizations {
        let mut admin = admin.clone().with_organization(organization);
        let working = gateway_tokens::working_tokens(&mut admin).await;
        tokens.insert(organization.to_owned(), working);
    }
    tokens
}

/// Returns the credential that a server presents, if it presents one.
async fn credential_of(admin: &mut AdminClient, server: &str) -> Result<Option<String>, CliError> {
    let server = admin.find(&SERVER, server).await?;
    let credential = server.and_then(|it| it["spec"]["credential"].as_str().map(str::to_owned));
    Ok(credential.filter(|credential: &String| !credential.is_empty()))
}

#[cfg(test)]
mod tests;
