//! `doctor`: checks everything that a deployment needs, in order of dependency, and prints a fix for every finding.

use http::{Request, StatusCode, Uri, header};
use serde_json::{Value, json};
use toolgate_egress::Body;

use super::{
    admin::{Admin, AdminOptions},
    cell, dial,
    fault::{Fault, FaultKind},
    kind::{CATALOGUE, GATEWAY, PROXY, SERVER, TOKEN},
    out::{Format, Out},
    remedy, through,
};

/// Maximum clock difference. A larger one breaks the expiry of tokens and certificates.
const CLOCK_TOLERANCE_MILLIS: u64 = 30_000;
/// Remaining lifetime below which a token is reported.
const EXPIRES_SOON_MILLIS: u64 = 7 * 24 * 3600 * 1000;

/// Looks for what is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate doctor\n\
    \x20 toolgate doctor --endpoint https://mcp.example.com")]
pub struct Doctor {
    /// Address of a proxy, or of the balancer before them. Without it, the connected proxies' own addresses are tried.
    #[arg(long, env = "TOOLGATE_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Doubtful,
    Broken,
}

/// Result of one check.
#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    subject: String,
    what: String,
    fix: String,
}

impl Finding {
    fn fine(subject: impl Into<String>, what: impl Into<String>) -> Self {
        let (subject, what) = (subject.into(), what.into());
        Self {
            verdict: Verdict::Fine,
            subject,
            what,
            fix: String::new(),
        }
    }

    fn doubtful(
        subject: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (subject, what, fix) = (subject.into(), what.into(), fix.into());
        Self {
            verdict: Verdict::Doubtful,
            subject,
            what,
            fix,
        }
    }

    fn broken(subject: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Broken,
            ..Self::doubtful(subject, what, fix)
        }
    }

    fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Fine => "ok",
            Verdict::Doubtful => "look",
            Verdict::Broken => "BROKEN",
        }
    }
}

impl Doctor {
    /// Runs the command. Ends with exit code 1 if something is broken.
    pub async fn run(self, out: &mut Out) -> Result<(), Fault> {
        let mut findings = vec![transport(&self.admin.address())];
        let mut admin = self.admin.connect()?;
        let reached = admin.server_time().await;
        let goes_on = reached.is_ok();
        findings.extend(reach(&admin, &self.admin, reached));
        if goes_on {
            findings.extend(servers(&mut admin).await?);
            findings.extend(gateways(&mut admin).await?);
            findings.extend(tokens(&mut admin).await?);
            let proxies = proxies(&mut admin).await?;
            findings.extend(proxies.as_deref().map_or_else(unseen_fleet, fleet));
            findings.extend(self.endpoints(&proxies.unwrap_or_default()).await);
        }
        report(out, &findings)
    }

    /// Checks that proxies answer at the addresses that they report.
    async fn endpoints(&self, proxies: &[Value]) -> Vec<Finding> {
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None if proxies.is_empty() => return Vec::new(),
            None => through::endpoint_among(proxies),
        };
        let url = through::endpoint_url(&endpoint, "doctor");
        let fix = format!(
            "check listener, firewall and balancer of {endpoint}, or name another with --endpoint"
        );
        let answer = async {
            let http = dial::http(self.admin.reach.ca.as_deref())?;
            let request = Request::post(&url)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::full(
                    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
                ))
                .map_err(|error| Fault::usage(error.to_string()))?;
            http.request(request)
                .await
                .map_err(|error| dial::unreachable(&url, &error))
        };
        let finding = match answer.await {
            Ok(answer) if is_a_door(&answer) => {
                Finding::fine("endpoint", format!("{endpoint} answers as a proxy does"))
            }
            Ok(answer) => Finding::broken(
                "endpoint",
                format!("{url} answers {}", answer.status()),
                fix,
            ),
            Err(fault) => Finding::broken("endpoint", fault.message, fix),
        };
        vec![finding]
    }
}

/// Returns `true` if the response is that of a proxy to a request without a token for an unknown gateway.
fn is_a_door<B>(answer: &http::Response<B>) -> bool {
    let kind = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes);
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&answer.status());
    refused && kind.is_some_and(|kind| kind.starts_with(b"application/json"))
}

