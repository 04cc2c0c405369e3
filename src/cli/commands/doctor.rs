//! `doctor`: checks everything that a deployment needs, in order of dependency, and prints a fix for every finding.

mod identity_providers;
mod proxies;
mod servers;

use std::time::Duration;

use http::{Request, StatusCode, Uri, header};
use serde_json::{Value, json};
use toolgate_egress::EgressRequestBody;
use toolgate_model::CLOCK_TOLERANCE;

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        dial, gateway_access,
        gateway_address::{self, FoundEndpoint},
        kind::{GATEWAY, TOKEN},
        object_problem::{self, ObjectProblem},
        token_scope,
    },
    output::{
        OutputFormat, OutputWriter, cell,
        error::{ApiErrorReason, CliError, CliErrorKind},
    },
};

use proxies::{fleet, fleet_not_visible, proxies};
use servers::servers;

/// Reason of the fault that the store does not answer.
const STORE_UNAVAILABLE: &str = "STORE_UNAVAILABLE";
/// Reason of the fault that the control plane does not follow its store.
const STORE_NOT_FOLLOWED: &str = "STORE_NOT_FOLLOWED";
/// Next step for a clock that is off.
const CLOCK_FIX: &str = "switch on time synchronisation on both machines";
/// Remaining lifetime below which a token is reported, unless a fifth of its whole lifetime is shorter.
const EXPIRES_SOON_MILLIS: u64 = 7 * 24 * 3600 * 1000;

/// Looks for what is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate doctor\n\
    \x20 toolgate doctor --endpoint https://mcp.example.com")]
pub struct DoctorArgs {
    /// Address of a proxy, or of the balancer before them. Without it, the connected proxies' own addresses are tried.
    #[arg(long, env = "TOOLGATE_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FindingSeverity {
    Fine,
    Warning,
    Broken,
}

/// Result of one check.
#[derive(Debug)]
struct DoctorFinding {
    severity: FindingSeverity,
    subject: String,
    detail: String,
    fix: String,
}

impl DoctorFinding {
    fn fine(subject: impl Into<String>, what: impl Into<String>) -> Self {
        let (subject, detail) = (subject.into(), what.into());
        Self {
            severity: FindingSeverity::Fine,
            subject,
            detail,
            fix: String::new(),
        }
    }

    fn warning(
        subject: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (subject, detail, fix) = (subject.into(), what.into(), fix.into());
        Self {
            severity: FindingSeverity::Warning,
            subject,
            detail,
            fix,
        }
    }

    fn broken(subject: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: FindingSeverity::Broken,
            ..Self::warning(subject, what, fix)
        }
    }

    fn word(&self) -> &'static str {
        match self.severity {
            FindingSeverity::Fine => "ok",
            FindingSeverity::Warning => "look",
            FindingSeverity::Broken => "BROKEN",
        }
    }
}

