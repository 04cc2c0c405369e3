//! The table of kinds (`shared/model/src/kind.rs`) is the only list of all kinds: a new kind is a row there, its schema and
//! the conversion of its message, and rules of its own where it has any.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Maximum number of files outside tests that name one kind.
const FILES_PER_KIND: usize = 6;
/// Enums with one variant for each kind.
const ENUMS: &[&str] = &[
    "ObjectKind",
    "ObjectKey",
    "ControlObject",
    "OperatorObject",
    "StoredObject",
];
const SOURCES: &[&str] = &["control-plane", "shared", "src"];
const TABLE: &str = "shared/model/src/kind.rs";

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Returns the Rust files outside tests of the crates that handle kinds, by their path from the root.
fn sources() -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut queue: Vec<PathBuf> = SOURCES.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = queue.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            let shown = path.strip_prefix(root())?.display().to_string();
            if is_test(&shown) {
                continue;
            }
            if path.is_dir() {
                queue.push(path);
            } else if Path::new(&shown).extension().is_some_and(|it| it == "rs") {
                found.insert(shown, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(found)
}

/// Returns `true` for tests and for the fixtures and generators of tests.
fn is_test(path: &str) -> bool {
    [
        "tests",
        "tests.rs",
        "fixture.rs",
        "strategies.rs",
        "memory.rs",
    ]
    .iter()
    .any(|name| path.ends_with(&format!("/{name}")))
}

/// Returns the kinds of the table: the first word of every row.
fn kinds(table: &str) -> Vec<String> {
    let rows = table.lines().map(str::trim);
    let rows = rows.filter_map(|line| line.split_once("($crate::"));
    let kinds = rows.map(|(kind, _)| kind.to_owned());
    kinds
        .filter(|kind| kind.chars().all(char::is_alphanumeric))
        .collect()
}

/// Returns the kinds that a source names as a variant, or as a row of a list of kinds with code of their own.
fn named(source: &str, kinds: &[String]) -> BTreeSet<String> {
    let names = |kind: &&String| {
        let row = format!("({kind}, $Object:ty)");
        let variants = ENUMS.iter().map(|name| format!("{name}::{kind}"));
        source.contains(&row)
            || variants.into_iter().any(|variant| {
                let mut uses = source.match_indices(&variant);
                uses.any(|(at, _)| {
                    let after = source.get(at + variant.len()..).unwrap_or_default();
                    !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                })
            })
    };
    kinds.iter().filter(names).cloned().collect()
}

#[test]
fn a_kind_is_named_in_few_files() {
    let sources = sources().unwrap();
    let kinds = kinds(&sources[TABLE]);
    assert!(
        kinds.len() >= 7,
        "the rows of the table are not found: {kinds:?}"
    );
    let mut offences = Vec::new();
    for kind in &kinds {
        let own = |(_, source): &(&String, &String)| named(source, &kinds).contains(kind);
        let files: Vec<&String> = sources.iter().filter(own).map(|(path, _)| path).collect();
        if files.len() > FILES_PER_KIND {
            offences.push(format!(
                "{kind} stands in {} files: {files:#?}",
                files.len()
            ));
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn no_file_but_the_table_lists_all_kinds() {
    let sources = sources().unwrap();
    let kinds = kinds(&sources[TABLE]);
    let all = |(_, source): &(&String, &String)| named(source, &kinds).len() >= kinds.len();
    let lists: Vec<&String> = sources.iter().filter(all).map(|(path, _)| path).collect();
    assert!(lists.is_empty(), "use the table instead: {lists:#?}");
}
