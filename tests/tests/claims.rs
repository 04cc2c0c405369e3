//! Checks that every test that the documents name as proof exists.

#[path = "claims/threat_catalogue.rs"]
mod threat_catalogue;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use toolgate_tests::external_programs::repository;

/// Page of faults: rows of `| id | fault or attack | behaviour |`.
const THREATS: &str = "docs/threats.md";
/// Page of the tests of each row of [`THREATS`]: rows of `| id | tests |`, under the same headings, in the same order.
const THREAT_TESTS: &str = "docs/threats-tests.md";
/// Environment variable that makes the check write [`THREAT_TESTS`] in the order of [`THREATS`].
const WRITE: &str = "TOOLGATE_WRITE";

/// Collects the names of all functions in Rust files under `folder`.
fn collect_functions(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !["target", ".git", "node_modules"].contains(&name.as_str()) {
            collect_functions(&path, found)?;
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
fn claimed_tests(document: &str) -> Vec<&str> {
    let quoted = document.split('`').skip(1).step_by(2);
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    quoted
        .filter(|word| word.matches('_').count() >= 3 && word.chars().all(lower))
        .collect()
}

/// Line of a page of threats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageLine<'a> {
    /// `## …`, as written.
    Heading(&'a str),
    /// Row of a table: its id and the cells behind it, as written.
    Row { id: &'a str, cells: &'a str },
    /// Any other line.
    Text(&'a str),
}

/// Reads `T-` and three digits or more, in a cell of its own.
fn threat_id(line: &str) -> Option<(&str, &str)> {
    let (id, cells) = line.strip_prefix("| ")?.split_once(" | ")?;
    let digits = id.strip_prefix("T-")?;
    let valid = digits.len() >= 3 && digits.chars().all(|c| c.is_ascii_digit());
    valid.then(|| (id, cells.strip_suffix(" |").unwrap_or(cells)))
}

fn page_lines(page: &str) -> impl Iterator<Item = PageLine<'_>> {
    page.lines().map(|line| match threat_id(line) {
        Some((id, cells)) => PageLine::Row { id, cells },
        None if line.starts_with("## ") => PageLine::Heading(line),
        None => PageLine::Text(line),
    })
}

/// Rows of a page by id. Fails on an id that stands twice, and on a row of a table that has no id.
fn threat_rows(page: &str) -> Result<BTreeMap<&str, &str>> {
    let mut rows = BTreeMap::new();
    for line in page_lines(page) {
        match line {
            PageLine::Row { id, cells } => {
                ensure!(rows.insert(id, cells).is_none(), "{id} stands twice");
            }
            PageLine::Text(text) => {
                let plain = !text.starts_with('|')
                    || ["| id |", "|---|"].iter().any(|h| text.starts_with(h));
                ensure!(plain, "a row without an id (`T-` and three digits): {text}");
            }
            PageLine::Heading(_) => {}
        }
    }
    Ok(rows)
}

/// Lists every fault of the two pages: rows without a test, ids without a row, and tests that do not exist.
fn threat_problems(threats: &str, tests: &str, known: &BTreeSet<String>) -> Result<Vec<String>> {
    let (rows, tests) = (threat_rows(threats)?, threat_rows(tests)?);
    let mut problems = Vec::new();
    for id in rows.keys() {
        let shown_by = tests.get(id).copied().unwrap_or_default();
        if claimed_tests(shown_by).is_empty() {
            problems.push(format!("{id}: no test in {THREAT_TESTS}"));
        }
    }
    for (id, shown_by) in &tests {
        if !rows.contains_key(id) {
            problems.push(format!("{id}: no row in {THREATS}"));
        }
        // A word that is not read as the name of a test would never be looked for.
        let words = shown_by.split('`').skip(1).step_by(2);
        let names = claimed_tests(shown_by);
        let unread = words.filter(|word| !names.contains(word));
        problems.extend(unread.map(|word| format!("{id}: `{word}` is not the name of a test")));
        let missing = names.iter().filter(|name| !known.contains(**name));
        problems.extend(missing.map(|name| format!("{id}: no such test: `{name}`")));
    }
    Ok(problems)
}

/// Writes the page of tests anew: its opening as it is, then headings and ids as in `threats`, each with its tests.
/// A heading of `threats` without rows is left out.
fn threat_tests_in_order(threats: &str, tests: &str) -> Result<String> {
    let (opening, _) = tests.split_once("\n## ").context("no headings")?;
    let tests = threat_rows(tests)?;
    let mut page = opening.to_owned();
    let mut heading = None;
    for line in page_lines(threats) {
        match line {
            PageLine::Heading(text) => heading = Some(text),
            PageLine::Row { id, .. } => {
                if let Some(text) = heading.take() {
                    page.push_str(&format!("\n{text}\n\n| id | tests |\n|---|---|\n"));
                }
                let shown_by = tests.get(id).copied().unwrap_or_default();
                page.push_str(&format!("| {id} | {shown_by} |\n"));
            }
            PageLine::Text(_) => {}
        }
    }
    Ok(page)
}

#[test]
fn every_test_named_in_the_threats_document_exists() {
    let mut known = BTreeSet::new();
    collect_functions(&repository(), &mut known).unwrap();
    let threats = fs::read_to_string(repository().join(THREATS)).unwrap();
    let path = repository().join(THREAT_TESTS);
    let tests = fs::read_to_string(&path).unwrap();
    let claims = claimed_tests(&tests);
    assert!(
        claims.len() > 40,
        "only {} claims found: is the reading right?",
        claims.len()
    );
    let problems = threat_problems(&threats, &tests, &known).unwrap();
    assert!(problems.is_empty(), "{problems:#?}");
    let ordered = threat_tests_in_order(&threats, &tests).unwrap();
    if std::env::var_os(WRITE).is_some_and(|value| value == "1") {
        fs::write(&path, &ordered).unwrap();
    } else {
        assert!(
            ordered == tests,
            "{THREAT_TESTS} is not in the order of {THREATS}: run this test with {WRITE}=1"
        );
    }
}

/// Shows that the check of the two pages can fail, once for each fault that it looks for.
#[test]
fn a_threat_without_a_test_and_a_test_without_a_threat_are_found() {
    let known: BTreeSet<String> = ["a_test_that_exists", "another_test_that_exists"]
        .map(str::to_owned)
        .into();
    let threats = "# Threats\n\n## A\n\n| id | fault | behaviour |\n|---|---|---|\n| T-001 | a | b |\n\n## B\n\n\
                   | id | fault | behaviour |\n|---|---|---|\n| T-002 | c | d |\n\n## Open\n\n- nothing\n";
    let page = |rows: &[&str]| format!("# Tests\n\nFor readers.\n\n## A\n\n{}\n", rows.join("\n"));
    let problems = |rows: &[&str]| threat_problems(threats, &page(rows), &known);
    let (one, two) = (
        "| T-001 | `a_test_that_exists` |",
        "| T-002 | `another_test_that_exists` |",
    );
    assert_eq!(problems(&[one, two]).unwrap(), Vec::<String>::new());
    for (rows, problem) in [
        (vec![one], "T-002: no test in docs/threats-tests.md"),
        (
            vec![one, "| T-002 |  |"],
            "T-002: no test in docs/threats-tests.md",
        ),
        (
            vec![one, two, "| T-003 | `a_test_that_exists` |"],
            "T-003: no row in docs/threats.md",
        ),
        (
            vec![one, "| T-002 | `a_test_that_is_gone` |"],
            "T-002: no such test: `a_test_that_is_gone`",
        ),
        (
            vec![one, "| T-002 | `another_test_that_exists`, `short` |"],
            "T-002: `short` is not the name of a test",
        ),
    ] {
        assert_eq!(problems(&rows).unwrap(), [problem], "{rows:?}");
    }
    for broken in [
        vec![one, two, one],
        vec![one, two, "| 3 | `a_test_that_exists` |"],
    ] {
        assert!(problems(&broken).is_err(), "{broken:?}");
    }
    let ordered = threat_tests_in_order(threats, &page(&[two, one])).unwrap();
    let table = |heading, row| format!("\n## {heading}\n\n| id | tests |\n|---|---|\n{row}\n");
    assert_eq!(
        ordered,
        format!(
            "# Tests\n\nFor readers.\n{}{}",
            table("A", one),
            table("B", two)
        )
    );
    assert_eq!(threat_tests_in_order(threats, &ordered).unwrap(), ordered);
}

/// Every promise about several servers names what shows it, and all of that exists.
#[test]
fn every_aggregation_promise_names_existing_tests() {
    let mut known = BTreeSet::new();
    collect_functions(&repository(), &mut known).unwrap();
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
        let claims = claimed_tests(shown_by);
        assert!(!claims.is_empty(), "nothing shows: {row}");
        let empty: Vec<&&str> = claims
            .iter()
            .filter(|claim| !known.contains(**claim))
            .collect();
        assert!(empty.is_empty(), "no such tests: {empty:?}");
    }
}

/// Parses a list of expected failures into its entries, each with whether a reason stands above it. A reason holds for all that
/// follows, up to a blank line or another one.
fn expected_failures(text: &str) -> Result<Vec<(String, bool)>> {
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
            // A blank line ends what a reason is for.
            ensure!(line.is_empty(), "cannot be read: {line}");
            reason = false;
        }
    }
    ensure!(!entries.is_empty(), "no entries, and not `{side}: []`");
    Ok(entries)
}

#[test]
fn every_expected_conformance_failure_has_a_reason() {
    let mut lists = 0;
    for entry in fs::read_dir(repository().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("conformance-expected-") {
            continue;
        }
        lists += 1;
        let text = fs::read_to_string(&path).unwrap();
        let entries = expected_failures(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let without: Vec<_> = entries.iter().filter(|(_, reason)| !reason).collect();
        assert!(without.is_empty(), "{name}: no reason for {without:?}");
    }
    assert!(lists >= 5, "only {lists} lists: is the reading right?");
}

/// The reading itself: a list that it does not understand is no list without failures.
#[test]
fn an_expected_failure_without_a_reason_is_detected() {
    let reasons = |text: &str| {
        let entries = expected_failures(text).ok()?;
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
