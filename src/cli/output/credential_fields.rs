//! Formats the headers and query parameters of a credential.

use serde_json::Value;
use toolgate_model::FieldPlace;

/// Returns the fields of a stored credential.
pub fn stored_fields(credential: &Value) -> Vec<(FieldPlace, &str)> {
    let spec = &credential["spec"];
    let one = spec["staticHeader"]["header"].as_str();
    let names = |list: &'static str, name: &'static str| {
        let list = spec["requestFields"][list].as_array();
        list.into_iter()
            .flatten()
            .filter_map(move |it| it[name].as_str())
    };
    let headers = one.into_iter().chain(names("headers", "header"));
    let headers = headers.map(|name| (FieldPlace::Header, name));
    let query = names("query", "name").map(|name| (FieldPlace::Query, name));
    headers.chain(query).collect()
}

/// Lists the fields of a credential: headers by name, query parameters after `?`.
pub fn field_list(credential: &Value) -> String {
    let fields = stored_fields(credential).into_iter();
    let fields: Vec<String> = fields
        .map(|(place, name)| match place {
            FieldPlace::Header => name.to_owned(),
            FieldPlace::Query => format!("?{name}"),
        })
        .collect();
    match fields.is_empty() {
        true => "-".to_owned(),
        false => fields.join(","),
    }
}

/// Returns the flag of `credential set` that names a field, such as `--header x-api-key`.
pub fn flag(place: FieldPlace, name: &str) -> String {
    match place {
        FieldPlace::Header => format!("--header {name}"),
        FieldPlace::Query => format!("--query {name}"),
    }
}

/// Returns the command that reads new values of all fields of a credential. A single field needs no name.
pub fn set_command(id: &str, credential: Option<&Value>) -> String {
    let stored = credential.map(stored_fields).unwrap_or_default();
    let mut command = format!("toolgate credential set {id}");
    if stored.len() > 1 {
        for (place, name) in stored {
            command += &format!(" {}", flag(place, name));
        }
    }
    command
}

/// Describes the fields of a credential, such as `headers x-app-id and x-app-key, query parameter api_key`.
pub fn summary(credential: &Value) -> String {
    let stored = stored_fields(credential);
    let of = |wanted, one: &str, several: &str| {
        let names = stored.iter().filter(|(place, _)| *place == wanted);
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        let word = if names.len() == 1 { one } else { several };
        (!names.is_empty()).then(|| format!("{word} {}", names.join(" and ")))
    };
    let headers = of(FieldPlace::Header, "header", "headers");
    let query = of(FieldPlace::Query, "query parameter", "query parameters");
    let parts: Vec<String> = headers.into_iter().chain(query).collect();
    parts.join(", ")
}
