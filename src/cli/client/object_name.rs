//! Names of objects at the command line: an id, `kind/id`, or a full resource name as `-o name` prints it.

use crate::cli::{
    client::{admin::AdminConnectionOptions, kind::ApiResourceKind},
    output::error::CliError,
};

/// Name of an object, with its organization if the name holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedObjectName {
    /// Organization of a full resource name.
    pub organization: Option<String>,
    /// Id within its kind.
    pub id: String,
}

/// Parses a name of a kind.
pub fn parse(kind: &'static ApiResourceKind, name: &str) -> Result<TypedObjectName, CliError> {
    let plain = |id: &str| TypedObjectName {
        organization: None,
        id: id.to_owned(),
    };
    let parts: Vec<_> = name.split('/').collect();
    match parts.as_slice() {
        [id] => Ok(plain(id)),
        [word, id] => match ApiResourceKind::parse(word)? {
            found if found.name == kind.name => Ok(plain(id)),
            found => Err(of_other_kind(name, kind, found.plural)),
        },
        ["organizations", organization, plural, id]
            if kind.in_organization && *plural == kind.plural =>
        {
            Ok(TypedObjectName {
                organization: Some((*organization).to_owned()),
                id: (*id).to_owned(),
            })
        }
        ["organizations", _, plural, _] => Err(of_other_kind(name, kind, plural)),
        _ => Err(not_a_name(name, kind)),
    }
}

/// Parses a name that also names its kind: `kind/id`, or a full resource name.
pub fn parse_with_kind(name: &str) -> Result<(&'static ApiResourceKind, String), CliError> {
    let parts: Vec<_> = name.split('/').collect();
    match parts.as_slice() {
        ["organizations", _, plural, _] => Ok((ApiResourceKind::parse(plural)?, name.to_owned())),
        [word, id] => Ok((ApiResourceKind::parse(word)?, (*id).to_owned())),
        [word, ..] => {
            let kind = ApiResourceKind::parse(word)?;
            Err(not_a_name(name, kind))
        }
        [] => Err(CliError::usage("a name is empty")
            .with_next_step("give an id, `kind/id`, or the full name that `-o name` prints")),
    }
}

/// Replaces names by their ids. The organization of full resource names becomes the one of the connection, also for the
/// plain ids beside them.
pub fn localize<'a>(
    connection: &mut AdminConnectionOptions,
    names: impl IntoIterator<Item = (&'static ApiResourceKind, &'a mut String)>,
) -> Result<(), CliError> {
    let mut named: Option<String> = None;
    for (kind, name) in names {
        let parsed = parse(kind, name)?;
        if let Some(organization) = parsed.organization {
            if let Some(other) = named.filter(|other| *other != organization) {
                return Err(CliError::usage(format!(
                    "`{name}` is of another organization than `{other}`"
                ))
                .with_next_step("name objects of one organization per command"));
            }
            named = Some(organization);
        }
        *name = parsed.id;
    }
    if let Some(organization) = named {
        connection.organization = organization;
    }
    Ok(())
}

fn of_other_kind(name: &str, kind: &ApiResourceKind, found: &str) -> CliError {
    CliError::usage(format!(
        "`{name}` is of the {found}, not of the {}",
        kind.plural
    ))
    .with_next_step("name one kind per command")
}

fn not_a_name(name: &str, kind: &ApiResourceKind) -> CliError {
    CliError::usage(format!(
        "`{name}` is not the name of {}",
        kind.with_article()
    ))
    .with_next_step(format!(
        "`toolgate get {}` lists what there is",
        kind.plural
    ))
}

#[cfg(test)]
mod tests;
