//! Pages with facts about the code: the documents of every kind can be applied, and the figures of the limits equal the
//! constants in the code.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use toolgate_tests::external_programs::repository;
use toolgate_tests::toolgate::{start_deployment, text};

fn read(path: &str) -> Result<String> {
    fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_of_every_kind_can_be_applied_and_compared() {
    let page = read("docs/documents.md").unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    let documents: Vec<_> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    for kind in [
        "Organization",
        "Credential",
        "Server",
        "IdentityProvider",
        "Gateway",
        "Token",
    ] {
        let line = format!("kind: {kind}\n");
        assert!(documents.iter().any(|it| it.contains(&line)), "{kind}");
    }
    let (sandbox, _up, cli) = start_deployment("documents").await.unwrap();
    let file = sandbox.join("all.yaml");
    fs::write(&file, documents.join("---\n")).unwrap();
    let file = file.display().to_string();
    let results = async |arguments: &[&str]| {
        let applied = cli.json(arguments).await.unwrap();
        let results = applied.as_array().unwrap().iter();
        let results = results.map(|one| one["result"].as_str().unwrap().to_owned());
        results.collect::<Vec<_>>()
    };
    let first = results(&["apply", "-f", &file]).await;
    assert_eq!(first.len(), documents.len());
    assert_eq!(first[0], "configured", "the organization exists");
    assert!(first[1..].iter().all(|it| it == "created"), "{first:?}");
    // The value of a credential is written each time.
    let again = results(&["apply", "-f", &file]).await;
    let configured = again.iter().filter(|it| *it == "configured").count();
    assert_eq!(configured, 1, "{again:?}");

    let wide = cli.run(&["get", "tokens", "-o", "wide"]).await.unwrap();
    let wide = text(&wide.stdout);
    let row = wide.lines().find(|line| line.starts_with("travel-agent"));
    let row = row.unwrap_or_else(|| panic!("{wide}"));
    for shown in ["team travel", "weather_in_europe", "10 per 1s"] {
        assert!(row.contains(shown), "{shown}: {wide}");
    }
}

/// Returns the value of a constant of integers, or of a duration in seconds.
fn constant(path: &str, name: &str) -> Result<u64> {
    let source = read(path)?;
    let begin = format!("const {name}: ");
    let found = source
        .split_once(&begin)
        .with_context(|| format!("{path} {name}"))?;
    let (_, value) = found.1.split_once(" = ").context("no value")?;
    let (value, _) = value.split_once(';').context("no end")?;
    let value = value.trim().trim_start_matches("Duration::from_secs(");
    evaluate(path, &value.replace([')', '('], " "))
}

/// Evaluates products and quotients of numbers and constants.
fn evaluate(path: &str, expression: &str) -> Result<u64> {
    let mut words = expression.split_whitespace();
    let operand = |word: &str| match word.replace('_', "").parse() {
        Ok(number) => Ok(number),
        Err(_) => constant(path, word),
    };
    let mut value: u64 = operand(words.next().context("empty")?)?;
    while let (Some(operator), Some(word)) = (words.next(), words.next()) {
        let other = operand(word)?;
        value = match operator {
            "*" => value * other,
            "/" => value / other,
            "+" => value + other,
            "-" => value - other,
            other => anyhow::bail!("{path}: {other} in {expression}"),
        };
    }
    Ok(value)
}

/// Returns the value of a figure such as `5,000`, `16 KiB` or `30 min`.
fn figure(cell: &str) -> Result<u64> {
    let (number, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    let number: u64 = number
        .replace(',', "")
        .parse()
        .with_context(|| cell.to_owned())?;
    let factor = match unit {
        "" | "s" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => anyhow::bail!("unit {other}"),
    };
    Ok(number * factor)
}

#[test]
fn the_figures_of_the_limits_are_those_of_the_code() {
    let page = read("docs/limits.md").unwrap();
    let mut named = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in page.lines().filter(|line| line.contains(".rs` `")) {
        let cells: Vec<_> = row.split(" | ").collect();
        let [_limit, shown, _setting, code] = cells.as_slice() else {
            panic!("{row}");
        };
        let code: Vec<_> = code.split('`').skip(1).step_by(2).collect();
        let compared = constant(code[0], code[1]).and_then(|real| {
            ensure!(figure(shown)? == real, "the code has {real}");
            Ok(())
        });
        if let Err(error) = compared {
            wrong.push(format!("{row}: {error:#}"));
        }
        named.insert((code[0].to_owned(), code[1].to_owned()));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named.len() > 60, "{}", named.len());
    // Every limit of objects is on the page.
    let path = "control-plane/core/src/limits.rs";
    let source = read(path).unwrap();
    let constants = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "));
    let own = ["DEFINITION_OVERHEAD", "SWEEP_BATCH", "PARTS_SWEEP_BATCH"];
    let missing: Vec<_> = constants
        .filter_map(|line| line.split(':').next())
        .filter(|name| !own.contains(name))
        .filter(|name| !named.contains(&(path.to_owned(), (*name).to_owned())))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Returns the labels that the function `fn kind` of these sources returns, and those of rate limits.
fn labels(path: &str, function: &str) -> Result<BTreeSet<String>> {
    let source = read(path)?;
    let (_, body) = source
        .split_once(function)
        .with_context(|| format!("{path}: no `{function}`"))?;
    let (body, _) = body.split_once("\n    }\n").unwrap_or((body, ""));
    let arms = body.lines().filter_map(|line| line.split_once("=> \""));
    let labels = arms.filter_map(|(_, label)| label.split('"').next());
    Ok(labels.map(str::to_owned).collect())
}

#[test]
fn each_reason_of_a_refusal_is_explained() {
    let refusal = "data-plane/core/src/refusal.rs";
    let mut told = labels(refusal, "pub fn kind(&self)").unwrap();
    for (path, function) in [
        (refusal, "const fn rate_limit_kind"),
        (
            "data-plane/core/src/authn/token_fault.rs",
            "pub const fn kind(self)",
        ),
        ("shared/mcp/src/cdn_loop.rs", "pub fn kind(self)"),
    ] {
        let more = labels(path, function).unwrap();
        assert!(more.len() > 1, "{path}");
        told.extend(more);
    }
    let failures = labels(refusal, "pub fn kind(self)").unwrap();
    assert!(
        told.len() > 40 && failures.len() > 20,
        "{told:?} {failures:?}"
    );
    let page = read("docs/operations.md").unwrap();
    let rows = |heading: &str| {
        let (_, part) = page.split_once(heading).unwrap();
        let (part, _) = part.split_once("\n## ").unwrap_or((part, ""));
        let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
        let names = rows.filter_map(|row| row.split('`').next());
        names.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(rows("## Refused requests"), told);
    let mut failed = rows("## Failed calls");
    // A call that needs a page to be opened first has not failed at its server.
    failed.remove("needs_visit");
    assert_eq!(failed, failures);
}
