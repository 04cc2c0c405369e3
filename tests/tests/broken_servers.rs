//! Servers that break or fall silent during a call, and clients that leave: each call ends with one answer, and no
//! descriptor, request or buffer is left.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use futures_util::{StreamExt as _, stream};
use http::Request;
use serde_json::{Value, json};
use toolgate_tests::agent::{Agent, messages};
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now, within};
use toolgate_tests::cutting_proxy::{CutDirection, CutPoint, CuttingProxy};
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, start_deployment};
use toolgate_tests::upstream_server::UpstreamServer;

/// Calls that break, of each server. The rest of a cut answer of a legacy server is awaited for some seconds.
const BROKEN: [(&str, [&str; 2], u64); 2] = [
    ("modern", ["--modern-only", "--sse"], 60),
    ("legacy", ["--legacy-only", "--retry=0"], 6),
];
/// Calls that break one after the other, less than open the circuit.
const IN_A_ROW: u64 = 3;
/// Calls during which the server is frozen.
const FROZEN: usize = 20;
/// Silence of a server after which a call ends, and the same as a number.
const IDLE: (&str, Duration) = ("1s", Duration::from_secs(1));
/// Time from the limit to the answer, and until nothing is left; asserted by `make drill`.
const ANSWER: Duration = Duration::from_secs(1);
const RELEASE: Duration = Duration::from_secs(5);
/// Descriptors by which two idle moments of the same process may differ: connections that are kept for the next call.
const DESCRIPTORS: usize = 16;
/// The same of resident memory, in bytes.
const MEMORY: u64 = 16 << 20;
/// Clients that leave during a call, and how many at a time.
const LEAVING: u64 = 1_000;
const AT_A_TIME: usize = 50;
/// Time in which the server gets the cancellation of a client that left; asserted by `make drill`.
const CANCELLATION: Duration = Duration::from_secs(1);
/// Time for which they wait.
const PATIENCE: Duration = Duration::from_millis(100);

/// Open descriptors and resident memory of the process, while it serves no request.
async fn idle_usage(up: &mut ToolgateUp) -> Result<(usize, u64)> {
    up.wait_until_idle().await?;
    Ok((up.process().descriptors()?, up.process().resident()?))
}

/// Waits until the process holds no more than before. Returns the use.
async fn wait_until_released(up: &mut ToolgateUp, before: (usize, u64)) -> Result<(usize, u64)> {
    up.wait_until_idle().await?;
    let process = up.process();
    eventually("all is released", within(RELEASE), || {
        let used = process
            .descriptors()
            .and_then(|count| Ok((count, process.resident()?)));
        async move {
            let (count, resident) = used?;
            let grown = resident.saturating_sub(before.1);
            ensure!(
                count <= before.0 + DESCRIPTORS,
                "{count} descriptors, {} before",
                before.0
            );
            ensure!(grown <= MEMORY, "{grown} bytes more");
            Ok((count, resident))
        }
    })
    .await
}

/// Calls `mark` with progress. Returns the answer, which has to be the only one.
async fn call_mark(agent: &Agent, key: &str) -> Result<Value> {
    let params =
        json!({"name": "mark", "arguments": {"key": key}, "_meta": {"progressToken": key}});
    let frame = agent.frame("tools/call", params);
    let said = messages(&agent.post(&frame, &[]).await?)?;
    let mut answers = said.iter().filter(|message| message["id"] == frame["id"]);
    let answer = answers.next().context("no answer")?;
    ensure!(answers.next().is_none(), "two answers: {said:?}");
    Ok(answer.clone())
}

fn is_error(answer: &Value) -> bool {
    answer["result"]["isError"] == true || answer["error"].is_object()
}

/// Makes calls whose answers are cut by the end of the connection or by a reset, at many positions before the result.
async fn break_calls(agent: &Agent, line: &CuttingProxy, name: &str, count: u64) -> Result<()> {
    ensure!(!is_error(
        &call_mark(agent, &format!("{name}-first")).await?
    ));
    line.heal();
    ensure!(!is_error(
        &call_mark(agent, &format!("{name}-whole")).await?
    ));
    let (_, whole) = line.passed();
    for number in 0..count {
        line.arm(CutPoint {
            towards: CutDirection::Client,
            at: whole * number * 9 / (count * 10),
            until_healed: true,
            reset: number % 2 == 1,
        });
        let answer = call_mark(agent, &format!("{name}-{number}")).await?;
        line.heal();
        ensure!(is_error(&answer), "{name} {number}: {answer}");
        if number % IN_A_ROW == IN_A_ROW - 1 {
            let good = call_mark(agent, &format!("{name}-good-{number}")).await?;
            ensure!(!is_error(&good), "{name} {number}: {good}");
        }
    }
    Ok(())
}

