//! Requests that two HTTP parsers delimit differently, through haproxy and nginx to a strict server: the server gets no
//! request that the balancer has not seen, and each client gets its own answer.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::http_client::socket;
use toolgate_tests::process::TestProcess;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::strict_server::StrictServer;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::{external_programs, nginx, port};

#[path = "../../data-plane/tests/calls/hostile/ambiguous_bodies.rs"]
mod ambiguous_bodies;

use ambiguous_bodies::ambiguous_bodies;

/// Time without a byte after which a connection is taken for answered.
const QUIET: Duration = Duration::from_millis(400);
/// Payloads that are sent at a time, each on a connection of its own. As many other clients call afterwards.
const AT_A_TIME: usize = 16;
/// Header by which the balancer logs which request it has seen.
const PROBE: &str = "X-Probe";

/// Proxy in front of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BalancerKind {
    /// haproxy, which lets through what it would refuse by default.
    LenientHaproxy,
    Haproxy,
    Nginx,
}

/// Running balancer.
struct Balancer {
    address: SocketAddr,
    process: TestProcess,
    sandbox: Sandbox,
}

impl Balancer {
    async fn start(kind: BalancerKind, gateway: SocketAddr) -> Result<Self> {
        let sandbox = Sandbox::new("balancer")?;
        let address = port::free()?;
        let process = match kind {
            BalancerKind::Nginx => start_nginx(&sandbox, address, gateway)?,
            BalancerKind::Haproxy => start_haproxy(&sandbox, address, gateway, "")?,
            BalancerKind::LenientHaproxy => {
                let lenient = "  option accept-invalid-http-request\n";
                start_haproxy(&sandbox, address, gateway, lenient)?
            }
        };
        Ok(Self {
            address,
            process,
            sandbox,
        })
    }

    /// Reports if the balancer has logged a request with this value of [`PROBE`].
    fn has_seen(&self, probe: &str) -> bool {
        let file = fs::read_to_string(self.sandbox.join("access.log")).unwrap_or_default();
        let log = self.process.stdout() + &file;
        log.contains(&format!("{{{probe}}}"))
    }
}

/// Starts haproxy. Requests of different clients share its connections to the gateway.
fn start_haproxy(
    sandbox: &Sandbox,
    address: SocketAddr,
    gateway: SocketAddr,
    options: &str,
) -> Result<TestProcess> {
    let config = format!(
        "global\n  log stdout format raw local0\n\
         defaults\n  mode http\n  log global\n  option httplog\n  timeout connect 5s\n  timeout client 30s\n  \
         timeout server 30s\n  http-reuse always\n\
         frontend mcp\n  bind {address}\n{options}  capture request header {PROBE} len 32\n  default_backend gateway\n\
         backend gateway\n  server one {gateway}\n"
    );
    let file = sandbox.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = Command::new(external_programs::program("haproxy")?);
    command.arg("-db").arg("-f").arg(&file);
    TestProcess::start("haproxy", sandbox.path(), command)
}

/// Starts nginx, which forwards headers that it would leave out by default.
fn start_nginx(sandbox: &Sandbox, address: SocketAddr, gateway: SocketAddr) -> Result<TestProcess> {
    let log = sandbox.join("access.log");
    let http = format!(
        "log_format probe '{{$http_x_probe}}'; access_log {} probe; \
         ignore_invalid_headers off; underscores_in_headers on;\n\
         upstream gateway {{ server {gateway}; keepalive 8; }}\n\
         server {{ listen {address}; location / {{ proxy_pass http://gateway; proxy_http_version 1.1; \
         proxy_set_header Host $http_host; proxy_set_header Connection \"\"; proxy_request_buffering off; \
         proxy_buffering off; }} }}",
        log.display()
    );
    nginx::start(sandbox, &http)
}

/// Writer of requests to one gateway through a balancer.
struct RequestWriter<'a> {
    host: SocketAddr,
    token: &'a str,
}

