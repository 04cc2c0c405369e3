//! Documents that operators write: YAML with `apiVersion`, `kind`, `metadata` and `spec`, several in a file, files in
//! folders. A fault names file, line, column and field.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use prost_reflect::MessageDescriptor;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, json};
use serde_path_to_error::{Path as Trail, Segment, Track};

use super::{fault::Fault, kind::Kind, known, schema};

/// The only version of documents so far.
pub const API_VERSION: &str = "toolgate/v1";
/// Largest file read.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;
/// What the reader of the contract says of a duration that is none.
const NO_DURATION: &str = "failed to parse duration";
/// Deepest folder searched.
const DEEPEST: usize = 16;

/// One document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its kind.
    pub kind: &'static Kind,
    /// Id of the object.
    pub id: String,
    /// Organization it belongs to, where it names one.
    pub organization: Option<String>,
    /// The object as proto JSON: labels, display name, spec.
    pub object: Value,
    /// File and line where it begins.
    pub place: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Head {
    api_version: String,
    kind: String,
    metadata: DocumentMetadata,
    #[serde(default, rename = "spec")]
    _spec: Option<IgnoredAny>,
    #[serde(default, rename = "status")]
    _status: Option<IgnoredAny>,
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
}

/// All documents of `-f`: a file, a folder (its .yaml, .yml and .json files, in order of name), or `-`.
pub fn read(source: &Path) -> Result<Vec<Document>, Fault> {
    let mut documents = Vec::new();
    for file in files(source)? {
        let label = if is_stdin(&file) {
            "standard input".into()
        } else {
            file.display().to_string()
        };
        documents.extend(parse(&label, &text_of(&file)?)?);
    }
    if documents.is_empty() {
        return Err(Fault::error(format!("{}: no documents", source.display())));
    }
    // Stable: within a kind the order of the files stays.
    documents.sort_by_key(|document| document.kind.rank());
    Ok(documents)
}

/// The documents in `text`, which came from `label`.
pub fn parse(label: &str, text: &str) -> Result<Vec<Document>, Fault> {
    split(text)
        .iter()
        .map(|(line, padded)| document(label, *line, padded))
        .collect()
}

fn document(label: &str, line: usize, text: &str) -> Result<Document, Fault> {
    let head: Head = seeded(label, text, std::marker::PhantomData, |_, _| None)?;
    let place = format!("{label}:{line}");
    if head.api_version != API_VERSION {
        return Err(
            Fault::error(format!("{place}: apiVersion is `{}`", head.api_version))
                .next(format!("write `apiVersion: {API_VERSION}`")),
        );
    }
    let Some(kind) = Kind::of_document(&head.kind) else {
        return Err(Fault::error(format!("{place}: kind is `{}`", head.kind))
            .note("kinds: Organization, Credential, Server, Gateway, Token"));
    };
    let contract = schema::message(&format!("{}Spec", kind.name))?;
    let within = |trail: &Trail, reason: &str| advice(&contract, trail, reason);
    let spec = seeded(label, text, SpecOf(contract.clone()), within)?.unwrap_or_else(|| json!({}));
    let metadata = head.metadata;
    let object = json!({
        "metadata": {
            "displayName": metadata.display_name,
            "labels": metadata.labels,
            "resourceVersion": metadata.resource_version,
        },
        "spec": spec,
    });
    Ok(Document {
        kind,
        id: metadata.name,
        organization: metadata.organization,
        object,
        place,
    })
}

/// The names along a trail.
fn fields(trail: &Trail) -> impl Iterator<Item = &str> {
    trail.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// What to write instead at a place within `spec`: the words that may stand there if there are only some, the field that
/// was probably meant, the form of a duration.
fn advice(contract: &MessageDescriptor, trail: &Trail, reason: &str) -> Option<String> {
    let fields = fields(trail).skip_while(|field| *field == "spec");
    if let Some(word) = unknown_field(reason) {
        let known = schema::members(contract, fields)?;
        let meant = known::nearest(word, known.iter().map(String::as_str));
        return Some(match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("one of: {}", known.join(", ")),
        });
    }
    if reason == NO_DURATION {
        return Some("write seconds, such as `90s` or `0.5s`".to_owned());
    }
    schema::words(contract, fields).map(|words| format!("one of: {words}"))
}

