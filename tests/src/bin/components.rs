//! Prints the list of the components of the shipped binary (CycloneDX, JSON).

use std::fs;
use std::io::Write as _;

use anyhow::{Context, Result};
use toolgate_tests::{components, dependency_graph, external_programs};

fn main() -> Result<()> {
    let path = external_programs::repository().join("Cargo.lock");
    let lock = fs::read_to_string(path).context("Cargo.lock")?;
    let metadata = dependency_graph::metadata()?;
    let list = components::list(&metadata, &components::checksums(&lock))?;
    let text = serde_json::to_string_pretty(&list)?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