/// Checks that the admin token is not sent in plain text over a network.
fn transport(addr: &str) -> Finding {
    let uri: Option<Uri> = addr.parse().ok();
    let plain = uri.as_ref().and_then(Uri::scheme_str) != Some("https");
    let host = uri.as_ref().and_then(Uri::host).unwrap_or(addr);
    let local = ["localhost", "127.0.0.1", "[::1]", "::1"].contains(&host);
    match (plain, local) {
        (false, _) => Finding::fine("transport", "TLS to the admin API"),
        (true, true) => Finding::fine("transport", "plain HTTP, on this machine only"),
        (true, false) => Finding::doubtful(
            "transport",
            format!("plain HTTP to {host}: the admin token can be read on the way"),
            "give the admin listener a certificate (--admin-cert, --admin-key) and use https",
        ),
    }
}

fn reach(
    admin: &Admin,
    options: &AdminOptions,
    reached: Result<Option<u64>, Fault>,
) -> Vec<Finding> {
    let addr = admin.addr();
    match reached {
        Ok(time) => {
            let mut findings = vec![
                Finding::fine("admin API", format!("{addr} answers")),
                Finding::fine("admin token", "accepted"),
            ];
            findings.extend(time.map(clock));
            findings
        }
        Err(fault) if fault.kind == FaultKind::Denied => vec![
            Finding::fine("admin API", format!("{addr} answers")),
            match admin.has_token() {
                true => Finding::broken(
                    "admin token",
                    fault.message,
                    "set TOOLGATE_TOKEN to a valid admin token",
                ),
                false => Finding::broken(
                    "admin token",
                    format!(
                        "there is none: neither TOOLGATE_TOKEN nor {}",
                        options.token_file().display()
                    ),
                    "set TOOLGATE_TOKEN, or run where `toolgate up` keeps its files (--data-dir)",
                ),
            },
        ],
        Err(fault) => vec![Finding::broken(
            "admin API",
            fault.message,
            format!("start it (`toolgate up`), or set TOOLGATE_ADDR: now it is {addr}"),
        )],
    }
}

fn clock(theirs: u64) -> Finding {
    let apart = super::now().abs_diff(theirs);
    if apart <= CLOCK_TOLERANCE_MILLIS {
        return Finding::fine("clock", "agrees with the control plane's");
    }
    Finding::broken(
        "clock",
        format!(
            "{} apart from the control plane's",
            cell::span(apart / 1000)
        ),
        "switch on time synchronisation on both machines",
    )
}

async fn servers(admin: &mut Admin) -> Result<Vec<Finding>, Fault> {
    let servers = admin.list(&SERVER).await?;
    let catalogues = admin.list(&CATALOGUE).await?;
    let catalogue = |id: &str| catalogues.iter().find(|c| cell::id(c, "/name") == id);
    let finding = |server: &Value| {
        let id = cell::id(server, "/metadata/name");
        let subject = format!("server {id}");
        let Some(catalogue) = catalogue(&id) else {
            return Finding::doubtful(
                subject,
                "not probed yet",
                format!("`toolgate describe server {id}` in a moment"),
            );
        };
        let seen = cell::age(catalogue, "/probeTime", super::now());
        match catalogue["problem"].as_str() {
            Some(problem) if !problem.is_empty() => Finding::broken(
                subject,
                format!("the last probe failed: {problem} (seen {seen} ago)"),
                remedy::of_probe(
                    problem,
                    &id,
                    &cell::text(server, "/spec/url"),
                    server["spec"]["credential"].as_str().unwrap_or_default(),
                ),
            ),
            Some(_) | None => Finding::fine(
                subject,
                format!(
                    "{} tools, {}, seen {seen} ago",
                    cell::count(catalogue, "/tools"),
                    cell::text(catalogue, "/era")
                ),
            ),
        }
    };
    Ok(servers.iter().map(finding).collect())
}

async fn gateways(admin: &mut Admin) -> Result<Vec<Finding>, Fault> {
    let gateways = admin.list(&GATEWAY).await?;
    let finding = |gateway: &Value| {
        let id = cell::id(gateway, "/metadata/name");
        let problems = gateway
            .pointer("/status/problems")
            .and_then(Value::as_array);
        let problems: Vec<_> = problems
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if problems.is_empty() {
            let tools = cell::count(gateway, "/status/tools");
            return Finding::fine(format!("gateway {id}"), format!("{tools} tools"));
        }
        let fix = format!("`toolgate describe gateway {id}`, then mend its bindings");
        Finding::doubtful(format!("gateway {id}"), problems.join("; "), fix)
    };
    Ok(gateways.iter().map(finding).collect())
}

