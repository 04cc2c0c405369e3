//! `logs`: the requests through a gateway, as they happen.

mod call_columns;
mod selection;
mod shown_calls;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use toolgate_model::call_record::PAST_RECORDS;

use self::{call_columns::CallColumns, shown_calls::ShownCalls};
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions, calls::CallTailStream},
        kind::GATEWAY,
        object_name, suggestions,
    },
    commands::token::parse_duration,
    output::{
        OutputFormat, OutputWriter, cell,
        error::{CliError, CliErrorKind},
    },
};

/// Number of past requests that are shown without a flag.
const DEFAULT_TAIL: usize = 10;

/// Pause before the connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Time before a connection broke from which on requests are asked for again.
const OVERLAP: Duration = Duration::from_secs(30);

/// Shows requests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate logs tools\n\
    \x20 toolgate logs tools --failed --since 5m\n\
    \x20 toolgate logs tools --tool git__search --user ada -o json\n\
    \x20 toolgate logs tools --follow=false --tail 100 -o wide")]
pub struct LogsArgs {
    /// Gateway whose requests are shown.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::gateways))]
    pub gateway: String,
    /// Show further requests until the command is interrupted.
    #[arg(
        short,
        long,
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub follow: bool,
    /// Only calls of this server.
    #[arg(long, add = crate::cli::commands::completion::by(crate::cli::commands::completion::servers))]
    pub server: Option<String>,
    /// Only calls of this tool, by its name in the gateway.
    #[arg(long, add = crate::cli::commands::completion::by(crate::cli::commands::completion::tools))]
    pub tool: Option<String>,
    /// Only requests of this user.
    #[arg(long, group = "caller")]
    pub user: Option<String>,
    /// Only requests of this team.
    #[arg(long, group = "caller")]
    pub team: Option<String>,
    /// Only requests with this token, by its id.
    #[arg(
        long,
        group = "caller",
        value_name = "ID",
        add = crate::cli::commands::completion::by(crate::cli::commands::completion::tokens)
    )]
    pub caller_token: Option<String>,
    /// Only requests that failed, were refused or were cancelled.
    #[arg(long)]
    pub failed: bool,
    /// Begin with the requests of this time, such as 5m.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// Number of past requests to show; 10 without, or 1000 with `--since` or `--follow=false`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=PAST_RECORDS as i64))]
    pub tail: Option<u16>,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// State of the command over all of its connections.
struct LogsScreen {
    shown: ShownCalls,
    columns: CallColumns,
    /// Time of the last message.
    last_message: Instant,
    /// True once the past requests were shown.
    synced: bool,
    /// True once the headings of the table were shown, ahead of the first line.
    has_heading: bool,
    /// Proxies whose requests are not shown, as told last.
    missing: Vec<String>,
    /// Text for a selection without past requests.
    empty: String,
}

