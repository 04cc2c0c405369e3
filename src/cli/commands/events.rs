//! `events`: changes of the configuration and problems that exist now, in the order of time.

use serde_json::{Value, json};

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{GATEWAY, PROXY, SERVER},
        proxy_state::ProxyState,
        server_health,
    },
    commands::fleet::{PROBER_AUTHOR, is_user_change},
    output::{OutputFormat, OutputWriter, cell, error::CliError},
};

/// Number of versions per page of a list request.
const PAGE_SIZE: u32 = 200;

/// Shows changes and problems.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate events\n\
    \x20 toolgate events --limit 100 -o json")]
pub struct EventsArgs {
    /// Number of changes, the newest ones.
    #[arg(long, default_value_t = 30)]
    pub limit: u32,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Change or problem.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DeploymentEvent {
    /// Unix milliseconds; 0 if it is not known since when a problem exists.
    time: u64,
    type_name: &'static str,
    object: String,
    message: String,
}

impl EventsArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let mut admin = self.admin.connect()?;
        let mut events = self.newest_changes(&mut admin).await?;
        // Changes come the newest first; those of one time keep their order.
        events.reverse();
        events.extend(problems(&mut admin).await?);
        events.sort_by_key(|event| event.time);
        match out.format() {
            OutputFormat::Json => out.json(&events.iter().map(as_json).collect()),
            OutputFormat::Yaml => out.yaml(&events.iter().map(as_json).collect()),
            OutputFormat::Name => events.iter().try_for_each(|event| out.line(&event.object)),
            OutputFormat::Table | OutputFormat::Wide => {
                let now = crate::cli::now();
                let row = |event: &DeploymentEvent| {
                    let age = match event.time {
                        0 => "-".to_owned(),
                        at => cell::format_duration(now.saturating_sub(at) / 1000),
                    };
                    vec![
                        age,
                        event.type_name.to_owned(),
                        event.object.clone(),
                        event.message.clone(),
                    ]
                };
                let rows = events.iter().map(row).collect();
                out.table(&["AGE", "TYPE", "OBJECT", "MESSAGE"], rows)
            }
        }
    }
}

impl EventsArgs {
    /// Returns the newest changes that are shown, page by page, as many as the limit.
    async fn newest_changes(
        &self,
        admin: &mut AdminClient,
    ) -> Result<Vec<DeploymentEvent>, CliError> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let (mut events, mut page) = (Vec::new(), String::new());
        loop {
            let request = json!({ "pageSize": PAGE_SIZE, "pageToken": page });
            let answer = admin.call("Versions", "ListVersions", request).await?;
            events.extend(changes(&answer["versions"]));
            let next = answer["nextPageToken"].as_str().unwrap_or_default();
            if events.len() >= limit || next.is_empty() {
                events.truncate(limit);
                return Ok(events);
            }
            next.clone_into(&mut page);
        }
    }
}

fn as_json(event: &DeploymentEvent) -> Value {
    let at = i64::try_from(event.time).ok().filter(|at| *at > 0);
    let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    json!({
        "time": at.map(|at| at.to_string()), "type": event.type_name, "object": event.object,
        "message": event.message,
    })
}

fn time(object: &Value, pointer: &str) -> u64 {
    let at = object.pointer(pointer).and_then(Value::as_str);
    at.and_then(cell::parse_timestamp).unwrap_or_default()
}

/// Returns the type, the object and the message of a change, such as `create server default/git` or
/// `probe of server default/git: 4 tools`.
fn described(change: &str, author: &str) -> (&'static str, String, String) {
    let object = |kind: &str, name: &str| {
        let id = name.rsplit('/').next().unwrap_or(name);
        format!("{kind}/{id}")
    };
    let probe = change.strip_prefix("probe of ");
    if let Some((kind, rest)) = probe.and_then(|rest| rest.split_once(' ')) {
        let (name, found) = rest.split_once(": ").unwrap_or((rest, "probed"));
        return ("Probe", object(kind, name), found.to_owned());
    }
    let words: Vec<_> = change.split(' ').collect();
    match words.as_slice() {
        [verb, kind, name] => ("Change", object(kind, name), format!("{verb}, by {author}")),
        _ => ("Change", "-".to_owned(), format!("{change}, by {author}")),
    }
}

