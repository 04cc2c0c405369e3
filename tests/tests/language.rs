//! Holds the language of the code to the rules of CONTRIBUTING.md: type names that explain themselves, doc comments that
//! open with a verb or a noun phrase, and comments in plain technical English. The limits are ratchets: they may be
//! lowered, never raised.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Percentage of type names that may consist of one word.
const ONE_WORD_PERCENT: usize = 35;

/// Forbidden words in comments, altogether.
const FORBIDDEN_WORDS_MAX: usize = 0;

/// Doc comments that may open with a word of [`OPENINGS`], altogether: the description of the product does.
const OPENINGS_MAX: usize = 1;

/// Names that several public types may share: everyday words that their module makes clear.
const SHARED_NAMES: &[&str] = &["Error", "Event", "Options", "Output"];

/// Words that look like participles and are not.
const NOT_PARTICIPLES: &[&str] = &[
    "Open", "Token", "Feed", "Seed", "Need", "Speed", "Shed", "Thread", "Listen", "Screen",
    "Garden", "Red",
];

/// Irregular participles, and endings of regular ones.
const PARTICIPLE_ENDINGS: &[&str] = &[
    "ed", "own", "told", "held", "kept", "heard", "said", "sent", "lost", "gone", "taken", "met",
    "begun", "seen", "left",
];

/// Words that a doc comment does not open with: they promise an explanation instead of giving it.
const OPENINGS: &[&str] = &[
    "What", "Who", "How", "Whether", "It", "Where", "When", "Which", "That", "Those", "One",
];

/// Words and word pairs that make a person, or nothing, the subject of a technical sentence.
const FORBIDDEN_WORDS: &[&str] = &[
    "whoever",
    "somebody",
    "nobody",
    "anybody",
    "everybody",
    "whatever",
    "who",
    "one that",
    "those that",
    "those who",
];

const SKIPPED_FOLDERS: &[&str] = &["target", ".git", "node_modules", "__pycache__"];

#[test]
fn public_type_names_are_unique_in_the_workspace() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources().unwrap() {
        for definition in types(&file).into_iter().filter(|it| it.public) {
            let place = format!("{}:{}", file.name, definition.line);
            places.entry(definition.name).or_default().push(place);
        }
    }
    let shared = |name: &String| SHARED_NAMES.contains(&name.as_str());
    let repeated = places
        .iter()
        .filter(|(name, places)| places.len() > 1 && !shared(name));
    let repeated = repeated.map(|(name, places)| format!("{name}: {}", places.join(", ")));
    none(&repeated.collect::<Vec<_>>());
}

#[test]
fn no_type_name_is_a_bare_participle() {
    let mut offences = Vec::new();
    for file in sources().unwrap() {
        for definition in types(&file) {
            if is_participle(&definition.name) {
                offences.push(format!(
                    "{}:{}: {}",
                    file.name, definition.line, definition.name
                ));
            }
        }
    }
    none(&offences);
}

#[test]
fn most_type_names_have_two_words_or_more() {
    let names = sources()
        .unwrap()
        .iter()
        .flat_map(types)
        .map(|it| it.name)
        .collect::<Vec<_>>();
    let one_word = names.iter().filter(|name| words(name) == 1).count();
    let percent = 100 * one_word / names.len().max(1);
    assert!(
        names.len() > 500,
        "only {} types found: is the walk right?",
        names.len()
    );
    assert!(
        percent <= ONE_WORD_PERCENT,
        "{percent} % of {} type names have one word (at most {ONE_WORD_PERCENT} %)",
        names.len()
    );
}

#[test]
fn doc_comments_open_with_a_verb_or_a_noun_phrase() {
    let mut offences = Vec::new();
    for file in sources().unwrap() {
        let mut before = false;
        for (number, line) in file.lines() {
            let doc = line
                .strip_prefix("///")
                .or_else(|| line.strip_prefix("//!"));
            if let Some(text) = doc.filter(|_| !before)
                && OPENINGS
                    .iter()
                    .any(|word| opens_with(text.trim_start(), word))
            {
                offences.push(format!("{}:{number}: {line}", file.name));
            }
            before = doc.is_some();
        }
    }
    at_most(OPENINGS_MAX, &offences);
}

