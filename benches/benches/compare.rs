//! `make bench`: compares direct calls, the pass-through proxy, nginx and the gateway in one interleaved run. Prints
//! progress on standard error and the tables on standard output.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use toolgate_benches::load::LoadReport;
use toolgate_benches::process::{self, GatewayProcess, ServerProcess};
use toolgate_benches::table::{self, ResultRow};
use toolgate_benches::usage::CpuCounters;

/// Maximum number of idle sessions. Together with the warm-up sessions it stays below the limit of one principal.
const MAX_IDLE_SESSIONS: usize = 1_400;

/// Compares the gateway with simpler proxies and direct calls.
#[derive(Parser)]
struct CompareArgs {
    /// Rounds of each case; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only cases whose title contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Idle sessions to open, at most 1,400.
    #[arg(long, default_value_t = 1000)]
    sessions: usize,
    /// Passed by `cargo bench` to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

struct BenchTarget {
    name: &'static str,
    url: String,
    token: String,
    process: u32,
}

struct BenchCase {
    title: &'static str,
    flags: Vec<String>,
    peers: Vec<BenchTarget>,
}

fn print_progress(words: &str) {
    // Errors are ignored: progress output is optional.
    drop(writeln!(std::io::stderr(), "{words}"));
}

/// Waits a limited time until other programs are idle; returns the last measured CPU load.
fn wait_until_idle() -> f64 {
    let mut busy = 1.0;
    for _ in 0..20 {
        let before = CpuCounters::read();
        std::thread::sleep(Duration::from_millis(500));
        busy = CpuCounters::read().busy_since(before);
        if busy < 0.1 {
            break;
        }
    }
    busy
}

fn measure(peer: &BenchTarget, flags: &[String]) -> Result<LoadReport> {
    let output = Command::new(process::sibling_binary("load")?)
        .args(flags)
        .args([
            "--url",
            &peer.url,
            "--token",
            &peer.token,
            "--pid",
            &peer.process.to_string(),
        ])
        .output()?;
    if !output.status.success() {
        bail!("{}: {}", peer.name, String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("a report")
}

fn run(case: &BenchCase, rounds: usize) -> Result<Vec<ResultRow>> {
    let mut rows: Vec<ResultRow> = Vec::new();
    rows.extend(case.peers.iter().map(|p| ResultRow {
        peer: p.name.to_owned(),
        rounds: Vec::new(),
    }));
    for round in 0..rounds {
        for step in 0..case.peers.len() {
            let at = (round + step) % case.peers.len();
            let (Some(peer), Some(row)) = (case.peers.get(at), rows.get_mut(at)) else {
                continue;
            };
            let busy = wait_until_idle();
            let report = measure(peer, &case.flags)?;
            print_progress(&format!(
                "{}, round {}: {} {:.1} µs CPU, {:.0}/s, {} errors{}{}",
                case.title,
                round + 1,
                peer.name,
                report.cpu,
                report.rate,
                report.errors,
                report
                    .error
                    .as_deref()
                    .map(|e| format!(" ({e})"))
                    .unwrap_or_default(),
                if busy < 0.1 { "" } else { ", noisy machine" },
            ));
            row.rounds.push(report);
        }
    }
    Ok(rows)
}

/// Processes running beside the load generator.
struct BenchEnvironment {
    direct: ServerProcess,
    url: String,
    passthrough: (ServerProcess, String),
    nginx: Option<(ServerProcess, String)>,
    _others: Vec<ServerProcess>,
    gateway: GatewayProcess,
    token: String,
}

impl BenchEnvironment {
    fn start(folder: &Path) -> Result<Self> {
        let modern = process::free_ports(1)?;
        let direct = process::upstream("modern", folder, modern, &[])?;
        let legacy = process::free_ports(1)?;
        let mut others = vec![process::upstream("legacy", folder, legacy, &["--legacy"])?];
        let many = process::free_ports(10)?;
        let flags = ["--count", "10", "--tools", "50"];
        others.push(process::upstream("many", folder, many, &flags)?);
        let listen = process::free_ports(1)?;
        let passthrough = process::passthrough(folder, listen, modern)?;
        let passthrough = (passthrough, format!("http://{listen}/mcp"));
        let listen = process::free_ports(1)?;
        let nginx = process::nginx(folder, listen, modern)?;
        let nginx = nginx.map(|program| (program, format!("http://{listen}/mcp")));
        let gateway = GatewayProcess::start(folder)?;
        gateway.run(&[
            "server",
            "add",
            "modern",
            "--url",
            &format!("http://{modern}/mcp"),
        ])?;
        gateway.run(&[
            "server",
            "add",
            "legacy",
            "--url",
            &format!("http://{legacy}/mcp"),
        ])?;
        gateway.run(&["gateway", "create", "modern", "--server", "modern"])?;
        gateway.run(&["gateway", "create", "legacy", "--server", "legacy"])?;
        let names: Vec<String> = (0..10).map(|number| format!("many{number}")).collect();
        let mut create = vec!["gateway", "create", "many"];
        for (number, name) in (0..).zip(&names) {
            let url = format!("http://{}:{}/mcp", many.ip(), many.port() + number);
            gateway.run(&["server", "add", name, "--url", &url])?;
            create.extend(["--server", name]);
        }
        gateway.run(&create)?;
        let token = gateway.token()?;
        let url = format!("http://{modern}/mcp");
        Ok(Self {
            direct,
            url,
            passthrough,
            nginx,
            _others: others,
            gateway,
            token,
        })
    }

    fn gateway(&self, name: &'static str, gateway: &str) -> BenchTarget {
        let (token, process) = (self.token.clone(), self.gateway.id());
        BenchTarget {
            name,
            url: self.gateway.url(gateway),
            token,
            process,
        }
    }

    fn others(&self) -> Vec<BenchTarget> {
        let plain = |name: &'static str, url: &str, process: u32| BenchTarget {
            name,
            url: url.to_owned(),
            token: String::new(),
            process,
        };
        let mut peers = vec![plain("direct", &self.url, self.direct.id())];
        peers.push(plain("hyper", &self.passthrough.1, self.passthrough.0.id()));
        peers.extend(
            self.nginx
                .iter()
                .map(|(program, url)| plain("nginx", url, program.id())),
        );
        peers
    }

    fn all(&self, gateway: &str) -> Vec<BenchTarget> {
        let mut peers = self.others();
        peers.push(self.gateway("toolgate", gateway));
        peers
    }

    fn cases(&self, seconds: f64) -> Vec<BenchCase> {
        let flags = |words: &str| {
            let mut flags: Vec<String> = words.split(' ').map(str::to_owned).collect();
            flags.push(format!("--seconds={seconds}"));
            flags
        };
        let case = |title, words: &str, peers| BenchCase {
            title,
            flags: flags(words),
            peers,
        };
        let list = || vec![self.gateway("toolgate, 10 servers × 50 tools", "many")];
        vec![
            case(
                "call, modern, 16 connections",
                "echo --modern -c 16",
                self.all("modern"),
            ),
            case(
                "call, modern, 64 connections",
                "echo --modern -c 64",
                self.all("modern"),
            ),
            case(
                "call, legacy, 16 connections",
                "echo -c 16",
                self.all("legacy"),
            ),
            case(
                "call, legacy, 64 connections",
                "echo -c 64",
                self.all("legacy"),
            ),
            case(
                "call, 1 connection",
                "echo --modern -c 1",
                self.all("modern"),
            ),
            case(
                "call, legacy client, modern server",
                "echo -c 16",
                self.all("modern"),
            ),
            case(
                "call, modern client, legacy server",
                "echo --modern -c 16",
                self.all("legacy"),
            ),
            case(
                "call, 1 MiB answer",
                "big --modern -c 4 --size 1048576",
                self.all("modern"),
            ),
            case("list, modern, 500 tools", "list --modern -c 8", list()),
            case("list, legacy, 500 tools", "list -c 8", list()),
            case("session cycle", "cycle -c 8", self.all("legacy")),
        ]
    }

    fn idle(&self, sessions: usize) -> Vec<BenchCase> {
        let flags = |mode: &str| vec![mode.to_owned(), format!("--size={sessions}")];
        let peers = || vec![self.gateway("toolgate", "legacy")];
        vec![
            BenchCase {
                title: "idle legacy sessions",
                flags: flags("idle"),
                peers: peers(),
            },
            BenchCase {
                title: "idle legacy sessions with an open stream",
                flags: flags("streams"),
                peers: peers(),
            },
        ]
    }
}

/// Runs a case and prints its table. A failed case is recorded and does not stop the others.
fn run_and_print(
    case: &BenchCase,
    rounds: usize,
    failures: &mut Vec<String>,
    table: impl Fn(&[ResultRow]) -> String,
) -> Result<()> {
    match run(case, rounds) {
        Ok(rows) => writeln!(std::io::stdout(), "{}", table(&rows))?,
        Err(error) => failures.push(format!("{}: {error:#}", case.title)),
    }
    Ok(())
}

fn main() -> Result<()> {
    let given = CompareArgs::parse();
    if given.sessions > MAX_IDLE_SESSIONS {
        bail!("one principal may hold 2,000 sessions: --sessions is at most {MAX_IDLE_SESSIONS}");
    }
    let folder = tempfile::tempdir()?;
    let stage = BenchEnvironment::start(folder.path())?;
    let base = if stage.nginx.is_some() {
        "nginx"
    } else {
        "hyper"
    };
    if base == "hyper" {
        print_progress("nginx is not installed: ratios are to the bare hyper proxy");
    }
    let wanted = |case: &&BenchCase| case.title.contains(&given.only);
    let mut failures = Vec::new();
    for case in stage.cases(given.seconds).iter().filter(wanted) {
        run_and_print(case, given.rounds, &mut failures, |rows| {
            table::load(case.title, rows, base)
        })?;
    }
    for case in stage.idle(given.sessions).iter().filter(wanted) {
        run_and_print(case, 1, &mut failures, |rows| table::idle(case.title, rows))?;
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}
