//! The gateway never executes a tool call twice: over ten thousand cuts at every byte of requests and responses, on the
//! client side too, in both eras and with every response form. The server counts executions by the key argument.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tokio::task::{JoinSet, yield_now};
use toolgate_tests::agent::{Agent, messages};
use toolgate_tests::clock::{HANG_GUARD, eventually, now};
use toolgate_tests::cutting_proxy::{CutDirection, CutPoint, CuttingProxy};
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

/// Minimum number of cuts.
const CUTS: u64 = 10_000;
/// On the client side every second byte: the gateway writes all responses there in the same way.
const CLIENT_STEP: usize = 2;
/// Cuts of all connections around the moment when a call reuses a connection.
const REUSE_CUTS: usize = 200;
/// Uncut calls come in between, so that connections are open and consecutive failures stay below the circuit threshold.
const MAX_CUTS_IN_A_ROW: usize = 3;
/// Timeout of a handshake whose response was cut and is not repeated.
const FIRST_BYTE: &str = "3s";

/// Kind of server and of cuts.
struct ServerKind {
    name: &'static str,
    flags: &'static [&'static str],
    /// Number of connections that are cut independently.
    parallel: usize,
    /// Calls request progress, so that messages precede the result.
    progress: bool,
    /// The server has lost the session when the call arrives.
    forgets: bool,
    /// The client side is cut too.
    cuts_clients: bool,
    /// Distance in bytes between two cuts.
    step: usize,
}

const KINDS: [ServerKind; 4] = [
    ServerKind {
        name: "modern",
        flags: &["--modern-only"],
        parallel: 8,
        progress: false,
        forgets: false,
        cuts_clients: true,
        step: 1,
    },
    ServerKind {
        name: "modern-streams",
        flags: &["--modern-only", "--sse"],
        parallel: 8,
        progress: true,
        forgets: false,
        cuts_clients: true,
        step: 1,
    },
    // The rest of a cut response is requested by resumption one second later, and once more, so many calls wait at a
    // time.
    ServerKind {
        name: "legacy",
        flags: &["--legacy-only", "--retry", "1"],
        parallel: 96,
        progress: true,
        forgets: false,
        cuts_clients: true,
        step: 1,
    },
    ServerKind {
        name: "legacy-forgets",
        flags: &["--legacy-only", "--retry", "1"],
        parallel: 96,
        progress: false,
        forgets: true,
        cuts_clients: false,
        step: 3,
    },
];

#[derive(Clone, Copy, Debug)]
enum CutKind {
    /// Between gateway and server.
    Upstream(CutPoint),
    /// Between client and gateway.
    Client(CutPoint),
    /// Everything between gateway and server, after this number of scheduler turns.
    Reuse(usize),
}

#[derive(Clone, Copy, Debug)]
struct CutJob {
    legacy: bool,
    fault: CutKind,
}

/// Outcome of a call at its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallResult {
    Result,
    Error,
    Nothing,
}

/// Observations of the calls of one client at one kind of server.
#[derive(Debug, Default)]
struct CallLog {
    cuts: u64,
    /// By key, of cut calls.
    calls: BTreeMap<String, CallResult>,
    forgotten: usize,
    wrong: Vec<String>,
}

/// Connection through the gateway that is cut independently.
struct CutLane {
    kind: &'static ServerKind,
    name: String,
    server: String,
    cutter: CuttingProxy,
    door: CuttingProxy,
    modern: Agent,
    legacy: Agent,
}

impl CutLane {
    fn agent(&self, legacy: bool) -> &Agent {
        if legacy { &self.legacy } else { &self.modern }
    }

