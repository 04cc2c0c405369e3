//! The documents are correct: their commands run unchanged, and their lists are complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use prost_reflect::DescriptorPool;
use toolgate_tests::external_programs;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, text};

/// Documents whose `sh` blocks are run, in order.
const RUN: [&str; 2] = ["README.md", "docs/quick-start.md"];

fn read(path: &str) -> Result<String> {
    fs::read_to_string(external_programs::repository().join(path)).with_context(|| path.to_owned())
}

/// Code blocks of this language, in order.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(opened)) => open = Some(format!("{opened}\n")),
            (Some(_), Some(_)) => {
                let block = open.take().unwrap_or_default();
                let (opened, body) = block.split_once('\n').unwrap_or_default();
                if opened == language {
                    blocks.push(body.to_owned());
                }
            }
            (Some(block), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

fn help(role: &str) -> Result<String> {
    let output = Command::new(external_programs::toolgate()?)
        .args([role, "--help"])
        .output()?;
    Ok(text(&output.stdout))
}

/// Flags that a help text documents.
fn flags(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start);
    let words = lines
        .filter(|line| line.starts_with('-'))
        .flat_map(str::split_whitespace);
    let names = words.filter_map(|word| word.strip_prefix("--"));
    names
        .map(|name| name.trim_end_matches(',').to_owned())
        .filter(|name| name != "help" && name != "version")
        .collect()
}

#[tokio::test]
async fn every_command_of_the_quick_start_runs_unchanged() {
    for document in RUN {
        let sandbox = Sandbox::new("docs").unwrap();
        let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
        let script = blocks(&read(document).unwrap(), "sh").concat();
        assert!(!script.is_empty(), "{document} has nothing to run");
        let binary = external_programs::toolgate().unwrap();
        let folder = binary.parent().unwrap().display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let output = tokio::process::Command::new("bash")
            .args(["-euxo", "pipefail", "-c", &script])
            .current_dir(sandbox.path())
            .env("PATH", path)
            .env("HOME", sandbox.path())
            .env("TOOLGATE_ADDR", format!("http://{}", up.admin()))
            .env("TOOLGATE_ENDPOINT", format!("http://{}", up.mcp()))
            .env("TOOLGATE_DATA_DIR", up.data())
            .output()
            .await
            .unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{document}:\n{out}\n{err}");
    }
}

#[test]
fn the_configuration_page_lists_exactly_the_settings() {
    let page = read("docs/configuration.md").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `--"));
    let cells = rows.filter_map(|line| line.split('|').nth(1));
    let named: BTreeSet<String> = cells
        .flat_map(|cell| cell.split('`'))
        .filter_map(|word| word.strip_prefix("--").map(str::to_owned))
        .collect();
    let mut real = BTreeSet::new();
    for role in ["up", "control-plane", "proxy"] {
        real.extend(flags(&help(role).unwrap()));
    }
    for output in ["output", "no-headers", "quiet"] {
        real.remove(output);
    }
    assert_eq!(named, real);
}

#[test]
fn the_command_line_page_lists_every_command() {
    let page = read("docs/cli.md").unwrap();
    let output = Command::new(external_programs::toolgate().unwrap())
        .arg("--help")
        .output()
        .unwrap();
    let help = text(&output.stdout);
    let commands = help.split("Commands:").nth(1).unwrap_or_default();
    let commands = commands.split("Options:").next().unwrap_or_default();
    let names = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.collect();
    assert!(names.len() > 10, "{help}");
    for name in names {
        assert!(page.contains(&format!("toolgate {name}")), "{name}");
    }
}

#[test]
fn the_rights_page_lists_every_api_method() {
    let page = read("docs/admin-api.md").unwrap();
    let pool = DescriptorPool::decode(toolgate_proto::DESCRIPTORS).unwrap();
    let mut methods = 0;
    for service in pool.services() {
        let heading = format!("### `{}`", service.full_name());
        let section = page.split(&heading).nth(1).unwrap_or_default();
        let section = section.split("\n### ").next().unwrap_or_default();
        for method in service.methods() {
            methods += 1;
            let row = format!("| `{}` |", method.name());
            assert!(section.contains(&row), "{}", method.full_name());
        }
    }
    assert!(methods > 30);
}

#[test]
fn links_between_documents_resolve() {
    let mut broken = Vec::new();
    for document in documents().unwrap() {
        let content = fs::read_to_string(&document).unwrap();
        for link in content.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://");
            let folder = document.parent().unwrap_or(Path::new("."));
            if !elsewhere && !folder.join(target).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn documents() -> Result<Vec<PathBuf>> {
    let root = external_programs::repository();
    let mut found = Vec::new();
    for folder in [root.clone(), root.join("docs"), root.join("docs/adr")] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    if found.len() < 10 {
        bail!("only {} documents found", found.len());
    }
    Ok(found)
}
