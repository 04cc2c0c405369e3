//! `toolgate logs`: the calls through a gateway, live, over two control planes and in one process.

use std::process::Stdio;

use anyhow::{Context, Result};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use toolgate_tests::agent::{Agent, refusal};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess, ToolgateUp, text};
use toolgate_tests::upstream_server::UpstreamServer;

const MIB: u64 = 1024 * 1024;

/// Value of an argument, which no record has.
const ARGUMENT: &str = "canary-of-an-argument";

/// Running `toolgate logs main -o json`.
struct LiveLogs {
    lines: Lines<BufReader<ChildStdout>>,
    notices: Lines<BufReader<ChildStderr>>,
    all: String,
    process: Child,
}

async fn next_line<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>) -> Result<String> {
    let line = tokio::time::timeout(HANG_GUARD, lines.next_line()).await??;
    line.context("the logs have ended")
}

impl LiveLogs {
    fn start(cli: &CommandLine, flags: &[&str]) -> Result<Self> {
        let mut arguments = vec!["logs", "main", "-o", "json"];
        arguments.extend(flags);
        let mut command = cli.command(&arguments)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        let stdout = process.stdout.take().context("no standard output")?;
        let stderr = process.stderr.take().context("no standard error")?;
        Ok(Self {
            lines: BufReader::new(stdout).lines(),
            notices: BufReader::new(stderr).lines(),
            all: String::new(),
            process,
        })
    }

    /// Returns the first call from now on for which `condition` holds.
    async fn find(&mut self, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let line = next_line(&mut self.lines).await?;
            self.all += &line;
            let call: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            if condition(&call) {
                return Ok(call);
            }
        }
    }

    /// Returns the first notice from now on that contains `words`.
    async fn notice(&mut self, words: &str) -> Result<String> {
        loop {
            let line = next_line(&mut self.notices).await?;
            self.all += &line;
            if line.contains(words) {
                return Ok(line);
            }
        }
    }
}

fn is_echo(call: &Value) -> bool {
    call["tool"] == "echo" && call["result"] == "CALL_RESULT_OK"
}

/// Past calls that these flags select.
async fn past(cli: &CommandLine, flags: &[&str]) -> Result<Vec<Value>> {
    let mut arguments = vec!["logs", "main", "--follow=false", "-o", "json"];
    arguments.extend(flags);
    let shown = text(&cli.run(&arguments).await?.stdout);
    let calls = shown.lines().map(serde_json::from_str);
    Ok(calls.collect::<Result<_, _>>()?)
}

/// Two control planes over one store, with a proxy of each, which knows both.
struct TwoPlanes {
    planes: [ControlPlaneProcess; 2],
    proxies: Vec<ProxyProcess>,
    token: String,
    _server: UpstreamServer,
    _etcd: TestEtcdCluster,
    _sandbox: Sandbox,
}

