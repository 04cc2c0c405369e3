//! Graph of the dependencies, as `cargo metadata` resolves it.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId};

use crate::external_programs;

/// Reads the dependencies of the workspace on the platform of this machine.
pub fn metadata() -> Result<Metadata> {
    let rustc = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc -vV")?;
    let text = String::from_utf8(rustc.stdout)?;
    let host = text
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?
        .to_owned();
    MetadataCommand::new()
        .manifest_path(external_programs::repository().join("Cargo.toml"))
        .other_options(["--filter-platform".to_owned(), host])
        .exec()
        .context("cargo metadata")
}

/// Returns the packages that `root` is linked with, itself included: normal dependencies, and build dependencies if `build` is
/// set. Each has the path of dependencies that leads to it.
pub fn linked<'a>(
    metadata: &'a Metadata,
    root: &str,
    build: bool,
) -> Result<BTreeMap<&'a PackageId, String>> {
    let resolve = metadata.resolve.as_ref().context("no resolve graph")?;
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|n| (&n.id, n)).collect();
    let members = metadata.workspace_packages();
    let named = members
        .into_iter()
        .find(|member| member.name.as_str() == root);
    let start = &named.context("no such member")?.id;
    let mut paths: BTreeMap<&PackageId, String> = BTreeMap::from([(start, root.to_owned())]);
    let mut queue = vec![start];
    while let Some(id) = queue.pop() {
        let path = paths.get(id).cloned().unwrap_or_default();
        let Some(node) = nodes.get(id).copied() else {
            continue;
        };
        for dependency in linked_directly(metadata, node, build) {
            if !paths.contains_key(dependency) {
                let name = &metadata[dependency].name;
                paths.insert(dependency, format!("{path} -> {name}"));
                queue.push(dependency);
            }
        }
    }
    Ok(paths)
}

/// Returns the direct dependencies that the package of this node is linked with.
pub fn linked_directly<'a>(
    metadata: &'a Metadata,
    node: &'a Node,
    build: bool,
) -> impl Iterator<Item = &'a PackageId> {
    let dependencies = node.deps.iter().filter(move |dependency| {
        let is_linked = dependency.dep_kinds.iter().any(|k| {
            k.kind == DependencyKind::Normal || (build && k.kind == DependencyKind::Build)
        });
        let name = &metadata[&dependency.pkg].name;
        is_linked && is_enabled(&metadata[&node.id], node, name)
    });
    dependencies.map(|dependency| &dependency.pkg)
}

/// The graph of `cargo metadata` also contains optional dependencies that a weak feature (`a?/b`) only mentions. A
/// dependency is linked only if an active feature enables it directly.
fn is_enabled(package: &Package, node: &Node, dependency: &str) -> bool {
    let mut declared = package
        .dependencies
        .iter()
        .filter(|d| d.name == dependency)
        .peekable();
    if declared.peek().is_none() {
        return true;
    }
    declared.any(|d| {
        let name = d.rename.as_deref().unwrap_or(dependency);
        let explicit = format!("dep:{name}");
        let strong = format!("{name}/");
        !d.optional
            || node.features.iter().any(|active| {
                let parts = package.features.get(active.as_str());
                active.as_str() == name
                    || parts
                        .into_iter()
                        .flatten()
                        .any(|part| part == name || *part == explicit || part.starts_with(&strong))
            })
    })
}
