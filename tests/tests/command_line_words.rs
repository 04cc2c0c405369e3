//! Words and forms that operators know from kubectl and gh, with a running deployment: kinds, names, selectors,
//! templates, watches, and deletion by document.

use std::fs;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;
use toolgate_tests::clock::HANG_GUARD;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{self, CommandLine, ToolgateUp, shown, text};

const DOCUMENTS: &str = "apiVersion: toolgate/v1
kind: Server
metadata:
  name: git
  labels: {team: ops, env: prod}
spec:
  url: http://127.0.0.1:1/mcp
---
apiVersion: toolgate/v1
kind: Server
metadata:
  name: mail
  labels: {team: web}
spec:
  url: http://127.0.0.1:2/mcp
---
apiVersion: toolgate/v1
kind: Gateway
metadata:
  name: tools
spec:
  bindings:
    - server: git
      allTools: true
";

async fn start_deployment(name: &str) -> Result<(Sandbox, ToolgateUp, CommandLine, String)> {
    let (sandbox, up, cli) = toolgate::start_deployment(name).await?;
    let file = sandbox.join("all.yaml");
    fs::write(&file, DOCUMENTS)?;
    let file = file.display().to_string();
    cli.run(&["apply", "-f", &file]).await?;
    Ok((sandbox, up, cli, file))
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_named_listed_and_selected_as_with_kubectl() {
    let (_sandbox, up, cli, _file) = start_deployment("words").await.unwrap();
    let all = shown(&cli, "get all").await.unwrap();
    for name in ["server/git", "server/demo", "gateway/tools", "token/"] {
        assert!(all.contains(name), "{name}: {all}");
    }
    let address = format!("http://{}", up.admin());
    for line in [
        "servers ls -o name".to_owned(),
        "server list -o name".to_owned(),
        "get servers -o name".to_owned(),
        format!("--addr {address} ls srv -o name"),
        "-o name get servers".to_owned(),
    ] {
        let names = shown(&cli, &line).await.unwrap();
        assert_eq!(
            names.lines().collect::<Vec<_>>(),
            [
                "organizations/default/servers/demo",
                "organizations/default/servers/git",
                "organizations/default/servers/mail",
            ],
            "{line}"
        );
    }
    for (selector, names) in [
        ("team=ops", "git"),
        ("team!=ops", "demo mail"),
        ("team in (ops,web)", "git mail"),
        ("!team", "demo"),
        ("team,env!=prod", "mail"),
    ] {
        let output = cli
            .run(&[
                "get",
                "servers",
                "-l",
                selector,
                "-o",
                "jsonpath={.items[*].metadata.name}",
            ])
            .await
            .unwrap();
        let found = text(&output.stdout).replace("organizations/default/servers/", "");
        assert_eq!(found.trim(), names, "{selector}");
    }
    let wrong = ["get", "servers", "-l", "team~ops"];
    let (code, said) = cli.fails(&wrong).await.unwrap();
    assert_eq!((code, said.contains("next:")), (2, true), "{said}");
    let labels = shown(&cli, "get servers --show-labels").await.unwrap();
    assert!(labels.contains("env=prod,team=ops"), "{labels}");

    let some = cli
        .output(&["get", "server", "git,nobody", "mail"])
        .await
        .unwrap();
    assert_eq!(some.status.code(), Some(3), "{}", text(&some.stderr));
    let table = text(&some.stdout);
    assert!(table.contains("git") && table.contains("mail"), "{table}");
    let yaml = shown(&cli, "get server git mail -o yaml").await.unwrap();
    assert!(yaml.starts_with("---\n"), "{yaml}");
    assert_eq!(yaml.matches("---\n").count(), 2, "{yaml}");
    let one = shown(&cli, "get server/git -o yaml").await.unwrap();
    assert!(one.starts_with("apiVersion"), "{one}");

    let help = shown(&cli, "help server add").await.unwrap();
    assert!(help.contains("--protocol-version"), "{help}");
    let version = shown(&cli, "version").await.unwrap();
    assert!(version.starts_with("toolgate "), "{version}");
    let (code, said) = cli.fails(&["cluster-info"]).await.unwrap();
    assert_eq!((code, said.contains("next: ")), (2, true), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_printed_name_is_accepted_by_every_command() {
    let (_sandbox, _up, cli, _file) = start_deployment("printed-names").await.unwrap();
    for kind in [
        "orgs",
        "servers",
        "gateways",
        "tokens",
        "proxies",
        "catalogues",
    ] {
        let names = shown(&cli, &format!("get {kind} -o name")).await.unwrap();
        assert!(!names.is_empty(), "{kind}");
        for name in names.lines() {
            for verb in ["get", "describe"] {
                let again = shown(&cli, &format!("{verb} {name} -o name"))
                    .await
                    .unwrap();
                assert_eq!(again.trim(), name, "{verb} {name}");
            }
        }
    }
    let server = "organizations/default/servers/demo";
    let gateway = "organizations/default/gateways/demo";
    for line in [
        format!("server probe {server}"),
        format!("gateway create again --server {server} --tools echo"),
        format!("token create ci --gateway {gateway}"),
        format!("tools list --gateway {gateway}"),
        format!("tools call demo__echo --gateway {gateway} --args {{\"text\":\"hi\"}}"),
        format!("connect cursor --gateway {gateway}"),
        "token revoke organizations/default/tokens/ci".to_owned(),
        "delete organizations/default/tokens/ci".to_owned(),
    ] {
        shown(&cli, &line).await.unwrap();
    }
    let other = "organizations/acme/servers/demo";
    let (code, said) = cli.fails(&["server", "probe", other]).await.unwrap();
    assert_ne!(code, 0, "{said}");
    assert!(!said.contains("default"), "{said}");
}

async fn next_line(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String> {
    let line = tokio::time::timeout(HANG_GUARD, lines.next_line()).await??;
    line.context("the watch has ended")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_the_objects_and_then_their_changes() {
    let (_sandbox, _up, cli, file) = start_deployment("watch").await.unwrap();
    let mut command = cli
        .command(&["get", "gateways", "--watch", "-o", "json"])
        .unwrap();
    command.stdout(std::process::Stdio::piped());
    let mut watch = command.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for name in ["gateways/demo", "gateways/tools"] {
        let line = next_line(&mut lines).await.unwrap();
        assert!(line.contains("\"ADDED\"") && line.contains(name), "{line}");
    }
    cli.run(&["gateway", "create", "more", "--server", "mail"])
        .await
        .unwrap();
    let line = next_line(&mut lines).await.unwrap();
    assert!(line.contains("gateways/more"), "{line}");
    cli.run(&["delete", "gateway", "more"]).await.unwrap();
    loop {
        let line = next_line(&mut lines).await.unwrap();
        if line.contains("\"DELETED\"") {
            assert!(line.contains("gateways/more"), "{line}");
            break;
        }
    }
    watch.kill().await.unwrap();

    // Documents are deleted in the reverse order of their references.
    let deleted = shown(&cli, &format!("delete -f {file}")).await.unwrap();
    let names: Vec<_> = deleted.lines().collect();
    assert!(names[0].contains("gateways/tools"), "{deleted}");
    assert_eq!(names.len(), 3, "{deleted}");
    let again = shown(&cli, &format!("delete -f {file} --ignore-not-found"))
        .await
        .unwrap();
    assert_eq!(again, "");
}