impl TwoPlanes {
    async fn start(name: &str) -> Result<Self> {
        let sandbox = Sandbox::new(name)?;
        let etcd = TestEtcdCluster::start(&sandbox, 1).await?;
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[]).await?;
        let first = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints()).await?;
        let second = first.start_replica("replica").await?;
        let planes = [first, second];
        let mut proxies = Vec::new();
        for at in 0..2 {
            let other = format!("https://{}", planes[1 - at].push());
            let flags = ["--control-plane", other.as_str()];
            let name = format!("proxy-{}", at + 1);
            proxies.push(ProxyProcess::join_with(&sandbox, &name, &planes[at], &flags).await?);
        }
        let cli = planes[0].cli()?;
        cli.expose("main", server.url(), "single").await?;
        let token = cli.token("everywhere", &["--user", "ada"]).await?;
        for proxy in &proxies {
            let agent = Agent::modern(&proxy.url("main"), &token);
            eventually("every proxy serves", HANG_GUARD, || {
                agent.echo("echo", "hello")
            })
            .await?;
        }
        Ok(Self {
            planes,
            proxies,
            token,
            _server: server,
            _etcd: etcd,
            _sandbox: sandbox,
        })
    }

    fn agent(&self, proxy: usize) -> Agent {
        Agent::modern(&self.proxies[proxy].url("main"), &self.token)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_one_control_plane_sees_the_calls_of_every_proxy_live() {
    let fleet = TwoPlanes::start("logs").await.unwrap();
    let cli = fleet.planes[0].cli().unwrap();
    for plane in &fleet.planes {
        let mut logs = LiveLogs::start(&plane.cli().unwrap(), &["--tail", "0"]).unwrap();
        for (at, name) in ["proxy-1", "proxy-2"].iter().enumerate() {
            let agent = fleet.agent(at);
            // The stream may open after the first calls.
            let of_proxy = |call: &Value| is_echo(call) && call["proxy"] == *name;
            let calls = async {
                loop {
                    agent.echo("echo", ARGUMENT).await.unwrap();
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            };
            let call = tokio::select! {
                call = logs.find(of_proxy) => call.unwrap(),
                () = calls => unreachable!(),
            };
            assert_eq!(call["principal"], "user:ada", "{call}");
            assert_eq!(call["token"], "everywhere", "{call}");
            assert_eq!(call["method"], "tools/call", "{call}");
            assert_eq!(call["server"], "main", "{call}");
            assert_eq!(call["protocolVersion"], "2026-07-28", "{call}");
            for number in ["durationUs", "requestBytes", "responseBytes"] {
                let number: u64 = call[number].as_str().unwrap().parse().unwrap();
                assert!(number > 0, "{call}");
            }
        }
        let agent = fleet.agent(1);
        let reply = agent.call("lokup", json!({"message": ARGUMENT})).await;
        reply.unwrap_err();
        let refused = logs.find(|call| call["tool"] == "lokup").await.unwrap();
        assert_eq!(refused["result"], "CALL_RESULT_REFUSED", "{refused}");
        assert_eq!(refused["reason"], "unknown_tool", "{refused}");
        let stranger = Agent::modern(&fleet.proxies[0].url("main"), "archestra_wrong");
        let reply = stranger.request("tools/list", json!({})).await.unwrap();
        assert_eq!(refusal(&reply).unwrap().0, 401);
        let refused = logs
            .find(|call| call["reason"] == "unauthenticated")
            .await
            .unwrap();
        assert_eq!(refused.get("principal"), None, "{refused}");
        assert!(!logs.all.contains(ARGUMENT), "{}", logs.all);
        assert!(!logs.all.contains(&fleet.token), "{}", logs.all);
        logs.process.kill().await.unwrap();
    }
    filters_select(&fleet, &cli).await.unwrap();
    let viewer = cli.token("viewer", &["--role", "viewer"]).await.unwrap();
    let (code, said) = cli
        .clone()
        .with_token(&viewer)
        .fails(&["logs", "main"])
        .await
        .unwrap();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("the role editor"), "{said}");
    let (code, said) = cli.fails(&["logs", "mian"]).await.unwrap();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("there is no gateway `mian`"), "{said}");
}

/// Returns `true` for a call of a loop that ended before its answer.
fn is_cut_off(call: &Value) -> bool {
    call["tool"] == "echo" && call["result"] == "CALL_RESULT_CANCELLED"
}

