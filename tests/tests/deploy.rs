//! The files in `deploy/` are valid, name only existing flags, and work as far as it can be tested without images.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::process::TestProcess;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ToolgateUp, text};
use toolgate_tests::{external_programs, port};

fn deploy_path(path: &str) -> PathBuf {
    external_programs::repository().join("deploy").join(path)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(deploy_path(path)).with_context(|| path.to_owned())
}

fn succeeds(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    if !output.status.success() {
        bail!("{command:?} ended with {}:\n{said}", output.status);
    }
    Ok(said)
}

/// Checks that the arguments parse: with `--print-config` a role reads all its settings and ends.
fn check_arguments(arguments: &[String], environment: &BTreeMap<String, String>) -> Result<()> {
    let mut command = Command::new(external_programs::toolgate()?);
    command.args(arguments).arg("--print-config");
    command.env_clear().envs(environment);
    succeeds(command).map(drop)
}

#[test]
fn systemd_accepts_the_units_and_their_flags_exist() {
    let sandbox = Sandbox::new("systemd").unwrap();
    let binary = external_programs::toolgate().unwrap().display().to_string();
    for unit in ["toolgate-up", "toolgate-control-plane", "toolgate-proxy"] {
        let content = read(&format!("systemd/{unit}.service")).unwrap();
        let start = content
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/toolgate "))
            .unwrap();
        let words: Vec<_> = start.split(' ').collect();
        // The settings file belongs to the operator; all other arguments must parse.
        let arguments: Vec<String> = words
            .iter()
            .enumerate()
            .filter(|(at, word)| **word != "--config" && (*at == 0 || words[at - 1] != "--config"))
            .map(|(_, word)| (*word).to_owned())
            .collect();
        let control = ("TOOLGATE_CONTROL_PLANE", "https://127.0.0.1:7410");
        let environment = [control].map(|(k, v)| (k.to_owned(), v.to_owned()));
        check_arguments(&arguments, &environment.into()).unwrap();
        assert!(content.contains("Type=notify"), "{unit}");
        assert!(content.contains("\nLimitCORE=0\n"), "{unit} dumps memory");
        let copy = sandbox.join(&format!("{unit}.service"));
        fs::write(&copy, content.replace("/usr/bin/toolgate", &binary)).unwrap();
        // A container may lack systemd; the flags are checked in any case.
        if let Ok(analyze) = external_programs::program("systemd-analyze") {
            let mut command = Command::new(analyze);
            command.arg("verify").arg(&copy);
            succeeds(command).unwrap();
        }
    }
}

#[test]
fn haproxy_accepts_its_configuration() {
    let mut command = Command::new(external_programs::program("haproxy").unwrap());
    command
        .arg("-c")
        .arg("-f")
        .arg(deploy_path("haproxy/haproxy.cfg"));
    succeeds(command).unwrap();
}

#[tokio::test]
async fn clients_and_operators_connect_through_haproxy() {
    let sandbox = Sandbox::new("haproxy").unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let (mcp, admin) = (port::free().unwrap(), port::free().unwrap());
    let mut config = read("haproxy/haproxy.cfg").unwrap();
    config = config
        .replace("bind :7300", &format!("bind {mcp}"))
        .replace("bind :7400", &format!("bind {admin}"))
        .replace("port 7401", &format!("port {}", up.private().port()));
    for name in ["proxy-1", "proxy-2", "proxy-3"] {
        config = config.replace(&format!(" {name}:7300"), &format!(" {}", up.mcp()));
    }
    for name in ["control-plane-1", "control-plane-2"] {
        config = config.replace(&format!(" {name}:7400"), &format!(" {}", up.admin()));
    }
    let file = sandbox.join("haproxy.cfg");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(external_programs::program("haproxy").unwrap());
    command.arg("-db").arg("-f").arg(&file);
    let _haproxy = TestProcess::start("haproxy", sandbox.path(), command).unwrap();
    let token = fs::read_to_string(up.data().join("admin-token")).unwrap();
    let cli = CommandLine::new(&format!("http://{admin}"), token.trim(), sandbox.path())
        .with_endpoint(&format!("http://{mcp}"));
    let call = ["tools", "call", "--gateway", "demo", "demo__echo"];
    let call = [&call[..], &["--args", "{\"text\":\"through\"}"]].concat();
    let called = eventually("a call through haproxy", HANG_GUARD, || cli.run(&call));
    let output = called.await.unwrap();
    assert_eq!(text(&output.stdout).trim(), "through");
    let token = cli.token("balanced", &["--gateway", "demo"]).await.unwrap();
    let url = format!("http://{mcp}/v1/mcp/demo");
    let agent = Agent::legacy(&url, &token).await.unwrap();
    let listed = agent.request("tools/list", serde_json::json!({})).await;
    assert!(listed.unwrap().text().contains("demo__echo"));
}

/// Services of the compose file with inherited keys.
fn services() -> Result<BTreeMap<String, Value>> {
    let compose: Value = serde_saphyr::from_str(&read("compose.yaml")?)
        .map_err(|error| anyhow::Error::msg(error.to_string()))?;
    let services = compose.get("services").and_then(Value::as_object);
    let services = services.context("no services")?;
    Ok(services
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect())
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn every_service_command_of_the_compose_file_parses() {
    let services = services().unwrap();
    let count = |prefix: &str| {
        services
            .keys()
            .filter(|name| name.starts_with(prefix))
            .count()
    };
    assert_eq!(count("etcd"), 1);
    assert_eq!(count("control-plane-"), 2);
    assert_eq!(count("proxy-"), 3);
    assert_eq!(count("haproxy"), 1);
    for (name, service) in &services {
        let arguments = texts(&service["command"]);
        if !name.starts_with("control-plane-") && !name.starts_with("proxy-") {
            continue;
        }
        let environment: BTreeMap<String, String> = service["environment"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()))
            .collect();
        assert!(!arguments.is_empty(), "{name} has no command");
        check_arguments(&arguments, &environment)
            .with_context(|| name.clone())
            .unwrap();
        let hardened = service["read_only"] == true && texts(&service["cap_drop"]) == ["ALL"];
        assert!(
            hardened,
            "{name} may write to its image or has capabilities"
        );
    }
}

#[test]
fn the_image_copies_existing_files_and_runs_unprivileged() {
    let dockerfile = read("Dockerfile").unwrap();
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY ")) {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        let local = words.first().filter(|word| !word.starts_with("--"));
        if let Some(source) = local {
            assert!(
                external_programs::repository().join(source).exists(),
                "{line}"
            );
        }
    }
    let users: Vec<_> = dockerfile
        .lines()
        .filter(|line| line.starts_with("USER "))
        .collect();
    assert_eq!(users, ["USER 65532:65532"]);
    let last = dockerfile
        .lines()
        .rfind(|line| line.starts_with("CMD "))
        .unwrap();
    let arguments: Vec<String> = serde_json::from_str(&last[4..]).unwrap();
    check_arguments(&arguments, &BTreeMap::new()).unwrap();
}
