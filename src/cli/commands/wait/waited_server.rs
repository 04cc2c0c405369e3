//! Readiness of a server that is waited for. What is stored of a server may be from before the wait, or from before a failure:
//! the server is probed until the wait ends.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::cli::{
    client::{admin::AdminClient, kind::SERVER, probe_result, server_health},
    commands::server,
    output::{
        OutputWriter,
        error::{CliError, CliErrorKind},
    },
};

/// Time from the end of a probe to the next one.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Server that is waited for.
pub(super) struct WaitedServer {
    next_probe: Instant,
    /// Result of the last probe; `None` if the token may not probe servers.
    last: Option<WaitedProbe>,
}

/// Result of a probe that began after the wait.
enum WaitedProbe {
    /// The server has answered, and has no problem.
    Well,
    /// Reason why the server is not ready.
    Problem(String),
}

impl WaitedServer {
    /// Starts the wait: the next look probes the server.
    pub(super) fn new() -> Self {
        Self {
            next_probe: Instant::now(),
            last: None,
        }
    }

    /// Looks at the server. Returns its object and the reason why it is not ready, if it is not.
    pub(super) async fn look(
        &mut self,
        admin: &mut AdminClient,
        name: &str,
        deadline: Instant,
        out: &mut OutputWriter,
    ) -> Result<(Option<Value>, Option<String>), CliError> {
        if admin.find(&SERVER, name).await?.is_none() {
            return Ok((None, Some("it does not exist".to_owned())));
        }
        if Instant::now() >= self.next_probe {
            self.probe(admin, name, deadline, out).await;
        }
        let object = admin.find(&SERVER, name).await?;
        let reason = object.as_ref().and_then(|object| match &self.last {
            Some(WaitedProbe::Problem(problem)) => Some(problem.clone()),
            Some(WaitedProbe::Well) => server_health::failure_at_proxies(object),
            None => server_health::problem(object),
        });
        Ok((object, reason))
    }

    async fn probe(
        &mut self,
        admin: &mut AdminClient,
        name: &str,
        deadline: Instant,
        out: &mut OutputWriter,
    ) {
        let id = name.rsplit('/').next().unwrap_or(name);
        let outcome = match timeout_at(deadline, server::request_probe(admin, id)).await {
            Ok(Ok(catalogue)) => outcome_of(&catalogue),
            Ok(Err(fault)) if fault.kind == CliErrorKind::Denied => {
                out.notice(format_args!(
                    "  {name}: the token may not probe it; what was stored by the last probe counts"
                ));
                self.next_probe = deadline + PROBE_INTERVAL;
                return;
            }
            // A control plane that starts or is busy is waited for, too.
            Ok(Err(fault)) => WaitedProbe::Problem(fault.message),
            Err(_elapsed) => WaitedProbe::Problem("its probe has not ended".to_owned()),
        };
        self.last = Some(outcome);
        self.next_probe = Instant::now() + PROBE_INTERVAL;
    }
}

fn outcome_of(catalogue: &Value) -> WaitedProbe {
    match probe_result::problem(catalogue).filter(|problem| !probe_result::is_warning(problem)) {
        None => WaitedProbe::Well,
        Some(problem) => WaitedProbe::Problem(problem.text),
    }
}
