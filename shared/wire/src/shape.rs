//! What a binding changes about single tools: told in the admin API and in pushes alike.

use std::collections::BTreeMap;

use crate::{field, invalid::Violation, limits};

/// A description of a tool, if one is given.
pub(crate) fn description(given: Option<&String>) -> Result<Option<String>, Violation> {
    let checked = given.map(|it| field::bounded("description", it, limits::DESCRIPTION));
    checked.transpose()
}

/// Arguments that every call has, each as JSON. Whether it is JSON is for those to say who read it.
pub(crate) fn fixed(
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Violation> {
    field::cap("fixed", given.len(), limits::ARGUMENTS)?;
    let one = |(name, json): (&String, &String)| {
        let path = format!("fixed[{name:?}]");
        let name = field::required(&path, name, limits::ARGUMENT_NAME)?;
        let json = field::required(&path, json, limits::ARGUMENT_VALUE)?;
        Ok((name, json))
    };
    given.iter().map(one).collect()
}

/// Arguments that no caller gives.
pub(crate) fn hidden(given: &[String]) -> Result<Vec<String>, Violation> {
    field::cap("hidden", given.len(), limits::ARGUMENTS)?;
    let one = |(at, name): (usize, &String)| {
        field::required(&format!("hidden[{at}]"), name, limits::ARGUMENT_NAME)
    };
    given.iter().enumerate().map(one).collect()
}