impl DoctorArgs {
    /// Runs the command. Ends with exit code 1 if something is broken.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let mut findings = vec![transport(&self.admin.address())];
        let mut admin = self.admin.connect()?;
        let reached = admin.server_time().await;
        let is_reachable = reached.is_ok();
        findings.extend(admin_findings(&admin, &self.admin, reached));
        if is_reachable {
            findings.extend(store(admin.reads_latest(), &warnings(&mut admin).await?));
            let servers = servers(&mut admin).await?;
            let failed = servers
                .iter()
                .filter(|(_, finding)| finding.severity != FindingSeverity::Fine);
            let failed: Vec<String> = failed.map(|(id, _)| id.clone()).collect();
            findings.extend(servers.into_iter().map(|(_, finding)| finding));
            findings.extend(identity_providers::check(&mut admin).await?);
            findings.extend(gateways(&mut admin, &failed).await?);
            findings.extend(tokens(&mut admin).await?);
            let proxies = proxies(&mut admin).await?;
            findings.extend(proxies.as_deref().map_or_else(fleet_not_visible, fleet));
            findings.extend(self.endpoints(&proxies.unwrap_or_default()).await);
        }
        report(out, &findings)
    }

    /// Checks that proxies answer at the addresses that they report.
    async fn endpoints(&self, proxies: &[Value]) -> Vec<DoctorFinding> {
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None if proxies.is_empty() => return Vec::new(),
            None => {
                let told = gateway_address::listeners(proxies);
                FoundEndpoint::among(&told, &self.admin.address()).url
            }
        };
        let url = gateway_access::endpoint_url(&endpoint, "doctor");
        let fix = format!(
            "check listener, firewall and balancer of {endpoint}, or name another with --endpoint"
        );
        let answer = async {
            let http = dial::http_client(self.admin.connection.ca.as_deref())?;
            let request = Request::post(&url)
                .header(header::CONTENT_TYPE, "application/json")
                .body(EgressRequestBody::full(
                    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
                ))
                .map_err(|error| CliError::usage(error.to_string()))?;
            http.request(request)
                .await
                .map_err(|error| dial::unreachable(&url, &error))
        };
        let finding = match answer.await {
            Ok(answer) if is_proxy_response(&answer) => {
                DoctorFinding::fine("endpoint", format!("{endpoint} answers as a proxy does"))
            }
            Ok(answer) => DoctorFinding::broken(
                "endpoint",
                format!("{url} answers {}", answer.status()),
                fix,
            ),
            Err(fault) => DoctorFinding::broken("endpoint", fault.message, fix),
        };
        vec![finding]
    }
}

/// Returns `true` if a proxy would answer like this to a request without a token for an unknown gateway.
fn is_proxy_response<B>(answer: &http::Response<B>) -> bool {
    let kind = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes);
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&answer.status());
    refused && kind.is_some_and(|kind| kind.starts_with(b"application/json"))
}

/// Checks that the admin token is not sent in plain text over a network.
fn transport(addr: &str) -> DoctorFinding {
    let uri: Option<Uri> = addr.parse().ok();
    let plain = uri.as_ref().and_then(Uri::scheme_str) != Some("https");
    let host = uri.as_ref().and_then(Uri::host).unwrap_or(addr);
    let local = ["localhost", "127.0.0.1", "[::1]", "::1"].contains(&host);
    match (plain, local) {
        (false, _) => DoctorFinding::fine("transport", "TLS to the admin API"),
        (true, true) => DoctorFinding::fine("transport", "plain HTTP, on this machine only"),
        (true, false) => DoctorFinding::warning(
            "transport",
            format!("plain HTTP to {host}: the admin token can be read on the way"),
            "give the admin listener a certificate (--admin-cert, --admin-key) and use https",
        ),
    }
}

fn admin_findings(
    admin: &AdminClient,
    options: &AdminCommandOptions,
    reached: Result<Option<u64>, CliError>,
) -> Vec<DoctorFinding> {
    let addr = admin.addr();
    match reached {
        Ok(time) => {
            let mut findings = vec![
                DoctorFinding::fine("admin API", format!("{addr} answers")),
                DoctorFinding::fine("admin token", "accepted"),
            ];
            findings.extend(time.map(clock));
            findings
        }
        Err(fault) if fault.kind == CliErrorKind::Denied => vec![
            DoctorFinding::fine("admin API", format!("{addr} answers")),
            match admin.has_token() {
                true => DoctorFinding::broken(
                    "admin token",
                    fault.message,
                    "set TOOLGATE_TOKEN to a valid admin token",
                ),
                false => DoctorFinding::broken(
                    "admin token",
                    match std::path::absolute(options.token_file()) {
                        Ok(file) => format!(
                            "there is none: neither TOOLGATE_TOKEN nor {}",
                            file.display()
                        ),
                        Err(_unknown) => "there is none".to_owned(),
                    },
                    "set TOOLGATE_TOKEN, or name the data folder of the `toolgate up` that answers: --data-dir DIR",
                ),
            },
        ],
        Err(fault) => {
            let detail = std::iter::once(fault.message).chain(fault.notes);
            let detail = detail.collect::<Vec<_>>().join("; ");
            let fix = fault.next_step.unwrap_or_default();
            let fix = fix.trim_end_matches("; `toolgate doctor` looks closer");
            vec![DoctorFinding::broken("admin API", detail, fix)]
        }
    }
}