impl LogsArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        let gateway = (&GATEWAY, &mut self.gateway);
        object_name::localize(&mut self.admin.connection, [gateway])?;
        let admin = self.admin.connect()?;
        let mut screen = LogsScreen {
            shown: ShownCalls::default(),
            columns: CallColumns::new(out.format() == OutputFormat::Wide, out.width()),
            last_message: Instant::now(),
            synced: false,
            has_heading: false,
            missing: Vec::new(),
            empty: self.empty_notice(),
        };
        loop {
            let followed = self.follow_stream(&admin, &mut screen, out).await;
            let reason = match followed {
                Ok(()) if out.is_closed() || (!self.follow && screen.synced) => return Ok(()),
                Ok(()) => "the control plane ended it".to_owned(),
                Err(fault) if fault.kind == CliErrorKind::Unavailable && screen.synced => {
                    fault.message
                }
                Err(fault) if fault.kind == CliErrorKind::NotFound => {
                    return Err(self.explain_missing_gateway(admin, fault).await);
                }
                Err(fault) => return Err(fault),
            };
            out.notice(format_args!(
                "the stream broke off: {reason}; it is opened again"
            ));
            sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Names a similar gateway, if there is one.
    async fn explain_missing_gateway(&self, mut admin: AdminClient, fault: CliError) -> CliError {
        let known = suggestions::require_gateway(&mut admin, &self.gateway).await;
        known.err().unwrap_or(fault)
    }

    /// Returns the request for the first stream, or for one after another broke off.
    fn request(&self, organization: &str, screen: &LogsScreen) -> Value {
        let principal = match (&self.user, &self.team) {
            (Some(user), _) => format!("user:{user}"),
            (None, Some(team)) => format!("team:{team}"),
            (None, None) => String::new(),
        };
        let (since, tail) = match screen.synced {
            true => {
                let missed = screen.last_message.elapsed() + OVERLAP;
                (Some(missed), PAST_RECORDS)
            }
            false => (self.since, self.past_calls()),
        };
        let since = since.map_or(0, |since| since.as_secs().max(1));
        json!({
            "gateway": GATEWAY.resource_name(organization, &self.gateway),
            "server": self.server.as_deref().unwrap_or_default(),
            "tool": self.tool.as_deref().unwrap_or_default(),
            "principal": principal,
            "token": self.caller_token.as_deref().unwrap_or_default(),
            "failed": self.failed,
            "sinceSeconds": since.to_string(),
            "tail": tail,
            "pastOnly": !self.follow,
        })
    }

    fn past_calls(&self) -> usize {
        match (self.tail, self.since.is_some() || !self.follow) {
            (Some(tail), _) => usize::from(tail),
            (None, true) => PAST_RECORDS,
            (None, false) => DEFAULT_TAIL,
        }
    }

    /// Shows the messages of one stream until it ends.
    async fn follow_stream(
        &self,
        admin: &AdminClient,
        screen: &mut LogsScreen,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let request = self.request(admin.organization(), screen);
        let mut stream: CallTailStream = admin.tail_calls(&request).await?;
        let mut told = screen.synced;
        while let Some(message) = stream.next().await? {
            if std::mem::take(&mut told) {
                out.notice("the stream is open again");
            }
            screen.last_message = Instant::now();
            screen.show(&message, out)?;
            if out.is_closed() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl LogsScreen {
    fn show(&mut self, message: &Value, out: &mut OutputWriter) -> Result<(), CliError> {
        for call in message["calls"].as_array().into_iter().flatten() {
            if self.shown.insert(call) {
                self.show_call(call, out)?;
            }
        }
        let lost = message["lost"].as_str().and_then(|it| it.parse().ok());
        if let Some(lost) = lost.filter(|lost: &usize| *lost > 0) {
            out.notice(format_args!(
                "{} dropped: this command or a connection was too slow",
                cell::counted(lost, "record", "records")
            ));
        }
        if message["synced"] == true
            && !std::mem::replace(&mut self.synced, true)
            && self.shown.is_empty()
        {
            out.notice(&self.empty);
        }
        if let Some(sources) = message.get("sources").filter(|it| it.is_object()) {
            self.show_sources(sources, out);
        }
        Ok(())
    }

    fn show_call(&mut self, call: &Value, out: &mut OutputWriter) -> Result<(), CliError> {
        match out.format() {
            OutputFormat::Json => out.json_line(call),
            OutputFormat::Yaml => {
                out.line("---")?;
                out.yaml(call)
            }
            OutputFormat::Name => {
                let (proxy, number) = (cell::text(call, "/proxy"), cell::text(call, "/sequence"));
                out.line(format_args!("proxies/{proxy}/calls/{number}"))
            }
            OutputFormat::Table | OutputFormat::Wide => {
                if !std::mem::replace(&mut self.has_heading, true) {
                    let left_out = self.columns.left_out();
                    if !left_out.is_empty() {
                        out.notice(format_args!(
                            "no room at this terminal for the columns {}; a wider one or `-o json` shows them",
                            left_out.join(", ")
                        ));
                    }
                    out.heading(self.columns.heading())?;
                }
                out.line(self.columns.row(call))
            }
        }
    }

    /// Tells which proxies are not shown, if that has changed.
    fn show_sources(&mut self, sources: &Value, out: &mut OutputWriter) {
        let names = |key: &str| -> Vec<String> {
            let names = sources[key].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (proxies, missing) = (names("proxies"), names("missing"));
        if proxies.is_empty() && missing.is_empty() {
            out.notice("no proxy is connected; `toolgate proxies` shows them");
        }
        if missing != self.missing && missing.is_empty() {
            out.notice("the calls of all connected proxies are shown again");
        } else if missing != self.missing {
            out.notice(format_args!(
                "the calls of these proxies are not shown: {}; they have no stream to this control plane: name every control \
                 plane in --control-plane of each proxy, and update proxies of earlier versions",
                missing.join(", ")
            ));
        }
        self.missing = missing;
    }
}

#[cfg(test)]
mod tests;