/// The name in a sentence about a field that does not exist.
fn unknown_field(reason: &str) -> Option<&str> {
    let rest = reason.strip_prefix("unrecognized field name")?;
    rest.split('\'').nth(1)
}

/// Reads the one document in `text` with a seed; what fails is told with line, column and field, and with what `advice`
/// has to say about it.
fn seeded<'de, S>(
    label: &str,
    text: &'de str,
    seed: S,
    advice: impl Fn(&Trail, &str) -> Option<String>,
) -> Result<S::Value, Fault>
where
    S: DeserializeSeed<'de>,
{
    let mut track = Track::new();
    let read = serde_saphyr::with_deserializer_from_str(text, |yaml| {
        seed.deserialize(serde_path_to_error::Deserializer::new(yaml, &mut track))
    });
    read.map_err(|error| {
        let reason = plain_reason(&error);
        let place = match error.location() {
            Some(at) => {
                let (line, column) = at_member(text, (at.line(), at.column()), &reason);
                format!("{label}:{line}:{column}")
            }
            None => label.to_owned(),
        };
        let trail = track.path();
        // Where the parser itself stopped, the last step is not known.
        let path = trail.to_string();
        let path = path.trim_end_matches('?').trim_end_matches('.');
        let known = !path.is_empty();
        let field = if known {
            format!("{path}: ")
        } else {
            String::new()
        };
        let fault = Fault::error(format!("{place}: {field}{reason}"));
        match advice(&trail, &reason) {
            Some(advice) => fault.note(advice),
            None => fault,
        }
    })
}

/// An unknown member is reported where its object begins; this is where the member itself stands.
fn at_member(text: &str, at: (u64, u64), reason: &str) -> (u64, u64) {
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

/// The parser's sentence without the place, which stands in front already, and without the quoted source.
fn plain_reason(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let at = line.find(" at line ").unwrap_or(line.len());
    let line = line[..at].trim_end_matches(',');
    match line.strip_prefix("duplicate mapping key: ") {
        // The rest speaks to programmers.
        Some(rest) => format!(
            "`{}` stands there twice",
            rest.split(',').next().unwrap_or(rest)
        ),
        None => line.to_owned(),
    }
}

/// Picks `spec` out of a document and reads it as a message, so that faults keep their place.
struct SpecOf(MessageDescriptor);

impl<'de> DeserializeSeed<'de> for SpecOf {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Self::Value, D::Error> {
        document.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for SpecOf {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut spec = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "spec" {
                let message = map.next_value_seed(self.0.clone())?;
                let json = schema::to_json(&message).map_err(serde::de::Error::custom)?;
                spec = Some(json);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(spec)
    }
}

/// The documents of a stream, each with the line at which it begins, and padded with empty lines so that places are
/// those of the whole file. A line that starts with `---` ends a document wherever it stands.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let marker = line == "---" || line.starts_with("--- ");
        if marker {
            documents.push((index + 2, "\n".repeat(index + 1)));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let says_something = |text: &str| {
        let content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        text.lines().any(|line| content(&line))
    };
    documents.retain(|(_, text)| says_something(text));
    documents
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn text_of(file: &Path) -> Result<String, Fault> {
    let mut text = String::new();
    let read = if is_stdin(file) {
        std::io::stdin()
            .take(LARGEST_FILE)
            .read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text))
    };
    match read {
        Ok(length) if length as u64 == LARGEST_FILE => Err(Fault::error(format!(
            "{}: larger than {LARGEST_FILE} bytes",
            file.display()
        ))),
        Ok(_) => Ok(text),
        Err(error) => Err(Fault::error(format!(
            "cannot read {}: {error}",
            file.display()
        ))),
    }
}

fn files(source: &Path) -> Result<Vec<PathBuf>, Fault> {
    if is_stdin(source) || !source.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut found = Vec::new();
    search(source, DEEPEST, &mut found)
        .map_err(|error| Fault::error(format!("cannot read {}: {error}", source.display())))?;
    found.sort();
    Ok(found)
}

fn search(folder: &Path, deeper: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && deeper > 0 {
            search(&path, deeper - 1, found)?;
        } else if path
            .extension()
            .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|e| end == *e))
        {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
