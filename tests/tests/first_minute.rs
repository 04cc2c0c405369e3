//! First use: the commands that `toolgate up` prints work as printed, immediately.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::process::Command;
use tokio::sync::Mutex;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, is_drill, now, within};
use toolgate_tests::external_programs;
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::process::TestProcess;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, text};

/// Limit from the printed lines to the result of a tool.
const MAX_FIRST_CALL: Duration = Duration::from_secs(1);

/// The limit of one second holds for a machine that does not start three more processes meanwhile: the tests of this
/// file run one at a time.
static TURN_LOCK: Mutex<()> = Mutex::const_new(());

/// The command that starts with `word`, with its continuation lines.
fn command(printed: &str, word: &str) -> Result<String> {
    let mut lines = printed
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with(word));
    let mut found = String::new();
    for line in lines.by_ref() {
        found.push_str(line);
        found.push('\n');
        if !line.ends_with('\\') {
            break;
        }
    }
    anyhow::ensure!(!found.is_empty(), "no line with {word:?} in:\n{printed}");
    Ok(found)
}

/// Runs a printed line in a shell, with `folder` first on the path.
async fn run_pasted(line: &str, folder: &std::path::Path) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", line])
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("HOME", folder)
        .env("CURL_HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await?;
    let printed = text(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "{line}\n{printed}{}",
        text(&output.stderr)
    );
    Ok(printed)
}

