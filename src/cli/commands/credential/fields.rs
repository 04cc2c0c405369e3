//! Headers and query parameters of a credential at the command line. Their values come from files, from a prompt or from
//! standard input: other users of the machine can see arguments.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use toolgate_model::FieldPlace;

use crate::cli::output::{credential_fields::stored_fields, error::CliError, prompt};

/// Header of a new credential without any other.
const DEFAULT_HEADER: &str = "Authorization";
/// Maximum size of a file with a value in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Header or query parameter as given, whose value is yet to be read.
#[derive(PartialEq, Eq)]
pub struct GivenField {
    place: FieldPlace,
    name: String,
    source: ValueSource,
}

/// Source of a value.
#[derive(PartialEq, Eq)]
enum ValueSource {
    /// Prompt or standard input.
    Input,
    File(PathBuf),
    Argument(String),
}

/// Header or query parameter with its value.
#[derive(Clone)]
pub struct ValuedField {
    place: FieldPlace,
    name: String,
    value: String,
}

impl GivenField {
    /// Header of a new credential, if none is given.
    pub fn default_header() -> Self {
        Self::unread(FieldPlace::Header, DEFAULT_HEADER)
    }

    /// Returns a field whose value is read from the prompt or from standard input.
    pub fn unread(place: FieldPlace, name: &str) -> Self {
        Self {
            place,
            name: name.to_owned(),
            source: ValueSource::Input,
        }
    }

    /// Parses a header as `NAME=VALUE`, `NAME: VALUE`, `NAME=-` for a value that is read, or `NAME=@FILE` for one in a file.
    pub fn parse_pair(given: &str) -> Result<Self, CliError> {
        let cut = given.split_once(['=', ':']);
        let Some((name, value)) = cut.filter(|(name, _)| !name.is_empty()) else {
            return Err(CliError::usage(
                "a header is NAME=VALUE, e.g. --header 'Authorization=Bearer …'",
            ));
        };
        Ok(Self {
            place: FieldPlace::Header,
            name: name.trim().to_owned(),
            source: match (value.trim(), value.trim().strip_prefix('@')) {
                ("-", _) => ValueSource::Input,
                (_, Some(file)) if !file.is_empty() => ValueSource::File(file.into()),
                (value, _) => ValueSource::Argument(value.to_owned()),
            },
        })
    }

    /// Parses `NAME` or `NAME=@FILE`. An error does not repeat what may be a value.
    pub fn parse(place: FieldPlace, given: &str) -> Result<Self, CliError> {
        let option = match place {
            FieldPlace::Header => "--header",
            FieldPlace::Query => "--query",
        };
        let (name, source) = match given.split_once(['=', ':']) {
            None | Some((_, "-")) => {
                let name = given.strip_suffix("=-").unwrap_or(given);
                (name, ValueSource::Input)
            }
            Some((name, source)) => match source.strip_prefix('@') {
                Some(file) if !file.is_empty() => (name, ValueSource::File(file.into())),
                Some(_) | None => {
                    return Err(CliError::usage(format!(
                        "{option} {name}: a value is no argument, because other users of the machine can see it"
                    ))
                    .with_next_step(format!(
                        "`{option} {name}` reads it from a prompt or from standard input, `{option} {name}=@FILE` from a file"
                    )));
                }
            },
        };
        if name.is_empty() {
            return Err(CliError::usage(format!(
                "{option}: the name is missing, e.g. `{option} {}`",
                match place {
                    FieldPlace::Header => "X-Api-Key",
                    FieldPlace::Query => "api_key",
                }
            )));
        }
        Ok(Self {
            place,
            name: name.to_owned(),
            source,
        })
    }

    /// Returns the name of a query parameter, if the field is one.
    pub fn query_parameter(&self) -> Option<&str> {
        (self.place == FieldPlace::Query).then_some(&*self.name)
    }

    /// Describes the field, such as `header X-Api-Key`.
    fn described(&self) -> String {
        match self.place {
            FieldPlace::Header => format!("header {}", self.name),
            FieldPlace::Query => format!("query parameter {}", self.name),
        }
    }
}

