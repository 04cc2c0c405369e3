//! The record in docs/conformance.md of the official suite's scenarios against a server of the other era: a table for
//! each version, marked by `<!-- crossed VERSION -->`, whose first cells are the scenario and its outcome.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::external_programs;

const PASSES: &str = "passes";
const FAILS: &str = "fails";
/// Serializes writes: several tests may write the same page.
static WRITE_LOCK: Mutex<()> = Mutex::new(());

fn record_path() -> PathBuf {
    external_programs::repository().join("docs/conformance.md")
}

fn marker(version: &str) -> String {
    format!("<!-- crossed {version} -->\n")
}

fn outcome_word(passed: bool) -> &'static str {
    if passed { PASSES } else { FAILS }
}

/// Scenario and outcome of a row.
fn row(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
    let name = cells.next()?.trim_end_matches('`');
    Some((name.to_owned(), cells.next()?.to_owned()))
}

fn recorded(version: &str) -> Result<BTreeMap<String, String>> {
    let page = std::fs::read_to_string(record_path())?;
    let (_, table) = page.split_once(&marker(version)).context("no record")?;
    let lines = table.lines().take_while(|line| line.starts_with('|'));
    Ok(lines.filter_map(row).collect())
}

/// Differences between the record of `version` and the outcomes `seen`, one line each.
pub fn differences(version: &str, seen: &BTreeMap<String, bool>) -> Result<Vec<String>> {
    let recorded = recorded(version)?;
    let mut wrong = Vec::new();
    for (name, passed) in seen {
        let said = recorded.get(name).map_or("nothing", String::as_str);
        let now = outcome_word(*passed);
        if said != now {
            wrong.push(format!("{name}: {now}, the record says {said}"));
        }
    }
    let gone = recorded.keys().filter(|name| !seen.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name}: was not run")));
    Ok(wrong)
}

/// Writes the outcomes into the existing rows.
pub fn write(version: &str, seen: &BTreeMap<String, bool>) -> Result<()> {
    let _alone = WRITE_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let page = std::fs::read_to_string(self::record_path())?;
    let mark = marker(version);
    let (before, after) = page.split_once(&mark).context("no record")?;
    let mut inside = true;
    let lines = after.split_inclusive('\n').map(|line| {
        inside &= line.starts_with('|');
        let Some((name, said)) = row(line).filter(|_| inside) else {
            return line.to_owned();
        };
        let now = seen
            .get(&name)
            .map_or(said.as_str(), |now| outcome_word(*now));
        line.replacen(&format!("| {said} |"), &format!("| {now} |"), 1)
    });
    let after: String = lines.collect();
    std::fs::write(self::record_path(), format!("{before}{mark}{after}"))?;
    Ok(())
}
