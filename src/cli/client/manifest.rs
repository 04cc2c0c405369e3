//! Reads documents that operators write: YAML with `apiVersion`, `kind`, `metadata` and `spec`. A file may hold
//! several documents, a folder several files. Errors name file, line, column and field.

pub mod field_location;
mod spec_seed;

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use prost_reflect::MessageDescriptor;
use serde::{
    Deserialize,
    de::{DeserializeSeed, IgnoredAny},
};
use serde_json::{Value, json};
use serde_path_to_error::{Path as Trail, Segment, Track};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy};

use self::spec_seed::SpecSeed;
use crate::cli::{
    client::{kind::ApiResourceKind, schema, suggestions},
    output::error::CliError,
};

/// Supported version of documents.
pub const API_VERSION: &str = "toolgate/v1";
/// Maximum size of a file in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Error message of the deserializer for an invalid duration.
const DURATION_PARSE_ERROR: &str = "failed to parse duration";
/// Maximum depth of the search in folders.
const MAX_FOLDER_DEPTH: usize = 16;

/// Document of one object.
#[derive(Debug, Clone)]
pub struct ManifestDocument {
    /// Kind of the object.
    pub kind: &'static ApiResourceKind,
    /// Id of the object.
    pub id: String,
    /// Organization, if the document names one.
    pub organization: Option<String>,
    /// Object as proto JSON: labels, display name and spec.
    pub object: Value,
    /// File and line of its beginning.
    pub location: String,
    /// Observed state, if the document was made from an object. It is not written.
    pub status: Value,
    /// File, or standard input.
    label: String,
    /// Number of lines before the document in its file.
    lines_before: usize,
    /// Text of the document.
    text: String,
}

/// Document of a file, not yet parsed.
struct DocumentText<'a> {
    label: &'a str,
    /// Number of lines before it in the file.
    lines_before: usize,
    text: &'a str,
}

