//! Checks of the crate structure: the layers, planes, pure crates and restricted dependencies of ARCHITECTURE.md, read
//! from `cargo metadata`, without a list of exceptions. The sources of pure crates are checked too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, Package};
use proc_macro2::{TokenStream, TokenTree};
use toolgate_tests::dependency_graph::{self, metadata};

/// Layers, lowest first. A crate may depend only on crates of earlier rows. Layer 1 has three rows because the shared
/// crates form a small stack: the runtime below, the client on top.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "0 contract",
        &["toolgate-proto", "toolgate-model", "toolgate-mcp"],
    ),
    (
        "1 runtime",
        &["toolgate-wire", "toolgate-actor", "toolgate-runtime"],
    ),
    ("1 egress", &["toolgate-egress"]),
    ("1 client", &["toolgate-client"]),
    ("2 cores", &["toolgate-control-core", "toolgate-data-core"]),
    (
        "3 edges",
        &[
            "toolgate-store",
            "toolgate-api",
            "toolgate-vault",
            "toolgate-discovery",
            "toolgate-sync",
            "toolgate-session",
            "toolgate-upstream",
            "toolgate-ingress",
            "toolgate-peers",
        ],
    ),
    (
        "4 planes",
        &["toolgate-control-plane", "toolgate-data-plane"],
    ),
    (
        "5 assembly",
        &[
            "toolgate",
            "toolgate-tests",
            "toolgate-fuzz",
            "toolgate-benches",
        ],
    ),
];

const CONTROL_PLANE_CRATES: &[&str] = &[
    "toolgate-control-core",
    "toolgate-store",
    "toolgate-api",
    "toolgate-vault",
    "toolgate-discovery",
    "toolgate-control-plane",
];

const DATA_PLANE_CRATES: &[&str] = &[
    "toolgate-data-core",
    "toolgate-sync",
    "toolgate-session",
    "toolgate-upstream",
    "toolgate-ingress",
    "toolgate-peers",
    "toolgate-data-plane",
];

/// Pure crates get time and randomness as arguments, so none of their dependencies may provide them.
const PURE_CRATES: &[&str] = &[
    "toolgate-model",
    "toolgate-mcp",
    "toolgate-control-core",
    "toolgate-data-core",
];

/// Matched by name or, with a trailing `*`, by prefix.
const IMPURE_DEPENDENCIES: &[&str] = &[
    "tokio*",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "actix*",
    "hyper*",
    "tonic*",
    "getrandom",
    "rand",
    "rand_chacha",
    "fastrand",
    "uuid",
    "chrono",
    "jiff",
    "time",
    "tracing",
];

/// Consecutive tokens that no source of a pure crate contains: locks, atomics, downcasts and clocks. A trailing `*`
/// matches by prefix. `OnceLock` is allowed: its value does not depend on the thread that computes it.
const IMPURE_TOKENS: &[&[&str]] = &[
    &["Mutex"],
    &["RwLock"],
    &["Atomic*"],
    &["dyn", "Any"],
    &["any", ":", ":", "Any"],
    &["Instant", ":", ":", "now"],
    &["SystemTime"],
];

/// Crates that may depend on a vendor crate. The tests look at the system from outside, so they may use etcd and rmcp
/// directly; the benches own criterion.
const RESTRICTED_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("actix*", &["toolgate-actor"]),
    ("etcd-client", &["toolgate-store", "toolgate-tests"]),
    ("redb", &["toolgate-store"]),
    ("bollard*", &[]),
    ("hyper-rustls", &["toolgate-egress"]),
    ("rustls-native-certs", &["toolgate-egress", "toolgate"]),
    ("getrandom", &["toolgate-runtime"]),
    ("rand*", &[]),
    ("uuid", &["toolgate-runtime"]),
    ("jiff", &["toolgate-runtime", "toolgate"]),
    ("prometheus", &["toolgate-runtime"]),
    ("opentelemetry_sdk", &["toolgate-runtime"]),
    ("opentelemetry-*", &["toolgate-runtime"]),
    ("tonic-web", &["toolgate-api"]),
    ("tonic-reflection", &["toolgate-api"]),
    ("serde-saphyr", &["toolgate", "toolgate-tests"]),
    ("clap*", &["toolgate", "toolgate-tests", "toolgate-benches"]),
    ("rmcp*", &["toolgate-tests", "toolgate-fuzz"]),
    ("libfuzzer-sys", &["toolgate-fuzz"]),
    ("criterion", &["toolgate-benches"]),
];

