//! Forms in which objects are shown: rows of a table, and documents that `apply` accepts.

use serde_json::{Value, json};

use crate::cli::client::{kind::ApiResourceKind, manifest::API_VERSION};

/// Options of tables of objects.
#[derive(Debug, Default, Clone, Copy)]
pub struct TableOptions {
    /// Adds a column with the labels.
    pub show_labels: bool,
    /// Writes names as `kind/name`.
    pub with_kind: bool,
}

/// Returns the headings and rows of a table of objects.
pub fn table_of(
    kind: &ApiResourceKind,
    objects: &[Value],
    wide: bool,
    options: &TableOptions,
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let now = crate::cli::now();
    let columns = kind.columns().iter().filter(|column| wide || !column.wide);
    let columns: Vec<_> = columns.collect();
    let mut headings: Vec<_> = columns.iter().map(|column| column.heading).collect();
    if options.show_labels {
        headings.push("LABELS");
    }
    let row = |object: &Value| {
        let cells = columns.iter().map(|column| (column.text)(object, now));
        let mut cells: Vec<_> = cells.collect();
        if let (true, Some(name)) = (options.with_kind, cells.first_mut()) {
            *name = format!("{}/{name}", kind.field());
        }
        if options.show_labels {
            cells.push(labels_of(object));
        }
        cells
    };
    (headings, objects.iter().map(row).collect())
}

/// Formats the labels of an object as `key=value`, joined by commas.
pub fn labels_of(object: &Value) -> String {
    let labels = object["metadata"]["labels"].as_object();
    let labels = labels.into_iter().flatten();
    let labels: Vec<_> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    match labels.is_empty() {
        true => "-".to_owned(),
        false => labels.join(","),
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
    for member in ["displayName", "labels", "uid", "resourceVersion"] {
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