impl RequestWriter<'_> {
    /// Body of a call with this text.
    fn body(&self, text: &str) -> String {
        json!({"jsonrpc": "2.0", "id": text, "method": "tools/call", "params": {
            "name": "say", "arguments": {"text": text}, "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {}}}})
        .to_string()
    }

    /// Call with these fields that delimit its body, and `rest` behind its head.
    fn request(&self, probe: &str, fields: &str, rest: &str) -> String {
        format!(
            "POST /v1/mcp/main HTTP/1.1\r\nHost: {}\r\n{PROBE}: {probe}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: say\r\n{fields}\r\n\r\n{rest}",
            self.host, self.token
        )
    }

    fn whole(&self, probe: &str) -> String {
        let body = self.body(probe);
        self.request(probe, &format!("Content-Length: {}", body.len()), &body)
    }

    fn payloads(&self) -> Vec<String> {
        let first = |number| format!("first-{number}");
        let make = |number| {
            let hidden = self.whole(&format!("hidden-{number}"));
            (self.body(&first(number)), hidden)
        };
        let all = ambiguous_bodies(make).into_iter().enumerate();
        all.map(|(number, it)| self.request(&first(number), &it.fields, &it.rest))
            .collect()
    }
}

/// Writes everything on a connection of its own, and reads until it is closed or quiet.
async fn send(to: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut stream = socket(to).await?;
    // The balancer may close the connection before the request is fully read.
    let _closed = stream.write_all(bytes).await;
    let mut answer = [0; 4_096];
    while matches!(timeout(QUIET, stream.read(&mut answer)).await, Ok(Ok(1..))) {}
    Ok(())
}

/// Calls of another client, which have to get their own answers.
async fn check_others(agent: &Agent, first: usize) -> Result<()> {
    let calls = (first..first + AT_A_TIME).map(|number| async move {
        let text = format!("other-{number}");
        let answer = agent.call("say", json!({"text": text})).await?;
        ensure!(
            answer["content"][0]["text"] == text.as_str(),
            "{text}: {answer}"
        );
        Ok(())
    });
    try_join_all(calls).await.map(drop)
}

/// Sends all payloads through a balancer and compares what it has seen with what the server got.
async fn check(kind: BalancerKind) -> Result<String> {
    let sandbox = Sandbox::new("smuggling")?;
    let server = StrictServer::start().await?;
    let up = ToolgateUp::start(&sandbox, &[]).await?;
    let token = up.expose("main", &server.url(), "single").await?;
    let balancer = Balancer::start(kind, up.mcp()).await?;
    let url = format!("http://{}/v1/mcp/main", balancer.address);
    let agent = Agent::modern(&url, &token);
    eventually("the balancer serves", HANG_GUARD, || agent.tools())
        .await
        .with_context(|| balancer.process.stderr())?;
    let writer = RequestWriter {
        host: balancer.address,
        token: &token,
    };
    // A request that is one: the check below would find it.
    send(balancer.address, writer.whole("control").as_bytes()).await?;
    let payloads = writer.payloads();
    ensure!(payloads.len() >= 120, "{} payloads", payloads.len());
    for (round, some) in payloads.chunks(AT_A_TIME).enumerate() {
        let sent = some
            .iter()
            .map(|text| send(balancer.address, text.as_bytes()));
        join_all(sent).await.into_iter().collect::<Result<()>>()?;
        check_others(&agent, round * AT_A_TIME).await?;
    }
    let record = server.record();
    ensure!(record.deviations.is_empty(), "{:#?}", record.deviations);
    ensure!(
        record.calls.iter().any(|text| text == "control"),
        "the control call"
    );
    let of_payloads: Vec<&String> = record
        .calls
        .iter()
        .filter(|text| !text.starts_with("other-"))
        .collect();
    eventually("the balancer has seen each request", HANG_GUARD, || async {
        let unseen: Vec<_> = of_payloads
            .iter()
            .filter(|text| !balancer.has_seen(text))
            .collect();
        ensure!(unseen.is_empty(), "hidden from the balancer: {unseen:?}");
        Ok(())
    })
    .await?;
    let mut twice = of_payloads.clone();
    twice.sort();
    twice.dedup();
    ensure!(
        twice.len() == of_payloads.len(),
        "one ran twice: {of_payloads:?}"
    );
    Ok(format!(
        "{kind:?}: {} payloads, {} calls of them",
        payloads.len(),
        of_payloads.len() - 1
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_hidden_in_another_behind_haproxy() {
    for kind in [BalancerKind::Haproxy, BalancerKind::LenientHaproxy] {
        println!("{}", check(kind).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_hidden_in_another_behind_nginx() {
    println!("{}", check(BalancerKind::Nginx).await.unwrap());
}
