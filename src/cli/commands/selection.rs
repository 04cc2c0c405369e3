//! Selection of objects by kinds, names and labels, for the commands that take objects of any kind.

use serde_json::Value;

use crate::cli::{
    client::{
        admin::AdminClient,
        kind::{self, ApiResourceKind},
        label_selector::LabelSelector,
        object_name,
    },
    output::error::{CliError, CliErrorKind},
};

/// Word for all kinds that operators write within an organization.
const ALL_KINDS: &str = "all";

/// Selection of objects of one kind or several.
#[derive(Debug, Clone, clap::Args)]
pub struct ObjectSelector {
    /// Kind, or `kind/name`: organization, gateway (gw), server (srv), credential (cred), token, proxy, catalogue.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::kinds))]
    pub kind: String,
    /// Name; several are allowed.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::names))]
    pub names: Vec<String>,
}

/// Objects of one kind, by their names; without names, all of them.
#[derive(Debug)]
pub struct KindSelection {
    /// Kind of the objects.
    pub kind: &'static ApiResourceKind,
    /// Ids or full resource names.
    pub names: Vec<String>,
}

/// Objects that were found, and the errors of the names that were not.
#[derive(Debug, Default)]
pub struct FoundObjects {
    /// Objects in the order of the command line.
    pub objects: Vec<Value>,
    /// Errors, one for each missing object.
    pub missing: Vec<CliError>,
}

impl ObjectSelector {
    /// Returns the kind and the names; `gateway/tools` is equivalent to `gateway tools`. Names of different kinds
    /// are rejected here, before any request is sent.
    pub fn resolve(&self) -> Result<(&'static ApiResourceKind, Vec<String>), CliError> {
        let (kind, first) = match self.kind.contains('/') {
            true => {
                let (kind, name) = object_name::parse_with_kind(&self.kind)?;
                (kind, Some(name))
            }
            false => (ApiResourceKind::parse(&self.kind)?, None),
        };
        let names = self.names.iter().flat_map(|name| name.split(','));
        let names = names.filter(|name| !name.is_empty());
        let names = names.map(|name| checked(kind, name));
        let names: Vec<_> = first.into_iter().map(Ok).chain(names).collect();
        Ok((kind, names.into_iter().collect::<Result<_, _>>()?))
    }

    /// Returns the selections of a command that takes several kinds: `all`, `servers,gateways`, or
    /// `server/a gateway/b`.
    pub fn resolve_all(&self) -> Result<Vec<KindSelection>, CliError> {
        let words: Vec<_> = self.kind.split(',').filter(|it| !it.is_empty()).collect();
        if self.kind == ALL_KINDS {
            let kinds = kind::ALL
                .iter()
                .filter(|it| it.desired && it.in_organization);
            return self.of_kinds(kinds.collect());
        }
        let mixed = self.kind.contains('/');
        if mixed {
            let names = self.names.iter().map(String::as_str);
            return by_kind(words.into_iter().chain(names));
        }
        match words.as_slice() {
            [_] => {
                let (kind, names) = self.resolve()?;
                Ok(vec![KindSelection { kind, names }])
            }
            several => {
                let kinds: Result<Vec<_>, _> = several
                    .iter()
                    .map(|it| ApiResourceKind::parse(it))
                    .collect();
                self.of_kinds(kinds?)
            }
        }
    }

    fn of_kinds(
        &self,
        kinds: Vec<&'static ApiResourceKind>,
    ) -> Result<Vec<KindSelection>, CliError> {
        if let Some(name) = self.names.iter().find(|name| name.contains('/')) {
            return Err(CliError::usage(format!(
                "`{name}` names a kind already, after the kinds `{}`",
                self.kind
            ))
            .with_next_step("write either kinds, or names such as `server/git gateway/tools`"));
        }
        let of_kind = |kind| KindSelection {
            kind,
            names: self.names.clone(),
        };
        Ok(kinds.into_iter().map(of_kind).collect())
    }
}

fn checked(kind: &'static ApiResourceKind, name: &str) -> Result<String, CliError> {
    let parsed = object_name::parse(kind, name)?;
    Ok(match parsed.organization {
        Some(_) => name.to_owned(),
        None => parsed.id,
    })
}

/// Groups names that hold their kinds. A name without a kind is of the kind before it.
fn by_kind<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<KindSelection>, CliError> {
    let mut selections: Vec<KindSelection> = Vec::new();
    for name in names {
        let (kind, id) = match (name.contains('/'), selections.last()) {
            (false, Some(last)) => (last.kind, name.to_owned()),
            (_, _) => object_name::parse_with_kind(name)?,
        };
        match selections.iter_mut().find(|it| it.kind.name == kind.name) {
            Some(selection) => selection.names.push(id),
            None => selections.push(KindSelection {
                kind,
                names: vec![id],
            }),
        }
    }
    Ok(selections)
}

/// Fetches the objects of a kind by name, or all of them. Missing objects do not hide the others.
pub async fn fetch(
    admin: &mut AdminClient,
    kind: &'static ApiResourceKind,
    names: &[String],
    labels: &LabelSelector,
) -> Result<FoundObjects, CliError> {
    let mut found = FoundObjects::default();
    if names.is_empty() {
        found.objects = admin.list(kind).await?;
    }
    for name in names {
        let full = kind.resource_name(admin.organization(), name);
        match admin.get(kind, &full).await {
            Ok(object) => found.objects.push(object),
            Err(fault) if fault.kind == CliErrorKind::NotFound => found.missing.push(fault),
            Err(fault) => return Err(fault),
        }
    }
    if !labels.is_empty() {
        if !kind.desired {
            return Err(
                CliError::usage(format!("{} have no labels", kind.plural)).with_next_step(
                    "select them by name; labels are on the kinds that `toolgate get all` shows",
                ),
            );
        }
        found.objects.retain(|object| labels.selects(object));
    }
    Ok(found)
}

/// Joins the errors of several missing objects to one.
pub fn missing_objects(missing: Vec<CliError>) -> Result<(), CliError> {
    let mut missing = missing.into_iter();
    let Some(first) = missing.next() else {
        return Ok(());
    };
    Err(missing.fold(first, |fault, other| with_other_error(fault, &other)))
}

/// Adds the message of an earlier error.
pub fn with_other_error(fault: CliError, other: &CliError) -> CliError {
    fault.with_note(format!("and {}", other.message))
}

#[cfg(test)]
mod tests;
