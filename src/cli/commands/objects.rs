//! `get`, `describe` and `delete` for objects of any kind.

use serde_json::{Value, json};

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::ApiResourceKind,
        manifest::API_VERSION,
    },
    output::{
        OutputFormat, OutputWriter,
        error::{CliError, CliErrorKind},
        to_yaml,
    },
};

/// Selection of objects.
#[derive(Debug, Clone, clap::Args)]
pub struct ObjectSelector {
    /// Kind, or `kind/name`: organization, gateway (gw), server (srv), credential (cred), token, proxy, catalogue.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::kinds))]
    pub kind: String,
    /// Name; several are allowed.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::names))]
    pub names: Vec<String>,
}

/// Lists objects, or shows one in a line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate get gateways\n\
    \x20 toolgate get server git -o yaml\n\
    \x20 toolgate get servers -l owner=search -o wide")]
pub struct GetObjectsArgs {
    /// Objects to list.
    #[command(flatten)]
    pub pick: ObjectSelector,
    /// Only those with this label.
    #[arg(short = 'l', long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Shows all there is to know of an object.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate describe server git\n\
    \x20 toolgate describe gateway tools")]
pub struct DescribeArgs {
    /// Objects to describe.
    #[command(flatten)]
    pub pick: ObjectSelector,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Deletes objects.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate delete gateway tools --dry-run\n\
    \x20 toolgate delete server git mail --ignore-not-found")]
pub struct DeleteArgs {
    /// Objects to delete.
    #[command(flatten)]
    pub pick: ObjectSelector,
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

impl ObjectSelector {
    /// Returns the kind and the names; `gateway/tools` is equivalent to `gateway tools`. Names of different kinds
    /// are rejected here, before any request is sent.
    pub fn resolve(&self) -> Result<(&'static ApiResourceKind, Vec<String>), CliError> {
        let (kind, first) = match self.kind.split_once('/') {
            Some((kind, name)) => (ApiResourceKind::parse(kind)?, Some(name)),
            None => (ApiResourceKind::parse(&self.kind)?, None),
        };
        let names = first
            .into_iter()
            .chain(self.names.iter().map(String::as_str));
        let names = names.map(|name| parse_name(kind, name));
        Ok((kind, names.collect::<Result<_, _>>()?))
    }
}

/// Parses a name of `kind`: an id, `kind/id`, or a full resource name.
fn parse_name(kind: &'static ApiResourceKind, name: &str) -> Result<String, CliError> {
    let other = |kind: &ApiResourceKind, found: &str| {
        CliError::usage(format!(
            "`{name}` is of the {found}, not of the {}",
            kind.plural
        ))
        .with_next_step("name one kind per command")
    };
    let parts: Vec<_> = name.split('/').collect();
    match parts.as_slice() {
        [_] => Ok(name.to_owned()),
        [word, id] => match ApiResourceKind::parse(word)? {
            found if found.name == kind.name => Ok((*id).to_owned()),
            found => Err(other(kind, found.plural)),
        },
        ["organizations", _, plural, _] if kind.in_organization && *plural == kind.plural => {
            Ok(name.to_owned())
        }
        ["organizations", _, plural, _] => Err(other(kind, plural)),
        _ => Err(
            CliError::usage(format!("`{name}` is not the name of a {}", kind.field()))
                .with_next_step(format!(
                    "`toolgate get {}` lists what there is",
                    kind.plural
                )),
        ),
    }
}

impl GetObjectsArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let (kind, names) = self.pick.resolve()?;
        let mut admin = self.admin.connect()?;
        let mut objects = fetch(&mut admin, kind, &names).await?;
        for label in &self.labels {
            let Some((key, value)) = label.split_once('=') else {
                return Err(CliError::usage(format!("`{label}` is not KEY=VALUE")));
            };
            objects.retain(|object| object["metadata"]["labels"][key] == value);
        }
        let single = names.len() == 1;
        if objects.is_empty() && !single {
            out.notice(format_args!("no {} found", kind.plural));
        }
        show(out, kind, objects, single)
    }
}

async fn fetch(
    admin: &mut AdminClient,
    kind: &'static ApiResourceKind,
    names: &[String],
) -> Result<Vec<Value>, CliError> {
    if names.is_empty() {
        return admin.list(kind).await;
    }
    let mut objects = Vec::new();
    for name in names {
        let full = kind.resource_name(admin.organization(), name);
        objects.push(admin.get(kind, &full).await?);
    }
    Ok(objects)
}

/// Writes objects in the requested format.
pub fn show(
    out: &mut OutputWriter,
    kind: &ApiResourceKind,
    mut objects: Vec<Value>,
    single: bool,
) -> Result<(), CliError> {
    match out.format() {
        OutputFormat::Json if single => out.json(&objects.pop().unwrap_or_default()),
        OutputFormat::Json => out.json(&Value::Array(objects)),
        OutputFormat::Yaml => {
            for (index, object) in objects.iter().enumerate() {
                if index > 0 {
                    out.line("---")?;
                }
                out.yaml(&to_document(kind, object))?;
            }
            Ok(())
        }
        OutputFormat::Name => objects
            .iter()
            .try_for_each(|object| out.line(kind.name_of(object))),
        OutputFormat::Table | OutputFormat::Wide => {
            let now = crate::cli::now();
            let all = out.format() == OutputFormat::Wide;
            let columns: Vec<_> = kind
                .columns()
                .iter()
                .filter(|column| all || !column.wide)
                .collect();
            let headings: Vec<_> = columns.iter().map(|column| column.heading).collect();
            let row = |object| {
                columns
                    .iter()
                    .map(|column| (column.text)(object, now))
                    .collect()
            };
            let rows: Vec<Vec<String>> = objects.iter().map(row).collect();
            if rows.is_empty() {
                Ok(())
            } else {
                out.table(&headings, rows)
            }
        }
    }
}

/// Converts an object to the document that `apply` accepts. Objects of observed kinds are returned unchanged.
pub fn to_document(kind: &ApiResourceKind, object: &Value) -> Value {
    if !kind.desired {
        return object.clone();
    }
    let given = &object["metadata"];
    let mut metadata = json!({ "name": crate::cli::output::cell::id(object, "/metadata/name") });
    let name = kind.name_of(object);
    if let (true, Some(organization)) = (kind.in_organization, name.split('/').nth(1)) {
        metadata["organization"] = json!(organization);
    }
    for member in ["displayName", "labels", "resourceVersion"] {
        if let Some(value) = given.get(member) {
            metadata[member] = value.clone();
        }
    }
    let spec = object.get("spec").cloned().unwrap_or_else(|| json!({}));
    let mut document =
        json!({ "apiVersion": API_VERSION, "kind": kind.name, "metadata": metadata, "spec": spec });
    if let Some(status) = object.get("status") {
        document["status"] = status.clone();
    }
    document
}

impl DescribeArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let (kind, names) = self.pick.resolve()?;
        let mut admin = self.admin.connect()?;
        let objects = fetch(&mut admin, kind, &names).await?;
        if !matches!(out.format(), OutputFormat::Table | OutputFormat::Wide) {
            let single = names.len() == 1;
            return show(out, kind, objects, single);
        }
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                out.line("")?;
            }
            out.line(format_args!("{} {}", kind.name, kind.name_of(object)))?;
            out.bytes(indented(&to_yaml(object)?).as_bytes())?;
            if kind.name == "Server" {
                describe_definitions(&mut admin, out, object).await?;
            }
        }
        Ok(())
    }
}

