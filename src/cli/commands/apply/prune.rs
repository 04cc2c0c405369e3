//! Pruning: deletes the objects that are in no document.

use std::collections::{BTreeMap, BTreeSet};

use super::AppliedObject;
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{self, ApiResourceKind, CREDENTIAL, GATEWAY, SERVER, TOKEN},
        known_token,
        label_selector::LabelSelector,
        manifest::ManifestDocument,
    },
    commands::delete::{DeletedObjects, tokens_before, without_dependents},
    output::{OutputFormat, OutputWriter, error::CliError},
};

/// Deletes the objects that are in no document, of the kinds and organizations that the documents have. An object
/// goes before the objects that it refers to. Organizations, the bootstrap token and the token that the command itself uses stay.
/// What is deleted is added to `results`, also if a later deletion fails.
pub async fn run(
    options: &AdminCommandOptions,
    documents: &[ManifestDocument],
    labels: &LabelSelector,
    (dry_run, results): (bool, &mut Vec<AppliedObject>),
    out: &mut OutputWriter,
) -> Result<(), CliError> {
    let admin = options.connect()?;
    let secret = options.token()?.unwrap_or_default();
    let documents = NamedDocuments::new(&admin, documents);
    let organizations = match documents.has(&GATEWAY) {
        true => documents.organizations.iter().map(String::as_str).collect(),
        false => BTreeSet::new(),
    };
    let tokens = tokens_before(&admin, organizations).await;
    let mut deleted = DeletedObjects::default();
    for kind in kind::ALL.iter().rev() {
        if !kind.in_organization || !documents.has(kind) {
            continue;
        }
        for organization in &documents.organizations {
            let mut admin = admin.clone().with_organization(organization);
            for object in admin.list(kind).await? {
                let name = kind.name_of(&object);
                let is_bootstrap = object["status"]["system"] == true;
                if documents.by_name.contains_key(name) || is_bootstrap || !labels.selects(&object)
                {
                    continue;
                }
                if kind.name == TOKEN.name && known_token::begins(&object, &secret) {
                    out.notice(format_args!("{name} stays: this command uses it"));
                    continue;
                }
                let result = admin.delete(kind, name, dry_run).await;
                match dry_run {
                    true => without_dependents(result, |user| {
                        deleted.contains(user) || documents.frees(user, kind, name)
                    }),
                    false => result,
                }?;
                deleted.add(name);
                if matches!(out.format(), OutputFormat::Table | OutputFormat::Wide) {
                    let suffix = if dry_run { " (dry run)" } else { "" };
                    out.line(format_args!("{name} pruned{suffix}"))?;
                }
                results.push(AppliedObject {
                    name: name.to_owned(),
                    verb: "pruned",
                    secret: None,
                    warnings: Vec::new(),
                });
            }
        }
    }
    deleted.tell_tokens(&tokens, dry_run, out);
    Ok(())
}

/// Documents by the full resource names of their objects.
struct NamedDocuments<'a> {
    by_name: BTreeMap<String, &'a ManifestDocument>,
    organizations: BTreeSet<String>,
}

impl<'a> NamedDocuments<'a> {
    fn new(admin: &AdminClient, documents: &'a [ManifestDocument]) -> Self {
        let organization = |document: &ManifestDocument| {
            let own = document.organization.clone();
            own.unwrap_or_else(|| admin.organization().to_owned())
        };
        let name = |it: &ManifestDocument| it.kind.resource_name(&organization(it), &it.id);
        Self {
            by_name: documents.iter().map(|it| (name(it), it)).collect(),
            organizations: documents.iter().map(organization).collect(),
        }
    }

    fn has(&self, kind: &ApiResourceKind) -> bool {
        let mut documents = self.by_name.values();
        documents.any(|document| document.kind.kind == kind.kind)
    }

    /// Returns `true` if the document of `user` does not refer to the object `name`, so that applying the documents frees the
    /// object.
    fn frees(&self, user: &str, kind: &ApiResourceKind, name: &str) -> bool {
        let id = name.rsplit('/').next().unwrap_or(name);
        let document = self.by_name.get(user);
        document.is_some_and(|document| !refers(document, kind, id))
    }
}

/// Returns `true` if a document refers to the object `id` of a kind.
fn refers(document: &ManifestDocument, kind: &ApiResourceKind, id: &str) -> bool {
    let spec = &document.object["spec"];
    let bindings = spec["bindings"].as_array().into_iter().flatten();
    let mut servers = bindings.map(|binding| &binding["server"]);
    match kind.name {
        name if name == SERVER.name => servers.any(|server| server == id),
        name if name == CREDENTIAL.name => spec["credential"] == id,
        // Objects of other kinds are not referred to by documents of one organization.
        _ => true,
    }
}
