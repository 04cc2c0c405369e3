//! What the documents claim to be proven is proven by tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use toolgate_tests::tools::repository;

/// Names of all functions in Rust files under `folder`.
fn functions(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !["target", ".git", "node_modules"].contains(&name.as_str()) {
            functions(&path, found)?;
        } else if name.ends_with(".rs") {
            for line in fs::read_to_string(&path)?.lines() {
                let line = line.trim_start().trim_start_matches("async ");
                if let Some((name, _)) = line.strip_prefix("fn ").and_then(|l| l.split_once('(')) {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    Ok(())
}

/// Words in backquotes that look like the name of a test.
fn claimed(document: &str) -> Vec<&str> {
    let quoted = document.split('`').skip(1).step_by(2);
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    quoted
        .filter(|word| word.matches('_').count() >= 3 && word.chars().all(lower))
        .collect()
}

#[test]
fn every_test_that_threats_names_exists() {
    let mut known = BTreeSet::new();
    functions(&repository(), &mut known).unwrap();
    let document = fs::read_to_string(repository().join("docs/threats.md")).unwrap();
    let claims = claimed(&document);
    assert!(
        claims.len() > 40,
        "only {} claims found: is the reading right?",
        claims.len()
    );
    let empty: Vec<&&str> = claims
        .iter()
        .filter(|claim| !known.contains(**claim))
        .collect();
    assert!(empty.is_empty(), "no such tests: {empty:?}");
}

/// Every promise about several servers names what shows it, and all of that exists.
#[test]
fn every_promise_of_aggregation_is_shown_by_tests_that_exist() {
    let mut known = BTreeSet::new();
    functions(&repository(), &mut known).unwrap();
    let document = fs::read_to_string(repository().join("docs/conformance.md")).unwrap();
    let (_, table) = document.split_once("<!-- aggregation -->\n").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let rows: Vec<&str> = rows.collect();
    assert!(rows.len() >= 16, "only {} promises", rows.len());
    for row in rows {
        let shown_by = row.rsplit('|').nth(1).unwrap();
        let claims = claimed(shown_by);
        assert!(!claims.is_empty(), "nothing shows: {row}");
        let empty: Vec<&&str> = claims
            .iter()
            .filter(|claim| !known.contains(**claim))
            .collect();
        assert!(empty.is_empty(), "no such tests: {empty:?}");
    }
}

#[test]
fn every_scenario_that_is_expected_to_fail_has_its_reason() {
    for version in ["2025-11-25", "2026-07-28"] {
        let path = repository().join(format!("tests/conformance-expected-{version}.yml"));
        let text = fs::read_to_string(path).unwrap();
        let mut reason = false;
        for line in text
            .lines()
            .skip_while(|line| !line.starts_with("server:"))
            .skip(1)
        {
            reason |= line.trim_start().starts_with('#');
            assert!(reason, "{version}: no reason for {line}");
        }
    }
}