/// Freezes the server and makes calls, which end when the server has been silent for too long. The server goes on afterwards.
async fn freeze_calls(agent: &Agent, server: &mut UpstreamServer, name: &str) -> Result<()> {
    server.process().signal("STOP")?;
    let calls = (0..FROZEN).map(|number| async move {
        let start = now();
        let answer = call_mark(agent, &format!("{name}-frozen-{number}")).await?;
        ensure!(is_error(&answer), "{answer}");
        let most = IDLE.1 + ANSWER;
        ensure!(
            !is_drill() || start.elapsed() <= most,
            "{:?}",
            start.elapsed()
        );
        Ok(())
    });
    let ended: Vec<Result<()>> = stream::iter(calls).buffer_unordered(FROZEN).collect().await;
    server.process().signal("CONT")?;
    ended.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_calls_whose_server_broke_or_fell_silent() {
    let (sandbox, mut up, cli) = start_deployment("broken").await.unwrap();
    let mut rows = Vec::new();
    for (name, flags, count) in BROKEN {
        let server = UpstreamServer::fixture(&sandbox, name, &flags)
            .await
            .unwrap();
        let line = CuttingProxy::start(server.address()).await.unwrap();
        let (idle, url) = (IDLE.0, format!("http://{}/mcp", line.address()));
        let spec = format!("{{url: \"{url}\", timeouts: {{firstByte: {idle}, idle: {idle}}}}}");
        let token = cli.expose_spec(name, &spec, "single").await.unwrap();
        let agent = Agent::modern(&up.url(name), &token);
        eventually("it serves", HANG_GUARD, || call_mark(&agent, "ready"))
            .await
            .unwrap();
        rows.push((name, count, server, line, agent));
    }
    for (name, count, _, line, agent) in &rows {
        break_calls(agent, line, &format!("{name}-warm"), count / 3)
            .await
            .unwrap();
    }
    let before = idle_usage(&mut up).await.unwrap();
    for (name, count, server, line, agent) in &mut rows {
        break_calls(agent, line, name, *count).await.unwrap();
        freeze_calls(agent, server, name).await.unwrap();
        eventually("it serves again", HANG_GUARD, || async {
            let answer = call_mark(agent, &format!("again-{name}")).await?;
            ensure!(!is_error(&answer), "{answer}");
            Ok(())
        })
        .await
        .unwrap();
    }
    let after = wait_until_released(&mut up, before).await.unwrap();
    println!("descriptors and bytes: {before:?} before, {after:?} after");
    for (name, _, server, ..) in &rows {
        let marks = server.counts().await.unwrap().marks;
        let of_calls = marks.iter().filter(|(key, _)| key.starts_with(name));
        let twice: Vec<_> = of_calls.filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{name}: {twice:?}");
    }
}

/// Opens a call that lasts a minute, and leaves after a moment.
async fn leave(up: &ToolgateUp, agent: &Agent) -> Result<()> {
    let params = json!({"name": "sleep", "arguments": {"ms": 60_000}});
    let frame = agent.frame("tools/call", params);
    let mut request = Request::post(up.url("main")).body(Body::from(frame.to_string()))?;
    *request.headers_mut() = agent.headers("tools/call", Some("sleep"))?;
    let http = TestHttpClient::default();
    let call = http.open(request);
    ensure!(
        tokio::time::timeout(PATIENCE, call).await.is_err(),
        "answered"
    );
    Ok(())
}

/// Lets clients leave until so many of their calls have reached the server, and waits until it got the cancellation of each.
async fn leave_times(
    up: &ToolgateUp,
    agent: &Agent,
    server: &UpstreamServer,
    count: u64,
) -> Result<()> {
    let begun = async || {
        let counts = server.counts().await?;
        let begun = counts.tools.get("sleep").copied().unwrap_or_default();
        anyhow::Ok((begun, counts.cancelled))
    };
    while begun().await?.0 < count {
        let calls = (0..2 * AT_A_TIME).map(|_| leave(up, agent));
        let left: Vec<Result<()>> = stream::iter(calls)
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        left.into_iter().collect::<Result<()>>()?;
    }
    eventually(
        "the server is told of each",
        within(CANCELLATION),
        || async {
            let (begun, cancelled) = begun().await?;
            ensure!(cancelled == begun, "{cancelled} of {begun}");
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_that_leave_during_a_call_cancel_it_and_leave_nothing_behind() {
    let sandbox = Sandbox::new("leaving").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "main", &["--modern-only"])
        .await
        .unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", server.url(), "single").await.unwrap();
    let agent = Agent::modern(&up.url("main"), &token);
    // The first tenth warms the process up.
    leave_times(&up, &agent, &server, LEAVING / 10)
        .await
        .unwrap();
    let before = idle_usage(&mut up).await.unwrap();
    leave_times(&up, &agent, &server, LEAVING).await.unwrap();
    let after = wait_until_released(&mut up, before).await.unwrap();
    println!("descriptors and bytes: {before:?} before, {after:?} after");
    agent.echo("echo", "well").await.unwrap();
}