    /// Calls with this key and checks that at most one, correct response arrives.
    async fn call(&self, legacy: bool, key: &str) -> Result<CallResult> {
        let agent = self.agent(legacy);
        let name = format!("{}__mark", self.name);
        let mut params = json!({"name": name, "arguments": {"key": key}});
        if self.kind.progress {
            params["_meta"] = json!({"progressToken": key});
        }
        let frame = agent.frame("tools/call", params);
        let Ok(reply) = agent.post(&frame, &[]).await else {
            return Ok(CallResult::Nothing);
        };
        let said = messages(&reply).with_context(|| format!("{}", reply.status))?;
        let (told, answers): (Vec<&Value>, Vec<&Value>) =
            said.iter().partition(|message| message["id"].is_null());
        ensure!(answers.len() == 1, "{} answers: {said:?}", answers.len());
        let answer = answers.first().context("no answer")?;
        ensure!(answer["id"] == frame["id"], "not to {frame}: {answer}");
        for message in told {
            let token = &message["params"]["progressToken"];
            ensure!(token == key, "not of {key}: {message}");
        }
        let result = &answer["result"];
        if !result.is_object() || result["isError"] == true {
            return Ok(CallResult::Error);
        }
        let once = format!("{key}: 1");
        ensure!(result["content"][0]["text"] == once, "{key}: {result}");
        Ok(CallResult::Result)
    }

    /// Makes a call without a cut.
    async fn call_uncut(&self, legacy: bool, key: &str) -> Result<()> {
        let got = self.call(legacy, key).await?;
        ensure!(
            got == CallResult::Result,
            "{key}: {got:?} though nothing was cut"
        );
        Ok(())
    }

    /// Ends the session between gateway and server at the server.
    async fn end_upstream_session(&self) -> Result<()> {
        let session = self.cutter.session().context("no session was named")?;
        let request = Request::delete(&self.server).header("mcp-session-id", session);
        let reply = TestHttpClient::default()
            .send(request.body(Body::empty())?)
            .await?;
        ensure!(reply.status.is_success(), "DELETE: {}", reply.status);
        Ok(())
    }

    /// All positions at which a call of this client can be cut.
    async fn jobs(&self, legacy: bool) -> Result<Vec<CutJob>> {
        self.call_uncut(legacy, &format!("good-{}-first-{legacy}", self.name))
            .await?;
        if self.kind.forgets {
            self.end_upstream_session().await?;
        }
        self.cutter.heal();
        self.door.heal();
        self.call_uncut(legacy, &format!("good-{}-whole-{legacy}", self.name))
            .await?;
        let cut = |towards, at: u64| CutPoint {
            towards,
            at,
            until_healed: at / 2 % 2 == 1,
            reset: at / 4 % 2 == 1,
        };
        let everywhere = |(up, down): (u64, u64), step: usize| {
            let up = (0..up).map(move |at| cut(CutDirection::Server, at));
            let down = (0..down).map(move |at| cut(CutDirection::Client, at));
            up.chain(down).step_by(step)
        };
        let lines = everywhere(self.cutter.passed(), self.kind.step);
        let mut faults: Vec<CutKind> = lines.map(CutKind::Upstream).collect();
        if self.kind.cuts_clients {
            let doors = everywhere(self.door.passed(), CLIENT_STEP);
            faults.extend(doors.map(CutKind::Client));
        }
        faults.extend((0..REUSE_CUTS).map(CutKind::Reuse));
        let jobs = faults.into_iter().map(|fault| CutJob { legacy, fault });
        Ok(jobs.collect())
    }

    async fn cut(&self, job: CutJob, key: &str) -> Result<CallResult> {
        let cutter = match job.fault {
            CutKind::Upstream(cut) => {
                self.cutter.arm(cut);
                &self.cutter
            }
            CutKind::Client(cut) => {
                self.door.arm(cut);
                &self.door
            }
            CutKind::Reuse(turns) => {
                let reuse = async {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                    self.cutter.cut_now();
                };
                let got = tokio::join!(self.call(job.legacy, key), reuse).0?;
                // The next call may still take a connection that ends at that moment: it gets an error, but a response.
                let next = self.call(job.legacy, &format!("next-{key}")).await?;
                ensure!(next != CallResult::Nothing, "the next call got no answer");
                return Ok(got);
            }
        };
        let got = self.call(job.legacy, key).await;
        cutter.heal();
        got
    }

