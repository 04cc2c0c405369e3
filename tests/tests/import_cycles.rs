//! Files that import each other, directly or through others, can only be read together. Their share is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use syn::visit::Visit;

/// Maximum share of files that are part of a cycle, in percent.
const MAX_SHARE: usize = 8;

/// Imports of each module of a crate, by the path of the module, such as `view::list`.
type ImportGraph = BTreeMap<String, BTreeSet<String>>;

/// Collects the paths of the imports of one file that begin with `crate` or `super`, as segments from the root.
struct ImportVisitor<'a> {
    module: &'a [String],
    imports: Vec<Vec<String>>,
}

impl ImportVisitor<'_> {
    fn tree(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.tree(&step.tree, path);
            }
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.tree(item, path.clone());
                }
            }
            syn::UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.add(&path);
            }
            syn::UseTree::Rename(rename) => {
                path.push(rename.ident.to_string());
                self.add(&path);
            }
            syn::UseTree::Glob(_) => self.add(&path),
        }
    }

    fn add(&mut self, path: &[String]) {
        let supers = path.iter().take_while(|step| *step == "super").count();
        let base = match path.first().map(String::as_str) {
            Some("crate") => &[],
            Some("super") => self
                .module
                .get(..self.module.len().saturating_sub(supers))
                .unwrap_or_default(),
            _ => return,
        };
        let rest = path.get(supers.max(1)..).unwrap_or_default();
        self.imports.push([base, rest].concat());
    }
}

impl<'ast> Visit<'ast> for ImportVisitor<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, Vec::new());
    }

    fn visit_item_mod(&mut self, _inline: &'ast syn::ItemMod) {}
}

/// Folders of the sources of all crates, without those of tests.
fn source_folders() -> Result<Vec<PathBuf>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()?;
    let roots = metadata
        .packages
        .iter()
        .map(|package| &package.manifest_path);
    let folders = roots.filter_map(|path| Some(path.parent()?.join("src").into_std_path_buf()));
    let of_tests = ["tests", "benches"].map(|name| metadata.workspace_root.join(name));
    Ok(folders
        .filter(|folder| folder.is_dir())
        .filter(|folder| !of_tests.iter().any(|tests| folder.starts_with(tests)))
        .collect())
}

/// Reads the imports of all modules of a crate, without modules of tests.
fn imports(source: &Path) -> Result<ImportGraph> {
    let mut texts = BTreeMap::new();
    let mut queue = vec![source.to_owned()];
    while let Some(folder) = queue.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if matches!(stem, None | Some("tests")) {
                continue;
            }
            if path.is_dir() {
                queue.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.strip_prefix(source)?.with_extension("");
                let steps = module
                    .iter()
                    .map(|step| step.to_string_lossy().into_owned());
                let module = steps.filter(|step| step != "lib" && step != "main");
                texts.insert(module.collect::<Vec<_>>(), fs::read_to_string(&path)?);
            }
        }
    }
    let mut graph = ImportGraph::new();
    for (module, text) in &texts {
        let file = syn::parse_file(text).with_context(|| format!("{module:?}"))?;
        let mut visitor = ImportVisitor {
            module,
            imports: Vec::new(),
        };
        visitor.visit_file(&file);
        let mut targets = BTreeSet::new();
        for mut path in visitor.imports {
            // The last segments name an item of the module.
            while !path.is_empty() && !texts.contains_key(&path) {
                path.pop();
            }
            // A module and its children are one unit.
            if !module.starts_with(&path) {
                targets.insert(path.join("::"));
            }
        }
        graph.insert(module.join("::"), targets);
    }
    Ok(graph)
}

/// Returns the modules that are reachable from themselves.
fn cyclic(graph: &ImportGraph) -> Vec<&String> {
    let reaches_itself = |start: &&String| {
        let mut seen = BTreeSet::new();
        let mut queue: Vec<&String> = graph.get(*start).into_iter().flatten().collect();
        while let Some(module) = queue.pop() {
            if module == *start {
                return true;
            }
            if seen.insert(module) {
                queue.extend(graph.get(module).into_iter().flatten());
            }
        }
        false
    };
    graph.keys().filter(reaches_itself).collect()
}

#[test]
fn few_files_are_part_of_an_import_cycle() {
    let (mut files, mut found) = (0, Vec::new());
    for folder in source_folders().unwrap() {
        let graph = imports(&folder).unwrap();
        files += graph.len();
        let modules = cyclic(&graph);
        found.extend(
            modules
                .iter()
                .map(|module| format!("{} {module}", folder.display())),
        );
    }
    let count = found.len();
    println!(
        "{count} of {files} files are part of an import cycle:\n{}",
        found.join("\n")
    );
    assert!(files > 400, "only {files} files were read");
    assert!(
        count * 100 <= files * MAX_SHARE,
        "{count} of {files}: {found:#?}"
    );
}

#[test]
fn a_cycle_is_found_and_a_chain_is_not() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = ImportGraph::new();
        for (from, to) in edges {
            let targets = graph.entry((*from).to_owned()).or_default();
            targets.insert((*to).to_owned());
            graph.entry((*to).to_owned()).or_default();
        }
        graph
    };
    let chain = graph(&[("a", "b"), ("b", "c"), ("a", "c")]);
    assert_eq!(cyclic(&chain), Vec::<&String>::new());
    let cycle = graph(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]);
    assert_eq!(cyclic(&cycle), ["b", "c"]);
}