/// Dependencies that must not be linked into shipped binaries: one TLS stack, one HTTP client.
const BANNED_DEPENDENCIES: &[&str] = &[
    "ring",
    "openssl",
    "openssl-sys",
    "native-tls",
    "reqwest",
    "async-std",
];

/// Dependencies with a single version: types of two versions are incompatible.
const SINGLE_VERSION_DEPENDENCIES: &[&str] = &[
    "tokio",
    "hyper",
    "http",
    "http-body",
    "axum",
    "tonic",
    "prost",
    "rustls",
    "bytes",
];

fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, crates)| crates.contains(&name))
}

fn members(metadata: &Metadata) -> BTreeMap<String, &Package> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|p| (p.name.to_string(), p))
        .collect()
}

/// Names of the crates that `root` is linked with, with the path of dependencies to each.
fn closure(metadata: &Metadata, root: &str, build: bool) -> Result<BTreeMap<String, String>> {
    let linked = dependency_graph::linked(metadata, root, build)?;
    Ok(linked
        .into_iter()
        .map(|(id, path)| (metadata[id].name.to_string(), path))
        .collect())
}

/// Rust sources under `folder`, without those of tests.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default();
        if stem == "tests" {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Returns the tokens with their line numbers, without comments, groups opened.
fn tokens(stream: TokenStream) -> Vec<(usize, String)> {
    stream
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Group(group) => tokens(group.stream()),
            token @ (TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_)) => {
                vec![(token.span().start().line, token.to_string())]
            }
        })
        .collect()
}

/// Returns the [`IMPURE_TOKENS`] of a source with their line numbers.
fn impurities(source: &str) -> Result<Vec<(usize, String)>> {
    let stream: TokenStream = source.parse().ok().context("it does not parse")?;
    let tokens = tokens(stream);
    let mut found = Vec::new();
    for start in 0..tokens.len() {
        for impure in IMPURE_TOKENS {
            let here = tokens[start..].iter().zip(*impure);
            let matches = here.filter(|((_, token), pattern)| matches_pattern(pattern, token));
            if matches.count() == impure.len() {
                found.push((tokens[start].0, impure.concat()));
            }
        }
    }
    Ok(found)
}

fn assert_no_violations(offences: &[String]) {
    assert!(
        offences.is_empty(),
        "{} offence(s):\n{}",
        offences.len(),
        offences.join("\n")
    );
}

#[test]
fn every_crate_belongs_to_a_layer_and_no_layer_is_empty() {
    let metadata = metadata().unwrap();
    let members: BTreeSet<String> = members(&metadata).into_keys().collect();
    let rooms: BTreeSet<String> = LAYERS
        .iter()
        .flat_map(|(_, crates)| crates.iter())
        .map(|c| (*c).to_owned())
        .collect();
    assert_eq!(members, rooms, "the workspace and the layers table differ");
}

#[test]
fn dependencies_point_to_lower_layers() {
    let metadata = metadata().unwrap();
    let mut offences = Vec::new();
    for (name, package) in members(&metadata) {
        for dep in &package.dependencies {
            if let (Some(from), Some(to)) = (layer(&name), layer(&dep.name))
                && to >= from
            {
                offences.push(format!(
                    "{} ({}) depends on {} ({}), kind {}",
                    name, LAYERS[from].0, dep.name, LAYERS[to].0, dep.kind
                ));
            }
        }
    }
    assert_no_violations(&offences);
}

#[test]
fn the_planes_do_not_depend_on_each_other() {
    let metadata = metadata().unwrap();
    let mut offences = Vec::new();
    for (name, package) in members(&metadata) {
        for dep in &package.dependencies {
            let crosses = (CONTROL_PLANE_CRATES.contains(&name.as_str())
                && DATA_PLANE_CRATES.contains(&dep.name.as_str()))
                || (DATA_PLANE_CRATES.contains(&name.as_str())
                    && CONTROL_PLANE_CRATES.contains(&dep.name.as_str()));
            if crosses {
                offences.push(format!(
                    "{name} depends on {} (kind {})",
                    dep.name, dep.kind
                ));
            }
        }
    }
    assert_no_violations(&offences);
}

#[test]
fn edge_crates_do_not_depend_on_each_other() {
    let metadata = metadata().unwrap();
    let edges = LAYERS
        .iter()
        .find(|(title, _)| title.starts_with('3'))
        .unwrap()
        .1;
    let mut offences = Vec::new();
    for name in edges {
        let reached = closure(&metadata, name, true).unwrap();
        for other in edges.iter().filter(|o| *o != name) {
            if let Some(path) = reached.get(*other) {
                offences.push(path.clone());
            }
        }
    }
    assert_no_violations(&offences);
}