    /// Runs the remaining jobs.
    async fn run_jobs(self, jobs: Arc<Mutex<VecDeque<CutJob>>>) -> [CallLog; 2] {
        let mut seen = [CallLog::default(), CallLog::default()];
        let next = || {
            let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.pop_front().map(|job| (jobs.len(), job))
        };
        let mut done = 0_usize;
        while let Some((number, job)) = next() {
            let of = &mut seen[usize::from(job.legacy)];
            let before = self.cutter.cuts() + self.door.cuts();
            if let Err(error) = self.run_job(job, number, done, of).await {
                of.wrong
                    .push(format!("{} {number} {job:?}: {error:#}", self.name));
            }
            of.cuts += self.cutter.cuts() + self.door.cuts() - before;
            done += 1;
        }
        seen
    }

    async fn run_job(
        &self,
        job: CutJob,
        number: usize,
        done: usize,
        seen: &mut CallLog,
    ) -> Result<()> {
        if done.is_multiple_of(MAX_CUTS_IN_A_ROW) || self.kind.forgets {
            self.call_uncut(job.legacy, &format!("good-{number}"))
                .await?;
        }
        if self.kind.forgets {
            self.end_upstream_session().await?;
            seen.forgotten += 1;
        }
        let key = format!("cut-{number}");
        let got = self.cut(job, &key).await?;
        let unanswered = got == CallResult::Nothing && !matches!(job.fault, CutKind::Client(_));
        seen.calls.insert(key, got);
        ensure!(!unanswered, "its client got no answer");
        Ok(())
    }
}

/// A server of one kind, its cutting proxies, and their entries in the gateway's configuration.
struct ServerRow {
    kind: &'static ServerKind,
    server: UpstreamServer,
    lines: Vec<CuttingProxy>,
}

impl ServerRow {
    async fn start(sandbox: &Sandbox, kind: &'static ServerKind) -> Result<Self> {
        let server = UpstreamServer::fixture(sandbox, kind.name, kind.flags).await?;
        let mut lines = Vec::new();
        for _ in 0..kind.parallel {
            lines.push(CuttingProxy::start(server.address()).await?);
        }
        Ok(Self {
            kind,
            server,
            lines,
        })
    }

    fn names(&self) -> impl Iterator<Item = (String, &CuttingProxy)> {
        let name = |at| format!("{}-{at}", self.kind.name);
        let lines = self.lines.iter().enumerate();
        lines.map(move |(at, line)| (name(at), line))
    }

    /// Makes all cuts; returns the observations of both clients and the server, which holds the execution counts.
    async fn run(
        self,
        up: Arc<ToolgateUp>,
        token: String,
    ) -> Result<(&'static ServerKind, UpstreamServer, [CallLog; 2])> {
        let (kind, server) = (self.kind, self.server);
        let mut lanes = Vec::new();
        for (at, line) in self.lines.into_iter().enumerate() {
            let door = CuttingProxy::start(up.mcp()).await?;
            let url = format!("http://{}/v1/mcp/cut", door.address());
            lanes.push(CutLane {
                kind,
                name: format!("{}-{at}", kind.name),
                server: server.url().to_owned(),
                cutter: line,
                modern: Agent::modern(&url, &token),
                legacy: Agent::legacy(&url, &token).await?,
                door,
            });
        }
        let first = lanes.first().context("no lane")?;
        let (modern, legacy) = (first.jobs(false).await?, first.jobs(true).await?);
        let jobs = Arc::new(Mutex::new(modern.into_iter().chain(legacy).collect()));
        let mut work = JoinSet::new();
        for lane in lanes {
            work.spawn(lane.run_jobs(Arc::clone(&jobs)));
        }
        let mut seen = [CallLog::default(), CallLog::default()];
        for part in work.join_all().await {
            for (all, part) in seen.iter_mut().zip(part) {
                all.cuts += part.cuts;
                all.forgotten += part.forgotten;
                all.calls.extend(part.calls);
                all.wrong.extend(part.wrong);
            }
        }
        Ok((kind, server, seen))
    }
}

