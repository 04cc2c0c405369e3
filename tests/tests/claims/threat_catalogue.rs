//! Checks the catalogue of threats: every row is there once, and has existing tests or a reason.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;
use toolgate_tests::external_programs::repository;

use super::{THREATS, claimed_tests, collect_functions, threat_rows};

/// Page of the catalogue: rows of `| id | priority | fault or attack | figure | tests |`.
const CATALOGUE: &str = "docs/threat-catalogue.md";
/// Families of the catalogue, in the order of the page, with their numbers of rows.
const FAMILIES: [(&str, usize); 9] = [
    ("CF", 20),
    ("DP", 17),
    ("OV", 17),
    ("OA", 20),
    ("TI", 12),
    ("SS", 9),
    ("MC", 14),
    ("OR", 13),
    ("SE", 15),
];
/// Number of rows of the catalogue with each priority.
const PRIORITIES: [(&str, usize); 3] = [("P0", 91), ("P1", 43), ("P2", 3)];
/// Features that do not exist, so that a row has no subject.
const MISSING_FEATURES: [&str; 5] = [
    "no OAuth yet",
    "no audit log yet",
    "no orchestrated servers yet",
    "no regions yet",
    "no staged pushes yet",
];

/// Cells of the rows of the catalogue.
fn catalogue_rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.map(|row| row.trim_end_matches(" |").split(" | ").collect());
    cells.filter(|cells: &Vec<&str>| cells[0] != "id")
}

/// Lists every fault in the cell of tests: rows of `threats` and tests that do not exist, and a missing reason.
fn shown_by_problems(cell: &str, threats: &str, known: &BTreeSet<String>) -> Result<Vec<String>> {
    if let Some(feature) = cell.strip_prefix("no subject: ") {
        let known = MISSING_FEATURES.contains(&feature);
        let problem = (!known).then(|| format!("no such missing feature: {feature}"));
        return Ok(Vec::from_iter(problem));
    }
    let (shown, open) = match cell.split_once("open: ") {
        Some((shown, open)) => (shown.trim_end_matches("; "), Some(open)),
        None => (cell, None),
    };
    let mut problems = Vec::new();
    if open.is_some_and(|open| open.split_whitespace().count() < 2 || open.contains('`')) {
        problems.push("what is open is not explained in words".to_owned());
    }
    let rows = threat_rows(threats)?;
    let mut tests = 0;
    for name in shown.split(", ").filter(|name| !name.is_empty()) {
        let exists = match name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) {
            Some(test) => {
                tests += 1;
                claimed_tests(name) == [test] && known.contains(test)
            }
            None => rows.contains_key(name),
        };
        if !exists {
            problems.push(format!("no such test or row: {name}"));
        }
    }
    if tests == 0 && (open.is_none() || !shown.is_empty()) {
        problems.push("neither a test nor a reason".to_owned());
    }
    Ok(problems)
}

/// Lists every fault of the catalogue: ids that are missing, stand twice or in another order, and faults of its rows.
fn catalogue_problems(
    page: &str,
    families: &[(&str, usize)],
    threats: &str,
    known: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let numbered = families.iter().flat_map(|(family, count)| {
        (1..=*count).map(move |number| format!("{family}-{number:02}"))
    });
    let expected: Vec<String> = numbered.collect();
    let ids: Vec<&str> = catalogue_rows(page).map(|cells| cells[0]).collect();
    for id in &expected {
        let times = ids.iter().filter(|is| *is == id).count();
        if times != 1 {
            problems.push(format!("{id}: {times} rows"));
        }
    }
    let unknown = ids.iter().filter(|id| !expected.iter().any(|e| e == *id));
    problems.extend(unknown.map(|id| format!("{id}: not an id of the catalogue")));
    if problems.is_empty() && ids != expected {
        problems.push("the rows are not in the order of their ids".to_owned());
    }
    for cells in catalogue_rows(page) {
        let [id, priority, _, _, shown_by] = cells[..] else {
            problems.push(format!("{}: {} cells", cells[0], cells.len()));
            continue;
        };
        if !PRIORITIES.iter().any(|(known, _)| *known == priority) {
            problems.push(format!("{id}: no such priority: {priority}"));
        }
        let of_row = shown_by_problems(shown_by, threats, known)?;
        problems.extend(of_row.into_iter().map(|problem| format!("{id}: {problem}")));
    }
    Ok(problems)
}

