//! The command line with a running deployment: documents, output formats, exit codes and client files.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::external_programs;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, start_deployment, text};
use toolgate_tests::upstream_server::UpstreamServer;

const DOCUMENTS: &str = "apiVersion: toolgate/v1
kind: Gateway
metadata:
  name: team
spec:
  bindings:
    - server: second
      allTools: true
---
apiVersion: toolgate/v1
kind: Server
metadata:
  name: second
  labels: {owner: tests}
spec:
  url: http://127.0.0.1:1/mcp
";

async fn read_results(cli: &CommandLine, arguments: &[&str]) -> Result<Vec<String>> {
    let applied = cli.json(arguments).await?;
    let results = applied.as_array().into_iter().flatten();
    let results = results.filter_map(|one| one["result"].as_str());
    Ok(results.map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_applied_once_in_dependency_order() {
    let (sandbox, _up, cli) = start_deployment("apply").await.unwrap();
    let file = sandbox.join("all.yaml");
    fs::write(&file, DOCUMENTS).unwrap();
    let file = file.display().to_string();

    let dry = read_results(&cli, &["apply", "-f", &file, "--dry-run"])
        .await
        .unwrap();
    assert_eq!(dry[0], "created");
    assert!(dry[1].starts_with("not fully checked"), "{dry:?}");
    let (code, _) = cli.fails(&["get", "server", "second"]).await.unwrap();
    assert_eq!(code, 3, "a dry run writes nothing");

    assert_eq!(
        read_results(&cli, &["apply", "-f", &file]).await.unwrap(),
        ["created", "created"]
    );
    assert_eq!(
        read_results(&cli, &["apply", "-f", &file]).await.unwrap(),
        ["unchanged", "unchanged"]
    );
    cli.run(&["diff", "-f", &file]).await.unwrap();

    fs::write(&file, DOCUMENTS.replace("owner: tests", "owner: others")).unwrap();
    let differing = cli.output(&["diff", "-f", &file]).await.unwrap();
    assert_eq!(differing.status.code(), Some(1));
    assert!(
        text(&differing.stdout).contains("+    owner: others"),
        "{}",
        text(&differing.stdout)
    );
    assert_eq!(
        read_results(&cli, &["apply", "-f", &file]).await.unwrap(),
        ["configured", "unchanged"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_mode_change_appears_in_diff_and_reaches_clients() {
    let (sandbox, _up, cli) = start_deployment("listing").await.unwrap();
    let output = cli.run(&["get", "gateway", "demo", "-o", "yaml"]);
    let before = text(&output.await.unwrap().stdout);
    let (all, progressive) = ("TOOL_LISTING_ALL", "TOOL_LISTING_PROGRESSIVE");
    let after = match before.contains(all) {
        true => before.replace(all, progressive),
        false => before.replace("spec:\n", &format!("spec:\n  listing: {progressive}\n")),
    };
    let file = sandbox.join("demo.yaml");
    fs::write(&file, after).unwrap();
    let file = file.display().to_string();
    let differing = cli.output(&["diff", "-f", &file]).await.unwrap();
    let shown = text(&differing.stdout);
    assert!(
        shown.contains(&format!("+  listing: {progressive}")),
        "{shown}"
    );
    assert_eq!(
        read_results(&cli, &["apply", "-f", &file]).await.unwrap(),
        ["configured"]
    );
    let described = cli.run(&["describe", "gateway", "demo"]).await.unwrap();
    let described = text(&described.stdout);
    assert!(described.contains(progressive), "{described}");
    let wide = cli.run(&["get", "gateways", "-o", "wide"]).await.unwrap();
    let wide = text(&wide.stdout);
    assert!(wide.contains("LISTING") && wide.contains("progressive"));

    let list = ["tools", "list", "--gateway", "demo", "-o", "name"];
    let shown = eventually("two tools are listed", HANG_GUARD, || async {
        let listed = text(&cli.run(&list).await?.stdout);
        let names: Vec<&str> = listed.split_whitespace().collect();
        anyhow::ensure!(names == ["search_tools", "run_tool"], "{listed}");
        Ok(())
    });
    shown.await.unwrap();
    let search = r#"{"query": "add two numbers", "limit": 1}"#;
    let call = |tool, given| ["tools", "call", "--gateway", "demo", tool, "--args", given];
    let found = cli.run(&call("search_tools", search)).await.unwrap();
    assert!(text(&found.stdout).contains("demo__add"));
    let run = r#"{"name": "demo__add", "arguments": {"a": 2, "b": 3}}"#;
    let ran = cli.run(&call("run_tool", run)).await.unwrap();
    assert!(text(&ran.stdout).contains('5'));
}

#[tokio::test(flavor = "multi_thread")]
async fn yaml_output_of_get_can_be_applied_and_a_stale_one_is_rejected() {
    let (sandbox, _up, cli) = start_deployment("stale").await.unwrap();
    let output = cli
        .run(&["get", "gateway", "demo", "-o", "yaml"])
        .await
        .unwrap();
    let file = sandbox.join("demo.yaml");
    fs::write(&file, &output.stdout).unwrap();
    let file = file.display().to_string();
    assert_eq!(
        read_results(&cli, &["apply", "-f", &file]).await.unwrap(),
        ["unchanged"]
    );

    let changed = text(&output.stdout).replace("displayName: Demo", "displayName: Changed");
    fs::write(&file, &changed).unwrap();
    assert_eq!(
        read_results(&cli, &["apply", "-f", &file]).await.unwrap(),
        ["configured"]
    );
    fs::write(&file, changed.replace("Changed", "Again")).unwrap();
    let (code, said) = cli.fails(&["apply", "-f", &file]).await.unwrap();
    assert_eq!(code, 5, "{said}");
    let now = cli.json(&["get", "gateway", "demo"]).await.unwrap();
    assert_eq!(now["metadata"]["displayName"], "Changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_next_steps_are_as_documented() {
    let (sandbox, _up, cli) = start_deployment("codes").await.unwrap();
    let wrong = sandbox.join("wrong.yaml");
    fs::write(&wrong, DOCUMENTS.replace("allTools", "alTools")).unwrap();
    let wrong = wrong.display().to_string();
    let cases: [(&[&str], i32, &str); 7] = [
        (
            &["apply", "-f", &wrong],
            1,
            "wrong.yaml:8:7: spec.bindings[0]: unrecognized field name 'alTools'",
        ),
        (&["get", "nonsense"], 2, "kinds:"),
        (&["frobnicate"], 2, "unrecognized subcommand"),
        (&["get", "server", "nobody"], 3, "next:"),
        (
            &["server", "add", "demo", "--url", "http://127.0.0.1:1/"],
            5,
            "describe server demo",
        ),
        (&["delete", "server", "demo"], 5, "gateway default/demo"),
        (
            &["server", "add", "x", "--url", "ftp://127.0.0.1/"],
            1,
            "error: --url: ",
        ),
    ];
    for (arguments, expected, said) in cases {
        let (code, err) = cli.fails(arguments).await.unwrap();
        assert_eq!(code, expected, "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
    let (code, err) = cli
        .with_token("archestra_wrong")
        .fails(&["get", "servers"])
        .await
        .unwrap();
    assert_eq!((code, err.contains("next:")), (4, true), "{err}");
    let nobody = CommandLine::new("http://127.0.0.1:1", "x", sandbox.path());
    let (code, err) = nobody.fails(&["get", "servers"]).await.unwrap();
    assert_eq!((code, err.contains("doctor")), (6, true), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_failures_gateway_failures_and_usage_errors_have_distinct_exit_codes() {
    let (sandbox, _up, cli) = start_deployment("call-codes").await.unwrap();
    let mut server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    cli.expose("codes", server.url(), "single").await.unwrap();
    let call = |tool| ["tools", "call", "--gateway", "codes", tool];
    // A tool that fails at every call, and its server after its end.
    let cases = [
        (vec!["test_error_handling"], 1, "says that it failed"),
        (vec!["no_such_tool"], 3, "Unknown tool"),
        (vec!["test_error_handling", "--args", "{"], 2, "not JSON"),
    ];
    for (given, expected, said) in cases {
        let arguments = [&call(given[0])[..], &given[1..]].concat();
        let (code, err) = cli.fails(&arguments).await.unwrap();
        assert_eq!(code, expected, "{given:?}: {err}");
        assert!(err.contains(said), "{given:?}: {err}");
    }
    server.process().kill().unwrap();
    for more in [&[][..], &["--ignore-tool-error"]] {
        let arguments = [&call("test_error_handling")[..], more].concat();
        let (code, err) = cli.fails(&arguments).await.unwrap();
        assert_eq!(code, 7, "{err}");
        assert!(err.contains("kind upstream_unreachable"), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_bindings_is_accepted_with_a_warning() {
    let (sandbox, _up, cli) = start_deployment("hollow").await.unwrap();
    let file = sandbox.join("hollow.yaml");
    fs::write(
        &file,
        "apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {name: hollow}\n",
    )
    .unwrap();
    let applied = cli
        .run(&["apply", "-f", &file.display().to_string()])
        .await
        .unwrap();
    let told = text(&applied.stderr);
    assert!(told.contains("the gateway offers nothing"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_shown_with_its_problem_everywhere() {
    let (sandbox, _up, cli) = start_deployment("unprobed").await.unwrap();
    let text_of = |output: std::process::Output| text(&output.stdout) + &text(&output.stderr);
    cli.run(&["server", "add", "dead", "--url", "http://127.0.0.1:1/mcp"])
        .await
        .unwrap();
    let file = sandbox.join("over-dead.yaml");
    let document = "apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {name: over-dead}\nspec: {bindings: [{server: dead, allTools: true}]}\n";
    fs::write(&file, document).unwrap();
    let file = file.display().to_string();
    let applied = text_of(cli.run(&["apply", "-f", &file]).await.unwrap());
    let described = text_of(
        cli.run(&["describe", "gateway", "over-dead"])
            .await
            .unwrap(),
    );
    for told in [&applied, &described] {
        assert!(!told.contains("has not been probed yet"), "{told}");
        for words in ["no connection", "since 20", "toolgate server probe dead"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
    let servers = text_of(cli.run(&["get", "servers"]).await.unwrap());
    let row = |name| servers.lines().find(|line| line.starts_with(name));
    assert!(row("dead").unwrap().contains("failed "), "{servers}");
    assert!(row("demo").unwrap().contains("fine"), "{servers}");
    let (code, err) = cli.fails(&["server", "probe", "dead"]).await.unwrap();
    assert_eq!((code, err.contains("no connection")), (1, true), "{err}");
    let fine = text_of(cli.run(&["server", "probe", "demo"]).await.unwrap());
    assert!(fine.starts_with("4 tools"), "{fine}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_output_format_has_the_same_content() {
    let (_sandbox, _up, cli) = start_deployment("shapes").await.unwrap();
    let said = |output: std::process::Output| text(&output.stdout);
    let table = said(cli.run(&["get", "gw"]).await.unwrap());
    assert!(
        table.starts_with("NAME") && table.contains("/v1/mcp/demo"),
        "{table}"
    );
    let bare = said(cli.run(&["get", "gw", "--no-headers"]).await.unwrap());
    assert!(bare.starts_with("demo"), "{bare}");
    let name = said(cli.run(&["get", "gw", "-o", "name"]).await.unwrap());
    assert_eq!(name.trim(), "organizations/default/gateways/demo");
    let list = cli.json(&["get", "gateways"]).await.unwrap();
    let one = cli.json(&["get", "gateway/demo"]).await.unwrap();
    assert_eq!(list, Value::Array(vec![one]));
    let described = said(cli.run(&["describe", "server", "demo"]).await.unwrap());
    assert!(described.contains("tools: 4"), "{described}");
    let versions = cli.json(&["versions"]).await.unwrap();
    assert!(versions[0]["changes"].is_array(), "{versions}");
    let in_sync = eventually("the proxy is in sync", HANG_GUARD, || async {
        let proxies = cli.json(&["proxies"]).await?;
        anyhow::ensure!(proxies[0]["wanted"] == proxies[0]["acked"], "{proxies}");
        Ok(())
    });
    in_sync.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_reports_nothing_at_first_and_later_an_unreachable_server() {
    let (_sandbox, _up, cli) = start_deployment("doctor").await.unwrap();
    let healthy = eventually("all is well", HANG_GUARD, || async {
        let findings = cli.json(&["doctor"]).await?;
        let well = |findings: &Value| {
            findings
                .as_array()?
                .iter()
                .all(|f| f["verdict"] == "ok")
                .then_some(())
        };
        anyhow::ensure!(well(&findings).is_some(), "{findings:#}");
        Ok(())
    });
    healthy.await.unwrap();
    cli.run(&["server", "add", "dead", "--url", "http://127.0.0.1:1/mcp"])
        .await
        .unwrap();
    let output = cli.output(&["doctor", "-o", "json"]).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let dead = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["subject"] == "server dead")
        .unwrap();
    assert_eq!(dead["verdict"], "BROKEN");
    assert!(
        dead["fix"]
            .as_str()
            .unwrap()
            .contains("http://127.0.0.1:1/mcp"),
        "{dead}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_connected_in_its_own_file_and_disconnected_again() {
    let (sandbox, up, cli) = start_deployment("connect").await.unwrap();
    let file = sandbox.join(".claude.json");
    fs::write(&file, "{\n  \"theirs\": [1,   2]\n}\n").unwrap();
    cli.run(&["connect", "claude-code", "--gateway", "demo", "--write"])
        .await
        .unwrap();
    let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let entry = &written["mcpServers"]["demo"];
    assert_eq!(entry["url"], json!(up.url("demo")));
    assert_eq!(written["theirs"], json!([1, 2]));
    let header = entry["headers"]["Authorization"].as_str().unwrap();
    let token = header.strip_prefix("Bearer ").unwrap();
    let list = [
        "tools",
        "list",
        "--gateway",
        "demo",
        "--token",
        token,
        "-o",
        "name",
    ];
    eventually("the written token works", HANG_GUARD, || async {
        cli.run(&list).await.map(drop)
    })
    .await
    .unwrap();
    cli.run(&["connect", "claude-code", "--gateway", "demo", "--undo"])
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "{\n  \"theirs\": [1,   2]\n}\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_tool_fails_the_command_unless_overridden() {
    let (_sandbox, _up, cli) = start_deployment("tools").await.unwrap();
    let call = [
        "tools",
        "call",
        "--gateway",
        "demo",
        "demo__time",
        "--args",
        "{\"zone\":\"Moon/Base\"}",
    ];
    let (code, err) = cli.fails(&call).await.unwrap();
    assert_eq!(code, 1, "{err}");
    cli.run(&[&call[..], &["--ignore-tool-error"]].concat())
        .await
        .unwrap();
    let slow = [
        "tools",
        "call",
        "--gateway",
        "demo",
        "demo__slow",
        "--args",
        "{\"steps\":3,\"delayMs\":1}",
    ];
    let output = cli.run(&slow).await.unwrap();
    assert_eq!(
        text(&output.stderr).matches("progress ").count(),
        3,
        "{}",
        text(&output.stderr)
    );
    let tokens = cli.json(&["get", "tokens"]).await.unwrap();
    let left: Vec<_> = tokens
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["metadata"]["name"].to_string())
        .collect();
    assert!(
        left.iter().all(|name| !name.contains("/cli-")),
        "borrowed tokens are given back: {left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_starts_on_request_and_versions_keep_their_epoch() {
    let (_sandbox, mut up, cli) = start_deployment("epoch").await.unwrap();
    cli.run(&["tools", "list", "--gateway", "demo"])
        .await
        .unwrap();
    up.restart(&["--new-epoch"]).await.unwrap();
    let cli = up.cli().unwrap();
    let versions = cli
        .json(&["versions", "--all", "--limit", "200"])
        .await
        .unwrap();
    let entries = versions.as_array().into_iter().flatten();
    let epochs: Vec<_> = entries
        .map(|entry| entry["version"]["epoch"].as_str().unwrap_or_default())
        .collect();
    assert!(
        epochs.contains(&"1") && epochs.first() == Some(&"2"),
        "{epochs:?}"
    );
    assert!(
        epochs.is_sorted_by(|newer, older| newer >= older),
        "{epochs:?}"
    );
    eventually("the proxy adopts the new epoch", HANG_GUARD, || async {
        let proxies = cli.json(&["proxies"]).await?;
        anyhow::ensure!(proxies[0]["acked"]["epoch"] == "2", "{proxies}");
        Ok(())
    })
    .await
    .unwrap();
    let borrowed = |shown: &Value| shown.to_string().contains("/cli-");
    assert!(borrowed(&versions), "commands borrow tokens");
    let made = cli.json(&["versions", "--limit", "200"]).await.unwrap();
    assert!(!borrowed(&made) && made.as_array().is_some_and(|made| !made.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_and_resources_of_both_eras_are_available_in_the_cli() {
    let (sandbox, _up, cli) = start_deployment("reading").await.unwrap();
    let old = UpstreamServer::fixture(&sandbox, "old", &["--legacy-only"])
        .await
        .unwrap();
    let new = UpstreamServer::fixture(&sandbox, "new", &[]).await.unwrap();
    for (name, server) in [("old", &old), ("new", &new)] {
        cli.run(&["server", "add", name, "--url", server.url()])
            .await
            .unwrap();
    }
    let both = [
        "gateway", "create", "both", "--server", "old", "--server", "new",
    ];
    cli.run(&both).await.unwrap();
    let some = [
        "--prefix",
        "single",
        "--tools",
        "none",
        "--prompts",
        "test_simple_prompt",
    ];
    let one = [&["gateway", "create", "one", "--server", "new"][..], &some].concat();
    cli.run(&one).await.unwrap();
    let listed = async |what: &[&str]| text(&cli.run(what).await.unwrap().stdout);
    let prompts = listed(&["prompts", "list", "--gateway", "one", "-o", "name"]).await;
    assert_eq!(prompts.trim(), "test_simple_prompt");
    for server in ["old", "new"] {
        let prompt = format!("{server}__test_prompt_with_arguments");
        let args = "{\"arg1\":\"x\",\"arg2\":\"y\"}";
        let said = listed(&[
            "prompts",
            "get",
            "--gateway",
            "both",
            &prompt,
            "--args",
            args,
        ])
        .await;
        assert!(said.starts_with("user: ") && said.contains("'x'"), "{said}");
        let uri = format!("{server}+test://static-text");
        let uris = listed(&["resources", "list", "--gateway", "both", "-o", "name"]).await;
        assert!(uris.contains(&uri), "{uris}");
        let read = listed(&["resources", "read", "--gateway", "both", &uri]).await;
        assert!(read.contains("static text resource"), "{read}");
    }
    let read = [
        "resources",
        "read",
        "--gateway",
        "one",
        "test://static-text",
    ];
    let (code, err) = cli.fails(&read).await.unwrap();
    assert_eq!(code, 3, "chosen prompts bring no resources: {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn object_names_are_completed() {
    let (sandbox, _up, cli) = start_deployment("completion").await.unwrap();
    let cases = [
        ("get ga", "gateways"),
        ("get gateways d", "demo"),
        ("tools list --gateway d", "demo"),
        ("gateway create x --server d", "demo"),
        ("gateway create x --server demo --tools ech", "echo"),
        ("token create x --tool demo__ech", "demo__echo"),
    ];
    for (line, word) in cases {
        let words: Vec<_> = line.split(' ').collect();
        let output = Command::new(external_programs::toolgate().unwrap())
            .args(["--", "toolgate"])
            .args(&words)
            .current_dir(sandbox.path())
            .envs(cli.environment())
            .env("TOOLGATE_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_IFS", "\n")
            .output()
            .unwrap();
        assert_eq!(
            text(&output.stdout).trim(),
            word,
            "{line}: {}",
            text(&output.stderr)
        );
    }
    let script = cli.run(&["completion", "bash"]).await.unwrap();
    assert!(text(&script.stdout).contains("complete "));
}

#[test]
fn a_start_rejected_by_its_settings_leaves_no_files() {
    let sandbox = Sandbox::new("forbidden-start").unwrap();
    let faults: [(&str, &[&str]); 2] = [
        ("--insecure-admin", &["--admin-listen", "0.0.0.0:0"]),
        (
            "/nonexistent",
            &[
                "--admin-cert",
                "/nonexistent",
                "--admin-key",
                "/nonexistent",
            ],
        ),
    ];
    for (words, flags) in faults {
        let output = Command::new(external_programs::toolgate().unwrap())
            .args(["control-plane", "--private-listen", "127.0.0.1:0"])
            .args(["--push-listen", "127.0.0.1:0", "--data-dir", "plane"])
            .args(flags)
            .current_dir(sandbox.path())
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(words), "{told}");
        for name in ["key", "admin-token", "store.redb"] {
            let file = sandbox.join("plane").join(name);
            assert!(!file.exists(), "{words}: {}", file.display());
        }
    }
}