/// Full output, once the last expected line is printed.
async fn printed_lines(up: &mut ToolgateUp) -> Result<String> {
    up.process().wait_for_line("curl", HANG_GUARD).await?;
    up.process()
        .wait_for_line("claude mcp add", HANG_GUARD)
        .await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(up.process().stdout())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_curl_command_calls_a_tool_immediately() {
    let _turn = TURN_LOCK.lock().await;
    let sandbox = Sandbox::new("curl").unwrap();
    let mut up = ToolgateUp::launch(&sandbox, &[]).unwrap();
    let printed = printed_lines(&mut up).await.unwrap();
    let line = command(&printed, "curl").unwrap();
    // Measured by curl itself: the load time of curl from a cold disk does not count.
    fs::write(
        sandbox.join(".curlrc"),
        "write-out = \"\\n%{time_total}\"\n",
    )
    .unwrap();
    let answered = run_pasted(&line, sandbox.path()).await.unwrap();
    assert!(answered.contains("\"result\""), "{line}\n{answered}");
    let took = answered.lines().last().unwrap();
    let took = Duration::from_secs_f64(took.parse().unwrap());
    assert!(!is_drill() || took < MAX_FIRST_CALL, "took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_claude_command_names_a_working_endpoint() {
    let _turn = TURN_LOCK.lock().await;
    let sandbox = Sandbox::new("claude").unwrap();
    let mut up = ToolgateUp::launch(&sandbox, &[]).unwrap();
    let printed = printed_lines(&mut up).await.unwrap();
    let line = command(&printed, "claude mcp add").unwrap();
    // The real client needs an account, so a program of its name prints its arguments: a real shell checks the quoting.
    let fake = sandbox.join("claude");
    fs::write(
        &fake,
        "#!/bin/sh\nfor word in \"$@\"; do printf '%s\\n' \"$word\"; done\n",
    )
    .unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let words = run_pasted(&line, sandbox.path()).await.unwrap();
    let words: Vec<&str> = words.lines().collect();
    let url = words
        .iter()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let header = words
        .iter()
        .find_map(|word| word.strip_prefix("Authorization: Bearer "));
    let token = header.with_context(|| format!("{words:?}")).unwrap();
    let start = now();
    let modern = Agent::modern(url, token);
    let tools = modern.tools().await.unwrap();
    let legacy = Agent::legacy(url, token).await.unwrap();
    assert_eq!(legacy.tools().await.unwrap(), tools);
    let echo = tools.iter().find(|name| name.ends_with("echo")).unwrap();
    let add = tools.iter().find(|name| name.ends_with("add")).unwrap();
    modern
        .call(echo, json!({"text": "hi", "message": "hi"}))
        .await
        .unwrap();
    let sum = legacy.call(add, json!({"a": 2, "b": 3})).await.unwrap();
    assert!(sum.to_string().contains('5'), "{sum}");
    let took = start.elapsed();
    assert!(!is_drill() || took < MAX_FIRST_CALL, "took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_addresses_have_the_ports_that_the_system_chose() {
    let _turn = TURN_LOCK.lock().await;
    let sandbox = Sandbox::new("ports").unwrap();
    let mut command = std::process::Command::new(external_programs::toolgate().unwrap());
    command.current_dir(sandbox.path());
    command.args(["up", "--data-dir", "data"]);
    for flag in ["--listen", "--admin-listen", "--private-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let mut process = TestProcess::start("up", sandbox.path(), command).unwrap();
    let health = process.wait_for_line("/readyz", HANG_GUARD).await.unwrap();
    process.wait_for_line("curl", HANG_GUARD).await.unwrap();
    let printed = process.stdout();
    assert!(
        !printed.contains(":0/") && !printed.contains(":0\n"),
        "{printed}"
    );
    let url = health
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let url = url.unwrap().trim_end_matches(',');
    let answer = TestHttpClient::default().get(url).await.unwrap();
    assert!(answer.status.is_success(), "{url}: {}", answer.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_finds_the_running_process() {
    let _turn = TURN_LOCK.lock().await;
    let sandbox = Sandbox::new("cli").unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let mode = fs::metadata(up.data().join("admin-token"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "the admin token is readable by others");
    let cli = up.cli().unwrap();
    let listed = cli
        .json(&["tools", "list", "--gateway", "demo"])
        .await
        .unwrap();
    assert!(listed.to_string().contains("echo"), "{listed}");
    let arguments = [
        "tools",
        "call",
        "--gateway",
        "demo",
        "demo__add",
        "--args",
        r#"{"a":2,"b":3}"#,
    ];
    let called = cli.run(&arguments).await.unwrap();
    assert!(
        text(&called.stdout).contains('5'),
        "{}",
        text(&called.stdout)
    );
    let proxies = cli.json(&["proxies"]).await.unwrap();
    assert!(!proxies.as_array().is_some_and(Vec::is_empty), "{proxies}");
    cli.run(&["doctor"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_demo_token_and_no_output_in_a_pipe_holds_a_token() {
    let _turn = TURN_LOCK.lock().await;
    let sandbox = Sandbox::new("demo-token").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let mut printed = printed_lines(&mut up).await.unwrap();
    let secret = |up: &ToolgateUp, file: &str| fs::read_to_string(up.data().join(file)).unwrap();
    let first = secret(&up, "demo-token");
    let mode = fs::metadata(up.data().join("demo-token")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    for _restart in 0..2 {
        up.restart(&[]).await.unwrap();
        printed += &printed_lines(&mut up).await.unwrap();
        assert_eq!(secret(&up, "demo-token"), first);
    }
    for file in ["demo-token", "admin-token"] {
        assert!(!printed.contains(secret(&up, file).trim()), "{printed}");
        assert!(printed.contains(file), "{printed}");
    }
    let tokens = up.cli().unwrap().json(&["get", "tokens"]).await.unwrap();
    let demo = tokens.to_string().matches("tokens/demo-").count();
    assert_eq!(demo, 1, "{tokens}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_shutdown_is_quick_and_clean() {
    let _turn = TURN_LOCK.lock().await;
    let sandbox = Sandbox::new("end").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    up.process().signal("TERM").unwrap();
    let status = up
        .process()
        .wait_for_exit(within(Duration::from_secs(20)))
        .await
        .unwrap();
    assert!(status.success(), "{status}\n{}", up.process().stderr());
    assert!(external_programs::toolgate().is_ok());
}