impl ManifestDocument {
    /// Returns file, line and column of the field that a message of the control plane begins with, or the beginning of
    /// the document.
    pub fn location_of(&self, message: &str) -> String {
        let field = field_location::field_of(message);
        let found = field.and_then(|field| field_location::find(&self.text, field));
        match found {
            Some((line, column)) => {
                let line = line + self.lines_before as u64;
                format!("{}:{line}:{column}", self.label)
            }
            None => self.location.clone(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentHeader {
    api_version: String,
    kind: String,
    metadata: DocumentMetadata,
    #[serde(default, rename = "spec")]
    _spec: Option<IgnoredAny>,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentMetadata {
    name: String,
    #[serde(default)]
    organization: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    resource_version: String,
    // As `get -o yaml` prints it. Assigned by the control plane.
    #[serde(default, rename = "uid")]
    _uid: Option<IgnoredAny>,
}

/// Reads all documents of `-f`: a file, a folder (its .yaml, .yml and .json files, in order of name), or `-`.
pub fn read(source: &Path) -> Result<Vec<ManifestDocument>, CliError> {
    let mut documents = Vec::new();
    for file in manifest_files(source)? {
        let label = if is_stdin(&file) {
            "standard input".into()
        } else {
            file.display().to_string()
        };
        documents.extend(parse(&label, &read_text(&file)?)?);
    }
    if documents.is_empty() {
        return Err(
            CliError::error(format!("{}: no documents", source.display())).with_next_step(format!(
                "a document has `apiVersion: {API_VERSION}`, `kind`, `metadata` and `spec`; `toolgate get KIND NAME -o yaml` \
                 prints one"
            )),
        );
    }
    // A stable sort keeps the order of the files within a kind.
    documents.sort_by_key(|document| document.kind.rank());
    Ok(documents)
}

/// Parses the documents in `text`. Errors name `label` as its source.
pub fn parse(label: &str, text: &str) -> Result<Vec<ManifestDocument>, CliError> {
    let documents = split_documents(text).into_iter();
    let written = documents.map(|(lines_before, text)| DocumentText {
        label,
        lines_before,
        text,
    });
    written.map(|document| parse_document(&document)).collect()
}

fn parse_document(written: &DocumentText<'_>) -> Result<ManifestDocument, CliError> {
    let (label, text) = (written.label, written.text);
    let head: DocumentHeader = deserialize_with(written, std::marker::PhantomData, |_, _| None)?;
    let location = format!("{label}:{}", written.lines_before + 1);
    if head.api_version != API_VERSION {
        return Err(
            CliError::error(format!("{location}: apiVersion is `{}`", head.api_version))
                .with_next_step(format!("write `apiVersion: {API_VERSION}`")),
        );
    }
    let Some(kind) = ApiResourceKind::of_document(&head.kind) else {
        return Err(
            CliError::error(format!("{location}: kind is `{}`", head.kind))
                .with_note("kinds: Organization, Credential, Server, Gateway, Token")
                .with_next_step("`toolgate explain` tells what each kind is for, `toolgate explain KIND` its fields"),
        );
    };
    let contract = schema::message(&format!("{}Spec", kind.name))?;
    let within = |trail: &Trail, reason: &str| advice(&contract, trail, reason);
    let spec =
        deserialize_with(written, SpecSeed(contract.clone()), within)?.unwrap_or_else(|| json!({}));
    let metadata = head.metadata;
    let object = json!({
        "metadata": {
            "displayName": metadata.display_name,
            "labels": metadata.labels,
            "resourceVersion": metadata.resource_version,
        },
        "spec": spec,
    });
    Ok(ManifestDocument {
        kind,
        id: metadata.name,
        organization: metadata.organization,
        object,
        location,
        status: head.status,
        label: label.to_owned(),
        lines_before: written.lines_before,
        text: text.to_owned(),
    })
}

/// Returns the field names of a path.
fn fields(trail: &Trail) -> impl Iterator<Item = &str> {
    trail.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// Returns advice for an error within `spec`: the permitted enum values, the field that was probably meant, or the
/// format of a duration.
fn advice(contract: &MessageDescriptor, trail: &Trail, reason: &str) -> Option<String> {
    let fields = fields(trail).skip_while(|field| *field == "spec");
    if let Some(word) = unknown_field(reason) {
        let known = schema::field_names(contract, fields)?;
        let meant = suggestions::nearest(word, known.iter().map(String::as_str));
        return Some(match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("one of: {}", known.join(", ")),
        });
    }
    if reason == DURATION_PARSE_ERROR {
        return Some("write seconds, such as `90s` or `0.5s`".to_owned());
    }
    schema::enum_values(contract, fields).map(|words| format!("one of: {words}"))
}

/// Returns the name in an error message about an unknown field.
fn unknown_field(reason: &str) -> Option<&str> {
    let rest = reason.strip_prefix("unrecognized field name")?;
    rest.split('\'').nth(1)
}

/// Deserializes a document with a seed. Errors name line, column and field, followed by the result of
/// `advice`.
fn deserialize_with<'de, S>(
    written: &DocumentText<'de>,
    seed: S,
    advice: impl Fn(&Trail, &str) -> Option<String>,
) -> Result<S::Value, CliError>
where
    S: DeserializeSeed<'de>,
{
    let (label, text) = (written.label, written.text);
    let mut track = Track::new();
    // A merge key (`<<`) writes members where no reader of the document sees them.
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
    };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        seed.deserialize(serde_path_to_error::Deserializer::new(yaml, &mut track))
    });
    read.map_err(|error| {
        let reason = plain_reason(&error);
        let location = match error.location() {
            Some(at) => {
                let (line, column) = member_location(text, (at.line(), at.column()), &reason);
                let line = line + written.lines_before as u64;
                format!("{label}:{line}:{column}")
            }
            None => label.to_owned(),
        };
        let trail = track.path();
        // If the parser itself failed, the last segment of the path is unknown.
        let path = trail.to_string();
        let path = path.trim_end_matches('?').trim_end_matches('.');
        let known = !path.is_empty();
        let field = if known {
            format!("{path}: ")
        } else {
            String::new()
        };
        let fault = CliError::error(format!("{location}: {field}{reason}"));
        match advice(&trail, &reason) {
            Some(advice) => fault.with_note(advice),
            None => fault,
        }
    })
}

/// Returns the position of an unknown member. The deserializer reports the beginning of its object instead.
fn member_location(text: &str, at: (u64, u64), reason: &str) -> (u64, u64) {
    let Some(name) = unknown_field(reason) else {
        return at;
    };
    let is_member = |line: &str| {
        let (before, after) = line.split_once(name)?;
        let opens = before.chars().all(|c| " -{\"'".contains(c));
        (opens && after.trim_start_matches(['"', '\'']).starts_with(':')).then_some(before.len())
    };
    let begin = usize::try_from(at.0)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    let mut lines = text.lines().enumerate().skip(begin);
    let found = lines.find_map(|(index, line)| Some((index, is_member(line)?)));
    found.map_or(at, |(line, column)| (line as u64 + 1, column as u64 + 1))
}

/// Returns the parser's message without its location, which the error names already, and without the source
/// snippet.
fn plain_reason(error: &serde_saphyr::Error) -> String {
    if matches!(
        error.without_snippet(),
        serde_saphyr::Error::MergeKeyNotAllowed { .. }
    ) {
        return "`<<` merges another mapping: write its members here".to_owned();
    }
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let at = line.find(" at line ").unwrap_or(line.len());
    let line = line[..at].trim_end_matches(',');
    match line.strip_prefix("duplicate mapping key: ") {
        // The rest of the message addresses programmers.
        Some(rest) => format!(
            "`{}` stands there twice",
            rest.split(',').next().unwrap_or(rest)
        ),
        None => line.to_owned(),
    }
}

/// Splits a stream into documents, each with the number of lines before it. A line that starts with `---` always ends a
/// document. Documents without content are left out.
fn split_documents(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut begin, mut lines_before, mut end) = (0, 0, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let content = line.trim_end_matches(['\r', '\n']);
        if content == "---" || content.starts_with("--- ") {
            documents.push((lines_before, &text[begin..end]));
            (begin, lines_before) = (end + line.len(), index + 1);
        }
        end += line.len();
    }
    documents.push((lines_before, &text[begin..]));
    let has_content = |text: &str| {
        let is_content =
            |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        text.lines().any(is_content)
    };
    documents.retain(|(_, text)| has_content(text));
    documents
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn read_text(file: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if is_stdin(file) {
        std::io::stdin()
            .take(MAX_FILE_BYTES)
            .read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
    };
    match read {
        Ok(length) if length as u64 == MAX_FILE_BYTES => Err(CliError::error(format!(
            "{}: larger than {MAX_FILE_BYTES} bytes",
            file.display()
        ))),
        Ok(_) => Ok(text),
        Err(error) => Err(CliError::error(format!(
            "cannot read {}: {error}",
            file.display()
        ))),
    }
}

fn manifest_files(source: &Path) -> Result<Vec<PathBuf>, CliError> {
    if is_stdin(source) || !source.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut found = Vec::new();
    search(source, MAX_FOLDER_DEPTH, &mut found)
        .map_err(|error| CliError::error(format!("cannot read {}: {error}", source.display())))?;
    found.sort();
    Ok(found)
}

/// Adds the documents of a folder, without those behind links to other folders, which may lead back. Pipes and devices are no
/// documents: reading one may never end.
fn search(folder: &Path, deeper: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_document = |path: &Path| {
            let end = path.extension();
            end.is_some_and(|end| ["yaml", "yml", "json"].iter().any(|e| end == *e))
        };
        if entry.file_type()?.is_dir() {
            if deeper > 0 {
                search(&path, deeper - 1, found)?;
            }
        } else if is_document(&path) && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
