//! List of the components of the shipped binary, in the form of CycloneDX 1.5. Equal sources have equal lists: there is no time
//! and no random number in it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, Package};
use serde_json::{Value, json};
use spdx::{Expression, ParseMode};

use crate::dependency_graph::{linked, linked_directly};

/// The package of the shipped binary.
pub const BINARY: &str = "toolgate";

/// Digests of the lock file, by name and version.
pub type Checksums = BTreeMap<(String, String), String>;

/// Returns the SHA-256 digests of all packages that `Cargo.lock` pins with one.
#[must_use]
pub fn checksums(lock: &str) -> Checksums {
    let mut found = Checksums::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let lines = package.lines();
            let mut values =
                lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            values.next()?.strip_suffix('"').map(str::to_owned)
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (field("name"), field("version"), field("checksum"))
        {
            found.insert((name, version), checksum);
        }
    }
    found
}

/// Returns the list of everything that the binary is linked with, and of what builds it.
pub fn list(metadata: &Metadata, checksums: &Checksums) -> Result<Value> {
    let linked = linked(metadata, BINARY, true)?;
    let resolve = metadata.resolve.as_ref().context("no resolve graph")?;
    let mut components = BTreeMap::new();
    for id in linked.keys() {
        let package = &metadata[*id];
        if package.name.as_str() != BINARY {
            components.insert(purl(package), component(package, "library", checksums)?);
        }
    }
    let mut dependencies = BTreeMap::new();
    for node in resolve
        .nodes
        .iter()
        .filter(|node| linked.contains_key(&node.id))
    {
        let direct = linked_directly(metadata, node, true).map(|id| purl(&metadata[id]));
        let mut direct: Vec<String> = direct.collect();
        direct.sort();
        let package = purl(&metadata[&node.id]);
        let entry = json!({"ref": package, "dependsOn": direct});
        dependencies.insert(package, entry);
    }
    let members = metadata.workspace_packages();
    let named = members
        .into_iter()
        .find(|member| member.name.as_str() == BINARY);
    let binary = component(named.context("no binary")?, "application", checksums)?;
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": binary},
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies.into_values().collect::<Vec<_>>(),
    }))
}

/// Package URL of a package.
#[must_use]
pub fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

fn component(package: &Package, kind: &str, checksums: &Checksums) -> Result<Value> {
    let licence = licence(package)?;
    let purl = purl(package);
    let mut component = json!({
        "type": kind,
        "bom-ref": purl,
        "name": package.name.as_str(),
        "version": package.version.to_string(),
        "purl": purl,
        "licenses": [{"expression": licence.to_string()}],
    });
    let key = (package.name.to_string(), package.version.to_string());
    if let Some(checksum) = checksums.get(&key) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    Ok(component)
}

/// Returns the licence that a package declares, as an expression of SPDX.
pub fn licence(package: &Package) -> Result<Expression> {
    let declared = package.license.as_deref();
    let declared = declared.with_context(|| format!("{} declares no licence", package.name))?;
    // Older packages separate alternatives with a slash.
    let lax = Expression::parse_mode(declared, ParseMode::LAX);
    let lax = lax.with_context(|| format!("{}: {declared}", package.name))?;
    let canonical = Expression::canonicalize(declared).ok().flatten();
    Ok(canonical
        .and_then(|text| Expression::parse(&text).ok())
        .unwrap_or(lax))
}