/// Checks past calls of both proxies, in order and selected.
async fn filters_select(fleet: &TwoPlanes, cli: &CommandLine) -> Result<()> {
    let all = past(cli, &[]).await?;
    for name in ["proxy-1", "proxy-2"] {
        assert!(all.iter().any(|call| call["proxy"] == name), "{name}");
    }
    let times: Vec<_> = all.iter().map(|call| call["time"].to_string()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(past(cli, &["--tail", "3"]).await?, all[all.len() - 3..]);
    let failed = past(cli, &["--failed"]).await?;
    assert!(failed.len() >= 4, "{failed:?}");
    assert!(
        failed
            .iter()
            .all(|call| call["result"] == "CALL_RESULT_REFUSED" || is_cut_off(call))
    );
    let echoes = past(
        cli,
        &["--tool", "echo", "--server", "main", "--user", "ada"],
    )
    .await?;
    assert!(
        !echoes.is_empty() && echoes.iter().all(is_echo),
        "{echoes:?}"
    );
    assert!(past(cli, &["--user", "bob"]).await?.is_empty());
    let lists = past(cli, &["--caller-token", "everywhere", "--tool", "lokup"]).await?;
    assert_eq!(lists.len(), 2, "one through each control plane: {lists:?}");
    // The other era, and the name that the client gives itself.
    let legacy = Agent::legacy(&fleet.proxies[0].url("main"), &fleet.token).await?;
    legacy.echo("echo", ARGUMENT).await?;
    let recent = past(cli, &["--since", "1h"]).await?;
    let handshake = recent.iter().find(|call| call["method"] == "initialize");
    assert_eq!(handshake.context("initialize")?["client"], "raw");
    let echo = recent.iter().rfind(|call| is_echo(call)).context("echo")?;
    assert_eq!(echo["protocolVersion"], "2025-11-25");
    let table = cli
        .run(&["logs", "main", "--follow=false", "-o", "wide"])
        .await?;
    let table = text(&table.stdout);
    assert!(table.contains("refused: unknown_tool"), "{table}");
    assert!(!table.contains(ARGUMENT), "{table}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_go_on_after_the_control_plane_was_restarted_and_miss_no_call() {
    let mut fleet = TwoPlanes::start("restarted").await.unwrap();
    let cli = fleet.planes[0].cli().unwrap();
    let mut logs = LiveLogs::start(&cli, &[]).unwrap();
    logs.find(|call| call["proxy"] == "proxy-2").await.unwrap();
    fleet.planes[0].kill().unwrap();
    logs.notice("broke off").await.unwrap();
    // While no control plane knows the reader.
    fleet
        .agent(1)
        .call("meanwhile", json!({}))
        .await
        .unwrap_err();
    fleet.planes[0].restart().await.unwrap();
    logs.notice("open again").await.unwrap();
    let call = logs.find(|call| call["tool"] == "meanwhile").await.unwrap();
    assert_eq!(call["proxy"], "proxy-2", "{call}");
    logs.process.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_know_the_control_plane_of_the_reader_is_named() {
    let fleet = TwoPlanes::start("unknown-plane").await.unwrap();
    let hidden = fleet.planes[0].start_replica("hidden").await.unwrap();
    let mut logs = LiveLogs::start(&hidden.cli().unwrap(), &[]).unwrap();
    let told = logs.notice("are not shown").await.unwrap();
    assert!(told.contains("proxy-1, proxy-2"), "{told}");
    assert!(told.contains("--control-plane"), "{told}");
    logs.process.kill().await.unwrap();
}

/// Makes calls over a few connections at once. All have to succeed.
async fn flood(up: &ToolgateUp, token: &str, calls: usize) -> Result<()> {
    let agents: Vec<Agent> = (0..8)
        .map(|_| Agent::modern(&up.url("main"), token))
        .collect();
    let calls = (0..calls).map(|number| agents[number % agents.len()].echo("echo", "hello"));
    let mut calls = stream::iter(calls).buffer_unordered(8);
    while let Some(done) = calls.next().await {
        done?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_costs_neither_calls_nor_memory() {
    const CALLS: usize = 10_000;
    let sandbox = Sandbox::new("flooded-logs").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "main", &[])
        .await
        .unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", server.url(), "single").await.unwrap();
    let cli = up.cli().unwrap();
    // Fills pools, and the log of the proxy, which keeps 4,096 requests.
    flood(&up, &token, CALLS / 2).await.unwrap();
    let before = up.process().resident().unwrap();
    let mut stalled = LiveLogs::start(&cli, &[]).unwrap();
    stalled.find(is_echo).await.unwrap();
    let mut reading = LiveLogs::start(&cli, &[]).unwrap();
    reading.find(is_echo).await.unwrap();
    flood(&up, &token, CALLS).await.unwrap();
    let grown = up.process().resident().unwrap().saturating_sub(before);
    assert!(grown < 24 * MIB, "{grown} bytes");
    // The reader beside it sees calls after the flood. It was not read meanwhile, so that the record of one call may be
    // left out.
    let agent = Agent::modern(&up.url("main"), &token);
    let calls = async {
        loop {
            agent.call("after", json!({})).await.unwrap_err();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        found = reading.find(|call| call["tool"] == "after") => drop(found.unwrap()),
        () = calls => unreachable!(),
    }
    stalled.process.kill().await.unwrap();
    // `toolgate logs main | head`: the command ends with its reader.
    drop(reading.lines);
    let ended = async {
        loop {
            flood(&up, &token, 1).await.unwrap();
            if let Some(status) = reading.process.try_wait().unwrap() {
                break status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let status = tokio::time::timeout(HANG_GUARD, ended).await.unwrap();
    assert!(status.success(), "{status}");
}
