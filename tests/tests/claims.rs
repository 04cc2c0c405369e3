//! Checks that every test that the documents name as proof exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
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

/// Every aggregation promise names its tests, and all of them exist.
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

/// Entries of a list of expected failures, and `true` for entries with a reason above them. A reason covers the
/// following entries up to a blank line or another reason.
fn expected(text: &str) -> Result<Vec<(String, bool)>> {
    let mut lines = text
        .lines()
        .skip_while(|line| line.is_empty() || line.starts_with('#'));
    let head = lines.next().unwrap_or_default();
    let (side, rest) = head.split_once(':').unwrap_or_default();
    ensure!(
        ["server", "client"].contains(&side),
        "not a list of failures: {head}"
    );
    if rest.trim() == "[]" {
        let more = lines.find(|line| !line.trim().is_empty());
        ensure!(more.is_none(), "after an empty list: {more:?}");
        return Ok(Vec::new());
    }
    ensure!(rest.trim().is_empty(), "cannot be read: {head}");
    let (mut entries, mut reason) = (Vec::new(), false);
    for line in lines {
        let line = line.trim();
        if let Some(words) = line.strip_prefix('#') {
            reason = words.split_whitespace().count() >= 3;
        } else if let Some(entry) = line.strip_prefix("- ") {
            entries.push((entry.to_owned(), reason));
        } else {
            // A blank line ends the scope of a reason.
            ensure!(line.is_empty(), "cannot be read: {line}");
            reason = false;
        }
    }
    ensure!(!entries.is_empty(), "no entries, and not `{side}: []`");
    Ok(entries)
}

#[test]
fn every_scenario_that_is_expected_to_fail_has_its_reason() {
    let mut lists = 0;
    for entry in fs::read_dir(repository().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("conformance-expected-") {
            continue;
        }
        lists += 1;
        let text = fs::read_to_string(&path).unwrap();
        let entries = expected(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let without: Vec<_> = entries.iter().filter(|(_, reason)| !reason).collect();
        assert!(without.is_empty(), "{name}: no reason for {without:?}");
    }
    assert!(lists >= 5, "only {lists} lists: is the reading right?");
}

/// Tests the parser: an unreadable list must not count as a list without failures.
#[test]
fn a_list_of_expected_failures_without_reasons_is_found() {
    let reasons = |text: &str| {
        let entries = expected(text).ok()?;
        Some(
            entries
                .iter()
                .map(|(_, reason)| *reason)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(reasons("# all is well\nserver: []\n"), Some(Vec::new()));
    assert_eq!(reasons("client:\n  - a\n"), Some(vec![false]));
    let with = "# a list\nclient:\n  # why this is so\n  - a\n  - b\n\n  - c\n";
    assert_eq!(reasons(with), Some(vec![true, true, false]));
    assert_eq!(reasons("client:\n  # no\n  - a\n"), Some(vec![false]));
    for broken in [
        "",
        "server:\n",
        "servers:\n  - a\n",
        "server: []\n  - a\n",
        "server: [a]\n",
    ] {
        assert_eq!(reasons(broken), None, "{broken:?}");
    }
}