async fn describe_definitions(
    admin: &mut AdminClient,
    out: &mut OutputWriter,
    server: &Value,
) -> Result<(), CliError> {
    let kind = &crate::cli::client::kind::CATALOGUE;
    let id = crate::cli::output::cell::id(server, "/metadata/name");
    let name = kind.resource_name(admin.organization(), &id);
    match admin.find(kind, &name).await? {
        None => out.line("Catalogue: not probed yet"),
        Some(mut catalogue) => {
            let lists = ["tools", "prompts", "resources", "templates"];
            let lists = lists.map(|list| (list, catalogue[list].take()));
            out.line("Catalogue")?;
            if let Some(members) = catalogue.as_object_mut() {
                members.retain(|_, value| !value.is_null());
            }
            out.bytes(indented(&to_yaml(&catalogue)?).as_bytes())?;
            for (list, definitions) in lists {
                describe_list(out, list, definitions.as_array().map_or(&[], Vec::as_slice))?;
            }
            Ok(())
        }
    }
}

fn describe_list(
    out: &mut OutputWriter,
    list: &str,
    definitions: &[Value],
) -> Result<(), CliError> {
    if definitions.is_empty() && list != "tools" {
        return Ok(());
    }
    out.line(format_args!("  {list}: {}", definitions.len()))?;
    for definition in definitions {
        let summary = crate::cli::output::cell::summary_line(
            definition["description"].as_str().unwrap_or_default(),
        );
        let name = definition["name"].as_str().unwrap_or_default();
        out.line(format!("    {name}  {summary}").trim_end())?;
    }
    Ok(())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

impl DeleteArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let (kind, names) = self.pick.resolve()?;
        if names.is_empty() {
            return Err(CliError::usage(format!(
                "name the {} to delete",
                kind.plural
            )));
        }
        // Deleting a proxy expels it from the fleet.
        if !kind.desired && kind.name != crate::cli::client::kind::PROXY.name {
            return Err(CliError::usage(format!(
                "{} are observed; they cannot be deleted",
                kind.plural
            )));
        }
        let mut admin = self.admin.connect()?;
        let mut missing = Vec::new();
        for name in names {
            let full = kind.resource_name(admin.organization(), &name);
            match admin.delete(kind, &full, self.dry_run).await {
                Ok(()) if self.dry_run => out.line(format_args!("{full} would be deleted"))?,
                Ok(()) => out.line(format_args!("{full} deleted"))?,
                Err(fault) if fault.kind == CliErrorKind::NotFound => {
                    if self.ignore_not_found {
                        out.notice(format_args!("{full} does not exist"));
                    } else {
                        missing.push(fault);
                    }
                }
                Err(fault) => return Err(missing.iter().fold(fault, with_other_error)),
            }
        }
        // The objects that existed have been deleted at this point.
        let mut missing = missing.into_iter();
        let Some(first) = missing.next() else {
            return Ok(());
        };
        Err(missing.fold(first, |fault, other| with_other_error(fault, &other)))
    }
}

/// Adds the message of an earlier error.
fn with_other_error(fault: CliError, other: &CliError) -> CliError {
    fault.with_note(format!("and {}", other.message))
}

#[cfg(test)]
mod tests;
