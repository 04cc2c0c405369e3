//! Validation of the tool changes of a binding, shared by the admin API and pushes.

use std::collections::BTreeMap;

use crate::{field, invalid::FieldViolation, limits};

/// Validates the optional description of a tool.
pub(crate) fn description(given: Option<&String>) -> Result<Option<String>, FieldViolation> {
    let checked = given.map(|it| field::bounded("description", it, limits::DESCRIPTION));
    checked.transpose()
}

/// Validates arguments set on every call, each as JSON. The JSON itself is validated by its readers.
pub(crate) fn fixed(
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, FieldViolation> {
    field::max_count("fixed", given.len(), limits::ARGUMENTS)?;
    let one = |(name, json): (&String, &String)| {
        let path = format!("fixed[{name:?}]");
        let name = field::required(&path, name, limits::ARGUMENT_NAME)?;
        let json = field::required(&path, json, limits::ARGUMENT_VALUE)?;
        Ok((name, json))
    };
    given.iter().map(one).collect()
}

/// Validates hidden arguments.
pub(crate) fn hidden(given: &[String]) -> Result<Vec<String>, FieldViolation> {
    field::max_count("hidden", given.len(), limits::ARGUMENTS)?;
    let one = |(at, name): (usize, &String)| {
        field::required(&format!("hidden[{at}]"), name, limits::ARGUMENT_NAME)
    };
    given.iter().enumerate().map(one).collect()
}