async fn tokens(admin: &mut Admin) -> Result<Vec<Finding>, Fault> {
    let tokens = match admin.list(&TOKEN).await {
        Ok(tokens) => tokens,
        // A token that can read servers cannot necessarily read tokens.
        Err(fault) if fault.kind == FaultKind::Denied => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    Ok(ending(&tokens, super::now()))
}

/// Lists tokens that expire soon, except tokens that the command line creates for one command.
fn ending(tokens: &[Value], now: u64) -> Vec<Finding> {
    let finding = |token: &Value| {
        let at = token
            .pointer("/spec/expireTime")
            .and_then(Value::as_str)
            .and_then(cell::instant)?;
        // A revoked token needs no successor.
        if token.pointer("/status/revoked") == Some(&Value::Bool(true)) {
            return None;
        }
        let id = cell::id(token, "/metadata/name");
        (now < at && at - now < EXPIRES_SOON_MILLIS && !id.starts_with("cli-")).then(|| {
            let what = format!("ends in {}", cell::span((at - now) / 1000));
            Finding::doubtful(
                format!("token {id}"),
                what,
                "create its successor and hand it out in time",
            )
        })
    };
    tokens.iter().filter_map(finding).collect()
}

/// Lists the proxies, or returns `None` if the token may not read them: they belong to the deployment, not to an
/// organization.
async fn proxies(admin: &mut Admin) -> Result<Option<Vec<Value>>, Fault> {
    match admin.list(&PROXY).await {
        Ok(proxies) => Ok(Some(proxies)),
        Err(fault) if fault.kind == FaultKind::Denied => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn unseen_fleet() -> Vec<Finding> {
    let fix = "use the system token to look at proxies too";
    vec![Finding::doubtful(
        "proxies",
        "this token may not look at the fleet",
        fix,
    )]
}

fn fleet(proxies: &[Value]) -> Vec<Finding> {
    if proxies.is_empty() {
        let fix = "`toolgate proxies join-token > join.json`, then `toolgate proxy --join join.json --control-plane URL`";
        return vec![Finding::broken("proxies", "none has connected", fix)];
    }
    let finding = |proxy: &Value| {
        let id = cell::id(proxy, "/name");
        let subject = format!("proxy {id}");
        let versions = format!(
            "wanted {}, acked {}",
            cell::version(proxy, "/wanted"),
            cell::version(proxy, "/acked")
        );
        match super::kind::proxy_state(proxy).as_str() {
            "in sync" => Finding::fine(subject, versions),
            "behind" => Finding::doubtful(
                subject,
                format!("behind: {versions}"),
                "look again in a second; if it stays, read that proxy's log",
            ),
            "refusing" => Finding::broken(
                subject,
                format!("refuses parts of its configuration: {versions}"),
                "`toolgate proxies` names them with reasons",
            ),
            _ => {
                let seen = cell::age(proxy, "/lastSeenTime", super::now());
                let fix = "it serves on with what it holds; check its process and its way to the control plane";
                Finding::doubtful(subject, format!("away, last seen {seen} ago"), fix)
            }
        }
    };
    proxies.iter().map(finding).collect()
}

fn report(out: &mut Out, findings: &[Finding]) -> Result<(), Fault> {
    let as_json = |finding: &Finding| json!({ "verdict": finding.word(), "subject": finding.subject, "finding": finding.what, "fix": finding.fix });
    match out.format() {
        Format::Json => out.json(&findings.iter().map(as_json).collect())?,
        Format::Yaml => out.yaml(&findings.iter().map(as_json).collect())?,
        Format::Name | Format::Table | Format::Wide => {
            for finding in findings {
                out.line(format_args!(
                    "{:<6}  {}: {}",
                    finding.word(),
                    finding.subject,
                    finding.what
                ))?;
                if !finding.fix.is_empty() {
                    out.line(format_args!("        fix: {}", finding.fix))?;
                }
            }
        }
    }
    let broken = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Broken)
        .count();
    match broken {
        0 => Ok(()),
        count => Err(Fault::error(cell::counted(
            count,
            "thing is broken",
            "things are broken",
        ))),
    }
}

#[cfg(test)]
mod tests;