/// Reads the values of all fields: those without a file from a prompt each, or from standard input, one line each. `command`
/// is the command that reads them.
pub fn read_values(
    given: Vec<GivenField>,
    credential: &str,
    command: &str,
) -> Result<Vec<ValuedField>, CliError> {
    let prompts = given
        .iter()
        .filter(|field| field.source == ValueSource::Input);
    let prompts: Vec<String> = prompts
        .map(|field| {
            format!(
                "value of the {} of the credential {credential}",
                field.described()
            )
        })
        .collect();
    let mut typed = prompt::read_secrets(&prompts)?.into_iter();
    let mut valued = Vec::new();
    for field in given {
        let described = field.described();
        let value = match field.source {
            ValueSource::File(file) => read_file(&file)?,
            ValueSource::Input => typed.next().unwrap_or_default(),
            ValueSource::Argument(value) => value,
        };
        if value.trim().is_empty() {
            return Err(
                CliError::usage(format!("no value was given for the {described}")).with_next_step(
                    format!(
                        "type it at the prompt, or pass it: `printf %s \"$VALUE\" | {command}`"
                    ),
                ),
            );
        }
        valued.push(ValuedField {
            place: field.place,
            name: field.name,
            value,
        });
    }
    Ok(valued)
}

/// Returns a warning if the value of the header `Authorization` has no scheme (RFC 9110, section 11.6.2). It does not repeat the
/// value.
pub fn scheme_warning(values: &[ValuedField]) -> Option<&'static str> {
    let mut values = values.iter();
    let has_no_scheme = |field: &ValuedField| {
        field.place == FieldPlace::Header
            && field.name.eq_ignore_ascii_case(DEFAULT_HEADER)
            && !field.value.trim().contains(' ')
    };
    values.any(has_no_scheme).then_some(
        "warning: the value of Authorization has no scheme: most servers expect `Bearer` and a space before a token; next: \
         `toolgate credential set` writes the value anew",
    )
}

/// Returns `true` if each value belongs to the field at the same position.
pub fn are_values_of(values: &[ValuedField], fields: &[GivenField]) -> bool {
    let is_of = |(value, field): (&ValuedField, &GivenField)| {
        value.place == field.place && value.name.eq_ignore_ascii_case(&field.name)
    };
    values.len() == fields.len() && values.iter().zip(fields).all(is_of)
}

/// Reads a value from a file. Line ends at its end are left out.
fn read_file(file: &Path) -> Result<String, CliError> {
    let shown = file.display();
    let mut text = String::new();
    let opened = File::open(file);
    let read = opened.and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| CliError::error(format!("cannot read {shown}: {error}")))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(CliError::usage(format!(
            "{shown}: more than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Writes the fields to the spec of a credential. One header that is given for a credential of one header takes its
/// place. Otherwise the fields are added to the stored ones, which keep their values, unless `replace` is set.
pub fn write_fields(credential: &mut Value, given: Vec<ValuedField>, replace: bool) {
    let stored = stored_fields(credential);
    let is_static = credential["spec"]["staticHeader"].is_object();
    let single = |places: &[FieldPlace]| places == [FieldPlace::Header];
    let places: Vec<_> = given.iter().map(|field| field.place).collect();
    let takes_place = is_static && single(&places);
    let mut fields: Vec<(FieldPlace, String, Option<String>)> = Vec::new();
    if !replace && !takes_place {
        let stored = stored.into_iter();
        fields.extend(stored.map(|(place, name)| (place, name.to_owned(), None)));
    }
    for field in given {
        let known = fields.iter_mut().find(|(place, name, _)| {
            *place == field.place && name.eq_ignore_ascii_case(&field.name)
        });
        let field = (field.place, field.name, Some(field.value));
        match known {
            Some(known) => *known = field,
            None => fields.push(field),
        }
    }
    let places: Vec<_> = fields.iter().map(|(place, ..)| *place).collect();
    let was_several = credential["spec"]["requestFields"].is_object();
    if let Some(spec) = credential["spec"].as_object_mut() {
        spec.remove("staticHeader");
        spec.remove("requestFields");
    }
    let member = |name: &str, (_, field, value): &(FieldPlace, String, Option<String>)| {
        let mut member = json!({ name: field });
        if let Some(value) = value {
            member["value"] = json!(value);
        }
        member
    };
    if let ([only], true) = (&*fields, single(&places) && !was_several) {
        credential["spec"]["staticHeader"] = member("header", only);
        return;
    }
    let of = |wanted, name: &str| -> Vec<Value> {
        let fields = fields.iter().filter(|(place, ..)| *place == wanted);
        fields.map(|field| member(name, field)).collect()
    };
    credential["spec"]["requestFields"] = json!({
        "headers": of(FieldPlace::Header, "header"),
        "query": of(FieldPlace::Query, "name"),
    });
}

#[cfg(test)]
mod tests;
