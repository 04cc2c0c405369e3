//! Dependencies have a known source, a digest and an accepted licence, and the list of components names all that is linked.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;
use cargo_metadata::Metadata;
use serde_json::Value;
use spdx::{Expression, LicenseReq};
use toolgate_tests::components::{self, BINARY, Checksums};
use toolgate_tests::{dependency_graph, external_programs};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences that permit distribution in a binary under Apache-2.0, with nothing to do but to name them.
const ACCEPTED: [&str; 10] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Further licences of packages that no shipped binary is linked with.
const ACCEPTED_IN_TESTS: [(&str, &str); 1] = [("libfuzzer-sys", "NCSA")];

fn lock() -> Result<Checksums> {
    let path = external_programs::repository().join("Cargo.lock");
    Ok(components::checksums(&fs::read_to_string(path)?))
}

fn is_accepted(requirement: &LicenseReq, further: &[&str]) -> bool {
    let id = requirement.license.id();
    id.is_some_and(|id| ACCEPTED.contains(&id.name) || further.contains(&id.name))
}

fn linked_names(metadata: &Metadata) -> Result<BTreeSet<&str>> {
    let linked = dependency_graph::linked(metadata, BINARY, true)?;
    let names = linked.keys().map(|id| metadata[*id].name.as_str());
    Ok(names.collect())
}

#[test]
fn se_12_every_dependency_is_from_crates_io_with_a_digest() {
    let (metadata, lock) = (dependency_graph::metadata().unwrap(), lock().unwrap());
    let members = metadata.workspace_packages();
    let members: BTreeSet<_> = members.iter().map(|package| &package.id).collect();
    let mut offences = Vec::new();
    for package in &metadata.packages {
        if members.contains(&package.id) {
            continue;
        }
        let source = package.source.as_ref().map(|source| source.repr.as_str());
        if source != Some(CRATES_IO) {
            offences.push(format!("{}: {source:?}", package.name));
        }
        let key = (package.name.to_string(), package.version.to_string());
        let digest = lock.get(&key).map_or(0, String::len);
        if digest != 64 {
            offences.push(format!("{key:?} has no digest in Cargo.lock"));
        }
    }
    assert!(offences.is_empty(), "{offences:#?}");
    assert!(metadata.packages.len() > 300);
}

#[test]
fn se_12_every_licence_of_a_dependency_is_accepted() {
    let metadata = dependency_graph::metadata().unwrap();
    let linked = linked_names(&metadata).unwrap();
    let mut offences = Vec::new();
    for package in &metadata.packages {
        let further = ACCEPTED_IN_TESTS.iter();
        let further: Vec<&str> = further
            .filter(|(name, _)| *name == package.name.as_str() && !linked.contains(name))
            .map(|(_, licence)| *licence)
            .collect();
        match components::licence(package) {
            Ok(licence) if licence.evaluate(|needed| is_accepted(needed, &further)) => {}
            Ok(licence) => offences.push(format!("{}: {licence}", package.name)),
            Err(error) => offences.push(format!("{error:#}")),
        }
    }
    assert!(offences.is_empty(), "{offences:#?}");
}

#[test]
fn licences_with_conditions_on_the_whole_are_not_accepted() {
    for (licence, expected) in [
        ("MIT OR GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("LGPL-2.1-or-later", false),
        ("AGPL-3.0-only", false),
        ("MPL-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("NCSA", false),
    ] {
        let parsed = Expression::parse(licence).unwrap();
        let accepted = parsed.evaluate(|needed| is_accepted(needed, &[]));
        assert_eq!(accepted, expected, "{licence}");
    }
}

#[test]
fn se_12_the_list_of_components_names_all_that_is_linked_and_nothing_of_the_tests() {
    let (metadata, lock) = (dependency_graph::metadata().unwrap(), lock().unwrap());
    let list = components::list(&metadata, &lock).unwrap();
    let again = components::list(&dependency_graph::metadata().unwrap(), &lock).unwrap();
    assert_eq!(list, again, "equal sources have equal lists");
    assert_eq!(list["bomFormat"], "CycloneDX");
    assert_eq!(list["metadata"]["component"]["name"], BINARY);
    let components = list["components"].as_array().unwrap();
    let mut named: BTreeSet<&str> = BTreeSet::from([BINARY]);
    for component in components {
        let name = component["name"].as_str().unwrap();
        named.insert(name);
        assert!(component["version"].is_string(), "{component}");
        assert!(component["licenses"][0]["expression"].is_string());
        let is_own = name.starts_with("toolgate-");
        assert_eq!(component["hashes"].is_array(), !is_own, "{component}");
    }
    let linked = linked_names(&metadata).unwrap();
    assert_eq!(named, linked);
    for (name, expected) in [
        ("rustls", true),
        ("tokio", true),
        ("toolgate-data-plane", true),
        ("rmcp", false),
        ("libfuzzer-sys", false),
        ("criterion", false),
    ] {
        assert_eq!(named.contains(name), expected, "{name}");
    }
    // Each reference of a dependency leads to a component.
    let references: Vec<&Value> = {
        let binary = &list["metadata"]["component"]["bom-ref"];
        let all = components.iter().map(|component| &component["bom-ref"]);
        all.chain([binary]).collect()
    };
    let dependencies = list["dependencies"].as_array().unwrap();
    assert_eq!(dependencies.len(), references.len());
    for entry in dependencies {
        assert!(references.contains(&&entry["ref"]), "{entry}");
        let direct = entry["dependsOn"].as_array().unwrap();
        assert!(
            direct.iter().all(|one| references.contains(&one)),
            "{entry}"
        );
    }
}