#[test]
fn comments_speak_of_things_and_not_of_somebody() {
    let mut offences = Vec::new();
    for file in sources().unwrap() {
        for (number, line) in file.lines().filter(|(_, line)| line.starts_with("//")) {
            let text = line.to_lowercase();
            for word in FORBIDDEN_WORDS
                .iter()
                .filter(|word| contains_word(&text, word))
            {
                offences.push(format!("{}:{number}: `{word}`: {line}", file.name));
            }
        }
    }
    at_most(FORBIDDEN_WORDS_MAX, &offences);
}

/// A Rust file outside of tests, benches and fuzz targets.
struct SourceFile {
    name: String,
    text: String,
}

/// A struct, enum, trait or type alias.
struct TypeDefinition {
    name: String,
    line: usize,
    public: bool,
}

impl SourceFile {
    /// Returns its lines without indentation, numbered from one.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate();
        numbered.map(|(index, line)| (index + 1, line.trim()))
    }
}

/// Returns the files that the rules apply to.
fn sources() -> Result<Vec<SourceFile>> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut found = Vec::new();
    let mut queue = vec![root.clone()];
    while let Some(folder) = queue.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    queue.push(entry.path());
                }
            } else if name.ends_with(".rs") {
                let path = entry.path();
                let shown = path.strip_prefix(&root).unwrap_or(&path);
                if !is_test(shown) {
                    let name = shown.display().to_string();
                    let text = fs::read_to_string(&path)?;
                    found.push(SourceFile { name, text });
                }
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        matches!(
            name.as_ref(),
            "test"
                | "tests"
                | "test.rs"
                | "tests.rs"
                | "benches"
                | "benches.rs"
                | "fuzz"
                | "generated"
        )
    })
}

/// Returns the types that a file defines, associated types included.
fn types(file: &SourceFile) -> Vec<TypeDefinition> {
    let definition = |(line, text): (usize, &str)| {
        let (public, text) = match text.strip_prefix("pub") {
            Some(rest) if rest.starts_with('(') => (false, rest.split_once(") ")?.1),
            Some(rest) => (true, rest.strip_prefix(' ')?),
            None => (false, text),
        };
        let (keyword, rest) = text.split_once(' ')?;
        if !matches!(keyword, "struct" | "enum" | "trait" | "type") {
            return None;
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let name = rest.get(..end)?.to_owned();
        let first = name.chars().next()?;
        first
            .is_ascii_uppercase()
            .then_some(TypeDefinition { name, line, public })
    };
    file.lines().filter_map(definition).collect()
}

/// Counts the words of a name in camel case.
fn words(name: &str) -> usize {
    name.chars().filter(char::is_ascii_uppercase).count()
}

fn is_participle(name: &str) -> bool {
    if words(name) != 1 || NOT_PARTICIPLES.contains(&name) {
        return false;
    }
    let name = name.to_lowercase();
    let irregular = name.strip_suffix("en").and_then(|stem| stem.chars().last());
    PARTICIPLE_ENDINGS
        .iter()
        .any(|ending| name.ends_with(ending))
        || irregular.is_some_and(|last| !"aeiou".contains(last))
}

fn opens_with(text: &str, word: &str) -> bool {
    let rest = text.strip_prefix(word);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Reports if `text`, in lower case, has `word` between two characters that no word contains.
fn contains_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text.get(..start).and_then(|text| text.chars().last());
        let after = text
            .get(start + word.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn none(offences: &[String]) {
    at_most(0, offences);
}

fn at_most(limit: usize, offences: &[String]) {
    assert!(
        offences.len() <= limit,
        "{} offence(s), at most {limit}:\n{}",
        offences.len(),
        offences.join("\n")
    );
}