/// Every connection is a server of its own for the gateway, so that a broken one does not affect the others.
async fn gateway(up: &ToolgateUp, sandbox: &Sandbox, rows: &[ServerRow]) -> Result<String> {
    let (mut servers, mut bindings) = (String::new(), String::new());
    for (name, line) in rows.iter().flat_map(ServerRow::names) {
        let head = "apiVersion: toolgate/v1\nkind: Server\nmetadata:";
        let url = format!("http://{}/mcp", line.address());
        let spec = format!("{{url: {url}, timeouts: {{firstByte: {FIRST_BYTE}}}}}");
        writeln!(servers, "{head} {{name: {name}}}\nspec: {spec}\n---")?;
        writeln!(bindings, "    - {{server: {name}, tools: [mark]}}")?;
    }
    let head = "apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {name: cut}\nspec:\n  bindings:";
    let file = sandbox.join("cut.yaml");
    std::fs::write(&file, format!("{servers}{head}\n{bindings}"))?;
    let cli = up.cli()?;
    cli.run(&["apply", "-f", file.to_str().context("no text")?])
        .await?;
    let token = cli.token("cut", &["--gateway", "cut"]).await?;
    let agent = Agent::modern(&up.url("cut"), &token);
    let all: usize = rows.iter().map(|row| row.lines.len()).sum();
    eventually("all servers are there", HANG_GUARD, || async {
        let tools = agent.tools().await?;
        ensure!(tools.len() == all, "{} of {all} tools", tools.len());
        Ok(())
    })
    .await?;
    Ok(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_runs_twice_across_ten_thousand_cuts() {
    let start = now();
    let sandbox = Sandbox::new("cuts").unwrap();
    let up = Arc::new(ToolgateUp::start(&sandbox, &[]).await.unwrap());
    let mut rows = Vec::new();
    for kind in &KINDS {
        rows.push(ServerRow::start(&sandbox, kind).await.unwrap());
    }
    let token = gateway(&up, &sandbox, &rows).await.unwrap();
    let mut running = JoinSet::new();
    for row in rows {
        running.spawn(row.run(Arc::clone(&up), token.clone()));
    }
    let all = running.join_all().await;
    up.wait_until_idle().await.unwrap();
    let (mut cuts, mut wrong) = (0, Vec::new());
    for row in all {
        let (kind, server, seen) = row.unwrap();
        let marks = server.counts().await.unwrap().marks;
        for (seen, client) in seen.into_iter().zip(["modern", "legacy"]) {
            let ran = |key: &String| marks.get(key).copied().unwrap_or(0);
            let times = |times: u64| seen.calls.keys().filter(|key| ran(key) == times).count();
            let got = |got: CallResult| seen.calls.values().filter(|had| **had == got).count();
            let lost = seen
                .calls
                .iter()
                .filter(|(_, had)| **had != CallResult::Result);
            let lost = lost.filter(|(key, _)| ran(key) == 1).count();
            println!(
                "{client} client, {}: {} cuts in {} calls, {} with a result, {} with an error, {} with nothing; \
                 run: {} not at all, {} once, {} more often; {lost} ran once and have no result",
                kind.name,
                seen.cuts,
                seen.calls.len(),
                got(CallResult::Result),
                got(CallResult::Error),
                got(CallResult::Nothing),
                times(0),
                times(1),
                seen.calls.len() - times(0) - times(1),
            );
            assert!(
                lost > 20 && times(0) > 20,
                "they prove nothing: hardly any cut fell before, or after, a call ran"
            );
            assert!(!kind.forgets || seen.forgotten == seen.calls.len());
            for (key, _) in seen
                .calls
                .iter()
                .filter(|(_, had)| **had == CallResult::Result)
            {
                if ran(key) != 1 {
                    wrong.push(format!("{} {key}: a result, run {}", kind.name, ran(key)));
                }
            }
            cuts += seen.cuts;
            wrong.extend(seen.wrong);
        }
        let twice = marks.into_iter().filter(|(_, times)| *times > 1);
        wrong.extend(twice.map(|(key, times)| format!("{} {key} ran {times} times", kind.name)));
    }
    println!("{cuts} cuts in {:?}", start.elapsed());
    assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
    assert!(cuts >= CUTS, "{cuts} cuts");
}
