//! `wait`: waits until an object exists, is ready, is deleted, or has a value.

mod waited_server;

use std::time::Duration;

use serde_json::Value;

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        gateway_health,
        kind::{ApiResourceKind, GATEWAY, PROXY, SERVER},
        proxy_state::ProxyState,
        server_health,
    },
    commands::{selection::ObjectSelector, token::parse_duration},
    output::{
        OutputWriter, cell,
        error::{CliError, CliErrorKind},
        json_path::JsonPathTemplate,
    },
};

use waited_server::WaitedServer;

/// Interval between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// Waits for objects.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate wait server git --for ready --timeout 1m\n\
    \x20 toolgate wait gateway/tools --for delete\n\
    \x20 toolgate wait gateway tools --for jsonpath='{.status.path}'=/v1/mcp/tools")]
pub struct WaitArgs {
    /// Objects to wait for.
    #[command(flatten)]
    pub pick: ObjectSelector,
    /// Condition: `create`, `delete`, `ready` (a probe from now on finds no problem of a server, and it fails for no proxy, a gateway has no problem, a proxy is
    /// in sync; what a limit or a server leaves out is a warning), or `jsonpath={.path}=value`.
    #[arg(long = "for", default_value = "ready", value_name = "CONDITION", value_parser = parse_condition)]
    pub condition: WaitCondition,
    /// Maximum time to wait.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Condition of an object.
#[derive(Debug, Clone)]
pub enum WaitCondition {
    /// The object exists.
    Create,
    /// The object does not exist.
    Delete,
    /// The object exists and works.
    Ready,
    /// A path has a value.
    Value(JsonPathTemplate, String),
}

fn parse_condition(text: &str) -> Result<WaitCondition, String> {
    let text = text.strip_prefix("condition=").unwrap_or(text);
    match text.to_ascii_lowercase().as_str() {
        "create" | "created" => return Ok(WaitCondition::Create),
        "delete" | "deleted" => return Ok(WaitCondition::Delete),
        "ready" | "available" => return Ok(WaitCondition::Ready),
        _ => {}
    }
    let of_path = text.strip_prefix("jsonpath=");
    let of_path = of_path.and_then(|it| it.rsplit_once("}="));
    let (path, value) = of_path
        .ok_or_else(|| "one of: create, delete, ready, jsonpath='{.path}'=value".to_owned())?;
    let path = JsonPathTemplate::parse(&format!("{path}}}"))?;
    Ok(WaitCondition::Value(path, value.to_owned()))
}

impl WaitCondition {
    /// Returns the reason why the condition is not met, or `None` if it is.
    fn unmet(&self, kind: &ApiResourceKind, object: Option<&Value>) -> Option<String> {
        let Some(object) = object else {
            return match self {
                Self::Delete => None,
                Self::Create | Self::Ready | Self::Value(..) => {
                    Some("it does not exist".to_owned())
                }
            };
        };
        match self {
            Self::Create => None,
            Self::Delete => Some("it exists".to_owned()),
            Self::Ready => problem_of(kind, object),
            Self::Value(path, wanted) => {
                let found = path.fill(object);
                (found != *wanted).then(|| format!("it has the value `{found}`"))
            }
        }
    }
}

/// Returns the problem of an object, if it does not work.
fn problem_of(kind: &ApiResourceKind, object: &Value) -> Option<String> {
    if kind.name == SERVER.name {
        return server_health::problem(object);
    }
    if kind.name == GATEWAY.name {
        return gateway_health::problem(object).map(str::to_owned);
    }
    if kind.name == PROXY.name {
        let state = ProxyState::of(object);
        return (state != ProxyState::InSync).then(|| format!("it is {state}"));
    }
    None
}

/// Returns the warnings about an object that works.
fn warnings_of(kind: &ApiResourceKind, object: &Value) -> Vec<String> {
    match kind.name {
        name if name == SERVER.name => server_health::warnings(object),
        name if name == GATEWAY.name => gateway_health::warnings(object),
        _ => Vec::new(),
    }
}

impl WaitArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let selections = self.pick.resolve_all()?;
        let mut admin = self.admin.connect()?;
        let deadline = tokio::time::Instant::now() + self.timeout;
        for selection in &selections {
            if selection.names.is_empty() {
                let plural = selection.kind.plural;
                return Err(CliError::usage(format!("name the {plural} to wait for"))
                    .with_next_step(format!(
                        "`toolgate get {plural}` lists what there is; `toolgate wait {} NAME`",
                        selection.kind.field()
                    )));
            }
            for name in &selection.names {
                let full = selection.kind.resource_name(admin.organization(), name);
                self.wait_for(&mut admin, selection.kind, &full, deadline, out)
                    .await?;
                out.line(format_args!("{full} condition met"))?;
            }
        }
        Ok(())
    }

    async fn wait_for(
        &self,
        admin: &mut AdminClient,
        kind: &'static ApiResourceKind,
        name: &str,
        deadline: tokio::time::Instant,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let mut told = String::new();
        let is_server = kind.name == SERVER.name;
        let is_probed = is_server && matches!(self.condition, WaitCondition::Ready);
        let mut server = is_probed.then(WaitedServer::new);
        loop {
            let looked = match &mut server {
                Some(server) => server.look(admin, name, deadline, out).await,
                None => admin.find(kind, name).await.map(|object| {
                    let reason = self.condition.unmet(kind, object.as_ref());
                    (object, reason)
                }),
            };
            let (exists, reason) = match looked {
                Ok((object, reason)) => match reason {
                    None => {
                        if let (WaitCondition::Ready, Some(object)) = (&self.condition, &object) {
                            for warning in warnings_of(kind, object) {
                                out.notice(format_args!("  warning: {warning}"));
                            }
                        }
                        return Ok(());
                    }
                    Some(reason) => (object.is_some(), reason),
                },
                // A control plane that starts is waited for, too.
                Err(fault) if fault.kind == CliErrorKind::Unavailable => (true, fault.message),
                Err(fault) => return Err(fault),
            };
            if tokio::time::Instant::now() + INTERVAL > deadline {
                return Err(self.timed_out(kind, name, exists, &reason));
            }
            if told != reason {
                out.notice(format_args!("  {name}: {reason}"));
                told = reason;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn timed_out(
        &self,
        kind: &ApiResourceKind,
        name: &str,
        exists: bool,
        reason: &str,
    ) -> CliError {
        let fault = CliError::error(format!(
            "{name} did not meet the condition within {}: {reason}",
            cell::format_duration(self.timeout.as_secs())
        ));
        let id = name.rsplit('/').next().unwrap_or(name);
        let (field, plural) = (kind.field(), kind.plural);
        fault.with_next_step(match exists {
            true if matches!(self.condition, WaitCondition::Delete) => format!(
                "`toolgate delete {field} {id}` deletes it; `--timeout` gives it more time"
            ),
            false => format!("`toolgate get {plural}` lists what there is"),
            true if kind.name == SERVER.name => format!(
                "`toolgate server probe {id}` tells the remedy; `--timeout` gives it more time"
            ),
            true => format!(
                "`toolgate describe {field} {id}` shows it; `toolgate doctor` tells remedies; `--timeout` gives it more time"
            ),
        })
    }
}

#[cfg(test)]
mod tests;
