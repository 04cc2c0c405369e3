//! `proxies`, `proxies join-token` and `versions`: show the progress of configuration on the proxies.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate_control_core::limits::REGION;

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::PROXY,
        proxy_state::{NEW_EPOCH_STEP, ProxyState},
        token_scope::TEMPORARY_TOKEN_PREFIX,
    },
    commands::{objects, token::parse_duration},
    output::{OutputFormat, OutputWriter, cell, error::CliError},
};

/// Shows the fleet.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n\
    \x20 toolgate proxies\n\
    \x20 toolgate proxies -o json")]
pub struct ProxiesArgs {
    /// Command to run instead of showing the fleet.
    #[command(subcommand)]
    pub command: Option<ProxiesCommand>,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Other commands on the fleet.
#[derive(Debug, clap::Subcommand)]
pub enum ProxiesCommand {
    /// Make a single-use token with which one proxy may join; print it with the authority's certificate as JSON.
    JoinToken(JoinTokenArgs),
}

/// Creates a join token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate proxies join-token --region eu")]
pub struct JoinTokenArgs {
    /// Region that the proxy's certificate will name.
    #[arg(long, default_value = "", value_parser = parse_region)]
    pub region: String,
    /// Time until it expires unused.
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = parse_duration)]
    pub ttl: Duration,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Shows versions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate versions --limit 5\n\
    \x20 toolgate versions --all")]
pub struct VersionsArgs {
    /// Number of versions, newest first.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// Also show changes that were not made by users: results of probes, and temporary tokens of commands.
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Parses the name of a region by the rules of the control plane, which refuses a proxy of another one. Empty stands for
/// none.
pub fn parse_region(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match text.chars().count() <= REGION && text.chars().all(is_allowed) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a region has at most {REGION} characters, of a-z, A-Z, 0-9 and -_., such as `eu-west`"
        )),
    }
}

/// Number of entries per page of a list request.
const PAGE_SIZE: u32 = 200;
/// Author of the entries that probes write.
pub const PROBER_AUTHOR: &str = "system/prober";

/// Returns `true` if a user made this version, rather than a probe or a command that creates a temporary token.
pub fn is_user_change(entry: &Value) -> bool {
    let changes = entry["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let borrowed = |change: &Value| {
        let words: Vec<_> = change.as_str().unwrap_or_default().split(' ').collect();
        let id = |name: &str| {
            name.rsplit('/')
                .next()
                .is_some_and(|id| id.starts_with(TEMPORARY_TOKEN_PREFIX))
        };
        matches!(words.as_slice(), ["create" | "delete", "token", name] if id(name))
    };
    let only_borrowed = !changes.is_empty() && changes.iter().all(borrowed);
    entry["author"] != PROBER_AUTHOR && !only_borrowed
}

impl ProxiesArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        if let Some(ProxiesCommand::JoinToken(command)) = self.command {
            return command.run(out).await;
        }
        let mut admin = self.admin.connect()?;
        let proxies = admin.list(&PROXY).await?;
        let refused = refusals(&proxies);
        let ahead = describe_ahead(&proxies);
        if proxies.is_empty() {
            out.notice("no proxy has connected yet");
            out.notice("  next: `toolgate proxies join-token > join.json`, then `toolgate proxy --join join.json --control-plane URL`");
        }
        objects::show(out, &PROXY, proxies, false)?;
        if matches!(out.format(), OutputFormat::Table | OutputFormat::Wide) && !refused.is_empty() {
            out.line("")?;
            out.table(&["PROXY", "REFUSED", "BECAUSE"], refused)?;
        }
        if let Some(ahead) = ahead {
            out.notice(ahead);
            out.notice(format_args!("  next: {NEW_EPOCH_STEP}"));
        }
        Ok(())
    }
}

/// Describes the proxies that are ahead of the store, if any are.
fn describe_ahead(proxies: &[Value]) -> Option<String> {
    let is_ahead = |proxy: &&Value| ProxyState::of(proxy) == ProxyState::Ahead;
    let ahead = proxies.iter().filter(is_ahead);
    let names: Vec<_> = ahead.map(|proxy| cell::id(proxy, "/name")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "ahead: {}: a later version was acknowledged than the store has, which was restored from an older copy, or is \
             another one; the latest changes do not reach such a proxy",
            names.join(", ")
        )
    })
}

fn refusals(proxies: &[Value]) -> Vec<Vec<String>> {
    let of_proxy = |proxy: &Value| {
        let name = cell::id(proxy, "/name");
        let refusals = proxy["refusals"].as_array().cloned().unwrap_or_default();
        let row = move |refusal: Value| {
            vec![
                name.clone(),
                cell::text(&refusal, "/resource"),
                cell::text(&refusal, "/reason"),
            ]
        };
        refusals.into_iter().map(row).collect::<Vec<_>>()
    };
    proxies.iter().flat_map(of_proxy).collect()
}

impl JoinTokenArgs {
    /// Runs the command. The output is a file for `toolgate proxy --join`, regardless of `-o`.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let mut admin = self.admin.connect()?;
        let request =
            json!({ "region": self.region, "validSeconds": self.ttl.as_secs().to_string() });
        let token = admin.call("Proxies", "CreateJoinToken", request).await?;
        let mut bundle = token.clone();
        bundle["region"] = json!(self.region);
        out.json(&bundle)?;
        out.notice(format_args!(
            "valid until {}, for one proxy",
            cell::text(&token, "/expireTime")
        ));
        Ok(())
    }
}

impl VersionsArgs {
    /// Fetches the newest versions up to the limit, page by page.
    async fn fetch(&self, admin: &mut AdminClient) -> Result<Vec<Value>, CliError> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let (mut list, mut page) = (Vec::new(), String::new());
        loop {
            let request = json!({ "pageSize": PAGE_SIZE, "pageToken": page });
            let mut answer = admin.call("Versions", "ListVersions", request).await?;
            let versions = answer["versions"].take();
            let versions = versions.as_array().cloned().unwrap_or_default();
            list.extend(
                versions
                    .into_iter()
                    .filter(|entry| self.all || is_user_change(entry)),
            );
            page = answer["nextPageToken"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if list.len() >= limit || page.is_empty() {
                list.truncate(limit);
                return Ok(list);
            }
        }
    }

    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let mut admin = self.admin.connect()?;
        let list = self.fetch(&mut admin).await?;
        match out.format() {
            OutputFormat::Json => out.json(&json!(list)),
            OutputFormat::Yaml => out.yaml(&json!(list)),
            OutputFormat::Name => list
                .iter()
                .try_for_each(|v| out.line(cell::version(v, "/version"))),
            OutputFormat::Table | OutputFormat::Wide => {
                let now = crate::cli::now();
                let row = |entry: &Value| {
                    let changes = entry["changes"].as_array().cloned().unwrap_or_default();
                    let changes: Vec<_> = changes.iter().filter_map(Value::as_str).collect();
                    vec![
                        cell::version(entry, "/version"),
                        cell::age(entry, "/time", now),
                        cell::text(entry, "/ackedBy").replace('-', "0"),
                        cell::text(entry, "/author"),
                        changes.join("; "),
                    ]
                };
                let rows = list.iter().map(row).collect();
                out.table(&["VERSION", "AGE", "ACKED BY", "AUTHOR", "CHANGES"], rows)
            }
        }
    }
}

#[cfg(test)]
mod tests;
