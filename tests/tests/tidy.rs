//! The limits and rules of CONTRIBUTING.md, checked over every file of the repository without exceptions. Each failure
//! prints all violations as `file:line`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::Visit;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 80;
const MAIN_LINES: usize = 60;
const FORBIDDEN_NAMES: &[&str] = &[
    "manager", "helper", "util", "common", "misc", "base", "data", "info", "wrapper", "internal",
    "managers", "helpers", "utils", "wrappers",
];
/// Established terms that end in a forbidden word: what hyper and tonic call the peer of a connection.
const ESTABLISHED_NAMES: &[&str] = &["ConnectionInfo"];
const SKIPPED_FOLDERS: &[&str] = &["target", ".git", "node_modules", "__pycache__"];
const CODE: &[&str] = &[
    "rs", "proto", "toml", "sh", "py", "js", "mjs", "yml", "yaml",
];

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn files(extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut queue = vec![root()];
    while let Some(folder) = queue.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    queue.push(entry.path());
                }
            } else if name
                .rsplit_once('.')
                .is_some_and(|(_, e)| extensions.contains(&e))
            {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Returns `true` for a module's `tests.rs`, files of a module's `tests/` folder, and the scenarios.
fn is_test(path: &Path) -> bool {
    let text = shown(path);
    text.ends_with("/tests.rs") || text.contains("/tests/")
}

/// Runs `check` over every Rust file and fails with all violations.
fn check_rust_files(check: impl Fn(&Path, &str, &mut Vec<String>)) {
    let mut offences = Vec::new();
    for path in files(&["rs"]).unwrap_or_default() {
        match fs::read_to_string(&path) {
            Ok(text) => check(&path, &text, &mut offences),
            Err(error) => offences.push(format!("{}: {error}", shown(&path))),
        }
    }
    assert_no_violations(&offences);
}

fn assert_no_violations(offences: &[String]) {
    assert!(
        offences.is_empty(),
        "{} offence(s):\n{}",
        offences.len(),
        offences.join("\n")
    );
}

fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous_lower = false;
    for c in name.chars() {
        if c == '_' || c == '-' || (c.is_uppercase() && previous_lower) {
            words.push(String::new());
        }
        if c != '_'
            && c != '-'
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        previous_lower = c.is_lowercase() || c.is_ascii_digit();
    }
    words
}

/// Checks that need the syntax tree.
struct SyntaxCheck<'a> {
    file: String,
    offences: &'a mut Vec<String>,
}

impl SyntaxCheck<'_> {
    fn report(&mut self, line: usize, what: &str) {
        self.offences.push(format!("{}:{line}: {what}", self.file));
    }

    fn function(&mut self, name: &syn::Ident, span: proc_macro2::Span) {
        let lines = span.end().line.saturating_sub(span.start().line) + 1;
        if lines > FUNCTION_LINES {
            let what = format!("fn {name} has {lines} lines (at most {FUNCTION_LINES})");
            self.report(span.start().line, &what);
        }
    }

    /// A type name may start with such a word (`DataPlane`), but its last word must say what the type is.
    fn type_name(&mut self, name: &syn::Ident) {
        let words = words(&name.to_string());
        if ESTABLISHED_NAMES.contains(&name.to_string().as_str()) {
            return;
        }
        if let Some(last) = words.last()
            && FORBIDDEN_NAMES.contains(&last.as_str())
        {
            self.report(
                name.span().start().line,
                &format!("type {name}: `{last}` says nothing"),
            );
        }
    }
}

fn is_cfg_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("cfg")
            && a.parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    })
}

fn is_crate_glob(tree: &syn::UseTree) -> bool {
    matches!(tree, syn::UseTree::Path(path)
        if path.ident == "crate" && matches!(*path.tree, syn::UseTree::Glob(_)))
}

impl<'ast> Visit<'ast> for SyntaxCheck<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, item.span());
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.sig.ident, item.span());
        syn::visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let line = item.span().start().line;
        if item.content.is_some() && is_cfg_test(&item.attrs) {
            self.report(line, "tests stand in a sibling `tests.rs`, not inline");
        }
        for word in words(&item.ident.to_string()) {
            if FORBIDDEN_NAMES.contains(&word.as_str()) {
                self.report(line, &format!("mod {}: `{word}` says nothing", item.ident));
            }
        }
        syn::visit::visit_item_mod(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.type_name(&item.ident);
        syn::visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.type_name(&item.ident);
        syn::visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.type_name(&item.ident);
        syn::visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.type_name(&item.ident);
        syn::visit::visit_item_type(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_crate_glob(&item.tree) {
            self.report(
                item.span().start().line,
                "`use crate::*` hides where names come from",
            );
        }
        syn::visit::visit_item_use(self, item);
    }
}

#[test]
fn source_files_are_found() {
    let found = files(&["rs"]).unwrap();
    assert!(
        found.len() > 50,
        "only {} Rust files found: is the walk right?",
        found.len()
    );
}

#[test]
fn files_are_short() {
    check_rust_files(|path, text, offences| {
        let lines = text.lines().count();
        let limit = if path.ends_with("main.rs") {
            MAIN_LINES
        } else {
            FILE_LINES
        };
        if !is_test(path) && lines > limit {
            offences.push(format!("{}:{lines}: at most {limit} lines", shown(path)));
        }
    });
}

#[test]
fn every_file_starts_with_a_module_comment() {
    check_rust_files(|path, text, offences| {
        if !text.starts_with("//! ") {
            offences.push(format!("{}:1: no `//!` paragraph", shown(path)));
        }
    });
}

#[test]
fn functions_are_short_and_type_names_are_meaningful() {
    check_rust_files(|path, text, offences| match syn::parse_file(text) {
        Ok(file) => SyntaxCheck {
            file: shown(path),
            offences,
        }
        .visit_file(&file),
        Err(error) => {
            let line = error.span().start().line;
            offences.push(format!("{}:{line}: does not parse: {error}", shown(path)));
        }
    });
}

#[test]
fn file_names_are_meaningful() {
    check_rust_files(|path, _, offences| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if stem == "mod" {
            offences.push(format!(
                "{}:1: a module is a file of its own name",
                shown(path)
            ));
        }
        for word in words(&stem) {
            if FORBIDDEN_NAMES.contains(&word.as_str()) {
                offences.push(format!("{}:1: `{word}` says nothing", shown(path)));
            }
        }
    });
}

#[test]
fn no_todo_markers_remain() {
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["X", "XX"].concat(),
    ];
    let mut offences = Vec::new();
    for path in files(CODE).unwrap() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if let Some(mark) = words.find(|word| marks.iter().any(|mark| mark == word)) {
                offences.push(format!("{}:{}: {mark}", shown(&path), number + 1));
            }
        }
    }
    assert_no_violations(&offences);
}