/// Returns an event for each change of the versions that is shown, in their order, the newest first.
fn changes(versions: &Value) -> Vec<DeploymentEvent> {
    let mut events = Vec::new();
    let made = |version: &&Value| version["author"] == PROBER_AUTHOR || is_user_change(version);
    for version in versions.as_array().into_iter().flatten().filter(made) {
        let author = cell::text(version, "/author");
        let changes = version["changes"].as_array().map_or(&[][..], Vec::as_slice);
        for change in changes.iter().rev().filter_map(Value::as_str) {
            let (type_name, object, message) = described(change, &author);
            events.push(DeploymentEvent {
                time: time(version, "/time"),
                type_name,
                object,
                message,
            });
        }
    }
    events
}

/// Returns the events of the last failure of a server at each proxy: its start, and its end.
fn outages(server: &Value) -> Vec<DeploymentEvent> {
    let object = format!("server/{}", cell::id(server, "/metadata/name"));
    let event = |time, type_name, message| DeploymentEvent {
        time,
        type_name,
        object: object.clone(),
        message,
    };
    let mut events = Vec::new();
    let seen = server_health::observations(server).into_iter();
    for seen in seen.filter(|it| it.has_failed) {
        let (proxy, cause) = (&seen.proxy, &seen.cause);
        let message = format!("it fails for proxy {proxy}: {cause}");
        events.push(event(seen.failing_since, "Failing", message));
        if let Some(recovered) = seen.recovered.filter(|_| !seen.is_failing) {
            let lasted = recovered.saturating_sub(seen.failing_since) / 1000;
            let lasted = cell::format_duration(lasted);
            let message = format!("it answers proxy {proxy} again, after {lasted}");
            events.push(event(recovered, "Recovered", message));
        }
    }
    events
}

/// Returns an event for each problem that exists now.
async fn problems(admin: &mut AdminClient) -> Result<Vec<DeploymentEvent>, CliError> {
    let mut events = Vec::new();
    for server in admin.list(&SERVER).await? {
        for omission in crate::cli::commands::server::omissions(&server["status"]) {
            events.push(DeploymentEvent {
                time: 0,
                type_name: "Problem",
                object: format!("server/{}", cell::id(&server, "/metadata/name")),
                message: omission.to_owned(),
            });
        }
        let problem = server["status"]["problem"].as_str().unwrap_or_default();
        if !problem.is_empty() {
            events.push(DeploymentEvent {
                time: time(&server, "/status/problemSinceTime"),
                type_name: "Problem",
                object: format!("server/{}", cell::id(&server, "/metadata/name")),
                message: problem.to_owned(),
            });
        }
        events.extend(outages(&server));
    }
    for gateway in admin.list(&GATEWAY).await? {
        let problems = gateway["status"]["problems"].as_array();
        for problem in problems.into_iter().flatten().filter_map(Value::as_str) {
            events.push(DeploymentEvent {
                time: 0,
                type_name: "Problem",
                object: format!("gateway/{}", cell::id(&gateway, "/metadata/name")),
                message: problem.to_owned(),
            });
        }
    }
    // Proxies are of the whole deployment, which not every token may read.
    for proxy in admin.list(&PROXY).await.unwrap_or_default() {
        let state = ProxyState::of(&proxy);
        if state != ProxyState::InSync {
            events.push(DeploymentEvent {
                time: time(&proxy, "/lastSeenTime"),
                type_name: "Problem",
                object: format!("proxy/{}", cell::id(&proxy, "/name")),
                message: format!("it is {state}"),
            });
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests;