/// Returns the faults that the control plane reports. A control plane of an earlier version reports none.
async fn warnings(admin: &mut AdminClient) -> Result<Vec<Value>, CliError> {
    match admin.call("Deployment", "GetStatus", json!({})).await {
        Ok(status) => Ok(status["warnings"].as_array().cloned().unwrap_or_default()),
        Err(fault) if fault.kind == CliErrorKind::Denied => Ok(Vec::new()),
        Err(fault) if fault.reason == ApiErrorReason::Unimplemented => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// Checks that the control plane can tell whether its state is the latest, which takes a store that answers, and lists the
/// faults of the store and of objects in it.
fn store(reads_latest: bool, warnings: &[Value]) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    let is_followed = warnings
        .iter()
        .all(|warning| warning["reason"] != STORE_NOT_FOLLOWED);
    if !reads_latest && is_followed {
        findings.push(DoctorFinding::broken(
            "store",
            "does not answer: nothing can be written or revoked, and what is shown may be out of date",
            "check that etcd has a quorum, or the file in the data folder; the control plane goes on by itself as soon as \
             the store answers",
        ));
    }
    for warning in warnings {
        let is_reported = !reads_latest && warning["reason"] == STORE_UNAVAILABLE;
        if !is_reported {
            findings.push(reported(warning));
        }
    }
    if findings.is_empty() {
        findings.push(DoctorFinding::fine("store", "answers"));
    }
    findings
}

/// Returns the finding of a reported fault, whose last part is the next step. A fault of unknown severity is broken.
fn reported(warning: &Value) -> DoctorFinding {
    let subject = warning["subject"].as_str().unwrap_or_default();
    let text = warning["text"].as_str().unwrap_or_default();
    let (what, fix) = text.rsplit_once("; ").unwrap_or((text, ""));
    match warning["severity"] == "PROBLEM_SEVERITY_WARNING" {
        true => DoctorFinding::warning(subject, what, fix),
        false => DoctorFinding::broken(subject, what, fix),
    }
}

fn clock(server_time: u64) -> DoctorFinding {
    let difference = crate::cli::now().abs_diff(server_time);
    if Duration::from_millis(difference) <= CLOCK_TOLERANCE {
        return DoctorFinding::fine("clock", "agrees with the control plane's");
    }
    DoctorFinding::broken(
        "clock",
        format!(
            "{} apart from the control plane's",
            cell::format_duration(difference / 1000)
        ),
        CLOCK_FIX,
    )
}

/// Reports the problems of gateways. `failed` are the servers that have a finding of their own.
async fn gateways(
    admin: &mut AdminClient,
    failed: &[String],
) -> Result<Vec<DoctorFinding>, CliError> {
    let gateways = admin.list(&GATEWAY).await?;
    Ok(gateways
        .iter()
        .map(|gateway| gateway_finding(gateway, failed))
        .collect())
}

fn gateway_finding(gateway: &Value, failed: &[String]) -> DoctorFinding {
    let id = cell::id(gateway, "/metadata/name");
    let problems = object_problem::problems(gateway);
    if problems.is_empty() {
        let tools = gateway["status"]["tools"].as_array().map_or(0, Vec::len);
        let tools = cell::counted(tools, "tool", "tools");
        return DoctorFinding::fine(format!("gateway {id}"), tools);
    }
    let causes: Vec<_> = failed
        .iter()
        .filter(|server| problems.iter().any(|it| it.server == server.as_str()))
        .map(|server| format!("`server {server}`"))
        .collect();
    let own = |problem: &ObjectProblem<'_>| !failed.iter().any(|it| it == problem.server);
    let fix = match (&causes[..], problems.iter().any(own)) {
        ([], _) => format!("`toolgate describe gateway {id}`, then mend its bindings"),
        (causes, false) => format!("its bindings may be right: see {}", causes.join(", ")),
        (causes, true) => format!(
            "see {} first; then `toolgate describe gateway {id}`, and mend its bindings",
            causes.join(", ")
        ),
    };
    let texts: Vec<_> = problems.iter().map(|problem| problem.text).collect();
    DoctorFinding::warning(format!("gateway {id}"), texts.join("; "), fix)
}

async fn tokens(admin: &mut AdminClient) -> Result<Vec<DoctorFinding>, CliError> {
    let tokens = match admin.list(&TOKEN).await {
        Ok(tokens) => tokens,
        // A token that can read servers cannot necessarily read tokens.
        Err(fault) if fault.kind == CliErrorKind::Denied => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    let mut findings = expiring_tokens(&tokens, crate::cli::now());
    findings.extend(tokens.iter().filter_map(lost_gateways));
    Ok(findings)
}

/// Lists tokens that expire soon, except tokens that the command line creates for one command.
fn expiring_tokens(tokens: &[Value], now: u64) -> Vec<DoctorFinding> {
    let finding = |token: &Value| {
        let at = token
            .pointer("/spec/expireTime")
            .and_then(Value::as_str)
            .and_then(cell::parse_timestamp)?;
        // A revoked token needs no successor.
        if token.pointer("/status/revoked") == Some(&Value::Bool(true)) {
            return None;
        }
        let id = cell::id(token, "/metadata/name");
        let created = token
            .pointer("/metadata/createTime")
            .and_then(Value::as_str)
            .and_then(cell::parse_timestamp);
        let fifth = created.map_or(u64::MAX, |created| at.saturating_sub(created) / 5);
        let is_temporary = token_scope::is_temporary(token);
        (now < at && at - now < EXPIRES_SOON_MILLIS.min(fifth) && !is_temporary).then(|| {
            let what = format!("ends in {}", cell::format_duration((at - now) / 1000));
            DoctorFinding::warning(
                format!("token {id}"),
                what,
                "`toolgate token create` makes its successor; hand it out in time",
            )
        })
    };
    tokens.iter().filter_map(finding).collect()
}

/// Reports the gateways that a token lists and that do not admit it. A revoked token is for none; a token of one command is
/// deleted with the end of the command.
fn lost_gateways(token: &Value) -> Option<DoctorFinding> {
    let problems = token["status"]["problems"].as_array()?.iter();
    let problems: Vec<_> = problems.filter_map(Value::as_str).collect();
    let is_over = token["status"]["revoked"] == true || token_scope::is_temporary(token);
    if problems.is_empty() || is_over {
        return None;
    }
    let id = cell::id(token, "/metadata/name");
    let fix = format!(
        "`toolgate token update {id} --add-gateway GATEWAY` gives it a gateway that exists; `toolgate token revoke {id}` ends it"
    );
    let name = format!("token {id}");
    Some(DoctorFinding::warning(name, problems.join("; "), fix))
}

fn report(out: &mut OutputWriter, findings: &[DoctorFinding]) -> Result<(), CliError> {
    let as_json = |finding: &DoctorFinding| json!({ "verdict": finding.word(), "subject": finding.subject, "finding": finding.detail, "fix": finding.fix });
    match out.format() {
        OutputFormat::Json => out.json(&findings.iter().map(as_json).collect())?,
        OutputFormat::Yaml => out.yaml(&findings.iter().map(as_json).collect())?,
        OutputFormat::Name | OutputFormat::Table | OutputFormat::Wide => {
            for finding in findings {
                out.line(format_args!(
                    "{:<6}  {}: {}",
                    finding.word(),
                    finding.subject,
                    finding.detail
                ))?;
                if !finding.fix.is_empty() {
                    out.line(format_args!("        fix: {}", finding.fix))?;
                }
            }
        }
    }
    let broken = findings
        .iter()
        .filter(|finding| finding.severity == FindingSeverity::Broken)
        .count();
    match broken {
        0 => Ok(()),
        count => Err(CliError::error(cell::counted(
            count,
            "thing is broken",
            "things are broken",
        ))),
    }
}

#[cfg(test)]
mod tests;