#[test]
fn every_row_of_the_threat_catalogue_has_existing_tests_or_a_reason() {
    let mut known = BTreeSet::new();
    collect_functions(&repository(), &mut known).unwrap();
    let threats = fs::read_to_string(repository().join(THREATS)).unwrap();
    let page = fs::read_to_string(repository().join(CATALOGUE)).unwrap();
    let problems = catalogue_problems(&page, &FAMILIES, &threats, &known).unwrap();
    assert!(problems.is_empty(), "{problems:#?}");
    for (priority, count) in PRIORITIES {
        let rows = catalogue_rows(&page).filter(|cells| cells[1] == priority);
        assert_eq!(rows.count(), count, "{priority}");
    }
}

/// Shows that the check of the catalogue can fail, once for each fault that it looks for.
#[test]
fn a_catalogue_row_without_tests_and_reason_is_found() {
    let known: BTreeSet<String> = ["a_test_that_exists".to_owned()].into();
    let threats = "| T-001 | a | b |\n";
    let row = |id: &str, shown_by: &str| format!("| {id} | P0 | a fault | a figure | {shown_by} |");
    let problems = |rows: &[String]| {
        let page = format!(
            "| id | priority | fault | figure | tests |\n|---|\n{}",
            rows.join("\n")
        );
        catalogue_problems(&page, &[("CF", 2)], threats, &known).unwrap()
    };
    let fine = row("CF-02", "no subject: no OAuth yet");
    for shown_by in [
        "`a_test_that_exists`",
        "T-001, `a_test_that_exists`; open: the other half",
        "open: nothing of it",
        "no subject: no regions yet",
    ] {
        assert_eq!(
            problems(&[row("CF-01", shown_by), fine.clone()]),
            [""; 0],
            "{shown_by}"
        );
    }
    for (shown_by, problem) in [
        ("", "neither a test nor a reason"),
        ("T-001", "neither a test nor a reason"),
        ("T-001; open: the rest", "neither a test nor a reason"),
        ("open: no", "what is open is not explained in words"),
        ("no subject: later", "no such missing feature: later"),
        ("T-002, `a_test_that_exists`", "no such test or row: T-002"),
        (
            "`a_test_that_exists`, `a_test_that_is_gone`",
            "no such test or row: `a_test_that_is_gone`",
        ),
        (
            "`a_test_that_exists`, `short`",
            "no such test or row: `short`",
        ),
        (
            "`a_test_that_exists`, somewhere",
            "no such test or row: somewhere",
        ),
    ] {
        let found = problems(&[row("CF-01", shown_by), fine.clone()]);
        assert_eq!(found, [format!("CF-01: {problem}")], "{shown_by}");
    }
    let one = row("CF-01", "open: nothing of it");
    let third = row("CF-03", "open: nothing of it");
    for (rows, problem) in [
        (vec![one.clone()], "CF-02: 0 rows"),
        (
            vec![one.clone(), fine.clone(), fine.clone()],
            "CF-02: 2 rows",
        ),
        (
            vec![one.clone(), fine.clone(), third],
            "CF-03: not an id of the catalogue",
        ),
        (
            vec![fine.clone(), one.clone()],
            "the rows are not in the order of their ids",
        ),
        (
            vec![one.replace("P0", "P7"), fine.clone()],
            "CF-01: no such priority: P7",
        ),
        (vec![one.replace("| a fault ", ""), fine], "CF-01: 4 cells"),
    ] {
        assert_eq!(problems(&rows), [problem], "{rows:?}");
    }
}