#[test]
fn pure_crates_depend_on_no_clock_socket_or_randomness() {
    let metadata = metadata().unwrap();
    let mut offences = Vec::new();
    for name in PURE_CRATES {
        for (reached, path) in closure(&metadata, name, false).unwrap() {
            if IMPURE_DEPENDENCIES
                .iter()
                .any(|pattern| matches_pattern(pattern, &reached))
            {
                offences.push(path);
            }
        }
    }
    assert_no_violations(&offences);
}

#[test]
fn pure_crates_have_no_lock_atomic_downcast_or_clock() {
    let metadata = metadata().unwrap();
    let members = members(&metadata);
    let mut offences = Vec::new();
    for name in PURE_CRATES {
        let manifest = members[*name].manifest_path.as_std_path();
        let found = sources(&manifest.with_file_name("src")).unwrap();
        assert!(found.len() > 5, "only {} sources of {name}", found.len());
        for path in found {
            let source = fs::read_to_string(&path).unwrap();
            for (line, what) in impurities(&source).unwrap() {
                offences.push(format!("{}:{line}: {what}", path.display()));
            }
        }
    }
    assert_no_violations(&offences);
}

#[test]
fn impure_code_is_found_and_comments_are_not() {
    let impure = "struct Entry {\n    lock: Mutex<u8>,\n    count: AtomicUsize,\n    state: Box<dyn Any + Send>,\n}\n\
                  fn now() -> (Instant, SystemTime) {\n    (std::time::Instant::now(), read())\n}\n\
                  use std::{any::Any, sync::RwLock};\n";
    let lines: Vec<usize> = impurities(impure)
        .unwrap()
        .into_iter()
        .map(|(line, _)| line)
        .collect();
    assert_eq!(lines, [2, 3, 4, 6, 7, 9, 9]);
    let pure =
        "//! No Mutex.\n/// No `SystemTime`.\nfn f(at: Instant) -> OnceLock<u8> { f(\"dyn Any\") }";
    assert_eq!(impurities(pure).unwrap(), []);
}

#[test]
fn restricted_dependencies_are_used_only_by_their_crate() {
    let metadata = metadata().unwrap();
    let mut offences = Vec::new();
    for (name, package) in members(&metadata) {
        for dep in &package.dependencies {
            for (vendor, owners) in RESTRICTED_DEPENDENCIES {
                if matches_pattern(vendor, &dep.name) && !owners.contains(&name.as_str()) {
                    offences.push(format!("{name} names {}: only {owners:?} may", dep.name));
                }
            }
        }
    }
    assert_no_violations(&offences);
}

#[test]
fn no_second_tls_stack_or_http_client_is_linked() {
    let metadata = metadata().unwrap();
    let mut offences = Vec::new();
    for name in members(&metadata).keys().filter(|n| *n != "toolgate-tests") {
        for (reached, path) in closure(&metadata, name, true).unwrap() {
            if BANNED_DEPENDENCIES.contains(&reached.as_str()) {
                offences.push(path);
            }
        }
    }
    assert_no_violations(&offences);
}

#[test]
fn core_dependencies_have_a_single_version() {
    let metadata = metadata().unwrap();
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let resolve = metadata.resolve.as_ref().unwrap();
    for node in &resolve.nodes {
        let package = &metadata[&node.id];
        if let Some(name) = SINGLE_VERSION_DEPENDENCIES
            .iter()
            .find(|s| **s == package.name.as_str())
        {
            versions
                .entry(name)
                .or_default()
                .insert(package.version.to_string());
        }
    }
    let offences: Vec<String> = versions
        .into_iter()
        .filter(|(_, found)| found.len() > 1)
        .map(|(name, found)| format!("{name}: {found:?}"))
        .collect();
    assert_no_violations(&offences);
}

#[test]
fn every_crate_uses_the_workspace_lints() {
    let metadata = metadata().unwrap();
    let mut offences = Vec::new();
    for (name, package) in members(&metadata) {
        let text = std::fs::read_to_string(&package.manifest_path).unwrap();
        // Generated code has no documentation: the contract crate keeps only the strictest lint.
        let lints = match name.as_str() {
            "toolgate-proto" => "[lints.rust]\nunsafe_code = \"forbid\"",
            _ => "[lints]\nworkspace = true",
        };
        if !text.contains(lints) {
            offences.push(format!(
                "{}: {name} does not inherit the lints",
                package.manifest_path
            ));
        }
    }
    assert_no_violations(&offences);
}
