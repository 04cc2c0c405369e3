//! `token create`, `token update` and `token revoke`. The secret is printed once, alone on standard output.

mod expiry;
mod update;

use std::{str::FromStr as _, time::Duration};

use clap::ValueEnum;
use serde_json::{Value, json};

pub use self::{expiry::TokenExpiry, update::UpdateTokenArgs};
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{GATEWAY, TOKEN},
        object_name, suggestions, token_scope,
    },
    commands::delete::command_access::require_revocable,
    output::{OutputFormat, OutputWriter, error::CliError},
};

/// Work with tokens.
#[derive(Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Create a bearer token, and show it once.
    Create(CreateTokenArgs),
    /// Change what a token opens, and until when; its secret stays.
    Update(UpdateTokenArgs),
    /// Revoke a token on every proxy within seconds; its record stays.
    Revoke(RevokeTokenArgs),
}

/// Creates a token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate token create laptop --gateway tools --ttl 30d\n\
    \x20 toolgate token create ci --gateway tools --tool git__search --team build\n\
    \x20 toolgate token create fair --gateway tools --expires 2030-12-31T18:00:00+01:00\n\
    \x20 toolgate token create deployer --no-gateways --role editor --ttl 90d")]
pub struct CreateTokenArgs {
    /// Id of the token.
    pub name: String,
    /// Gateway it may call; repeat for several. Without: all of the organization, also those made later.
    #[arg(long = "gateway", value_name = "GATEWAY", add = crate::cli::commands::completion::by(crate::cli::commands::completion::gateways))]
    pub gateways: Vec<String>,
    /// Open no gateway: a token for the admin API only, with --role.
    #[arg(long, conflicts_with_all = ["gateways", "tools"])]
    pub no_gateways: bool,
    /// Tool, by the name clients see, that it may use; repeat for several, or separate them by commas. Without: all.
    #[arg(long = "tool", value_name = "TOOL", value_delimiter = ',', value_parser = trimmed, add = crate::cli::commands::completion::by(crate::cli::commands::completion::tools))]
    pub tools: Vec<String>,
    /// Time until it expires, e.g. `--ttl 30d` or `--ttl 1h30m`, or the date and time (RFC 3339), e.g. `--expires
    /// 2030-12-31T23:59:00Z`. Without: it works until it is revoked.
    #[arg(long, visible_alias = "expires", value_name = "DURATION|TIME", value_parser = TokenExpiry::from_str)]
    pub ttl: Option<TokenExpiry>,
    /// User it stands for. Without user and team, it stands for itself.
    #[arg(long, conflicts_with = "team")]
    pub user: Option<String>,
    /// Team it stands for.
    #[arg(long)]
    pub team: Option<String>,
    /// Role at the admin API.
    #[arg(long, value_enum, default_value_t)]
    pub role: AdminRoleArg,
    /// For people.
    #[arg(long, default_value = "")]
    pub description: String,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Revokes a token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate token revoke laptop\n\
    \x20 toolgate token revoke laptop --dry-run")]
pub struct RevokeTokenArgs {
    /// Id of the token.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::tokens))]
    pub name: String,
    /// Check everything, revoke nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Admin roles at the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum AdminRoleArg {
    /// Nothing: for clients of gateways.
    #[default]
    None,
    /// Read.
    Viewer,
    /// And write gateways and servers.
    Editor,
    /// And write credentials, tokens and the organization.
    Admin,
}

impl AdminRoleArg {
    fn as_proto(self) -> &'static str {
        match self {
            Self::None => "ADMIN_ROLE_UNSPECIFIED",
            Self::Viewer => "ADMIN_ROLE_VIEWER",
            Self::Editor => "ADMIN_ROLE_EDITOR",
            Self::Admin => "ADMIN_ROLE_ADMIN",
        }
    }
}

/// Token to create, apart from its id.
#[derive(Debug, Default)]
pub struct TokenRequest {
    /// Gateways that it may call; empty means all.
    pub gateways: Vec<String>,
    /// True for a token that opens no gateway.
    pub no_gateways: bool,
    /// Tools that it may use; empty means all.
    pub tools: Vec<String>,
    /// End; `None` means until it is revoked.
    pub expiry: Option<TokenExpiry>,
    /// Description for users.
    pub description: String,
}

/// Creates a token and returns the response of the API: `token` and `secret`. A dry run only checks it.
pub async fn create_token(
    admin: &mut AdminClient,
    id: &str,
    token_request: &TokenRequest,
    dry_run: bool,
) -> Result<Value, CliError> {
    let spec = spec_of(token_request, crate::cli::now())?;
    admin
        .create(&TOKEN, id, json!({ "spec": spec }), dry_run)
        .await
}

/// Fields of tokens that flags set.
const FLAGS: [(&str, &str); 7] = [
    ("token_id", "NAME"),
    ("spec.gateways", "--gateway"),
    ("spec.tools", "--tool"),
    ("spec.expireTime", "--ttl"),
    ("spec.user", "--user"),
    ("spec.team", "--team"),
    ("spec.description", "--description"),
];

fn spec_of(token_request: &TokenRequest, now: u64) -> Result<Value, CliError> {
    let mut spec = json!({
        "description": token_request.description,
        "gateways": token_request.gateways,
        "noGateways": token_request.no_gateways,
        "tools": token_request.tools,
        "organization": true,
    });
    if let Some(expiry) = token_request.expiry {
        spec["expireTime"] = json!(expiry.time(now)?);
    }
    Ok(spec)
}

impl CreateTokenArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        if self.no_gateways && self.role == AdminRoleArg::None {
            return Err(CliError::usage(
                "--no-gateways without --role makes a token that opens nothing",
            )
            .with_next_step("give it a --role at the admin API: viewer, editor or admin"));
        }
        let gateways = self.gateways.iter_mut().map(|name| (&GATEWAY, name));
        object_name::localize(&mut self.admin.connection, gateways)?;
        let mut admin = self.admin.connect()?;
        let warnings = check_names(&mut admin, &self.gateways, &self.tools).await?;
        let token_request = TokenRequest {
            gateways: self.gateways,
            no_gateways: self.no_gateways,
            tools: self.tools,
            expiry: self.ttl,
            description: self.description,
        };
        let mut spec = spec_of(&token_request, crate::cli::now())?;
        let scope = match (self.user, self.team) {
            (Some(user), _) => Some(("user", user)),
            (None, team) => team.map(|team| ("team", team)),
        };
        if let (Some((scope, id)), Some(members)) = (scope, spec.as_object_mut()) {
            members.remove("organization");
            members.insert(scope.to_owned(), json!(id));
        }
        spec["adminRole"] = json!(self.role.as_proto());
        let answer = admin
            .create(&TOKEN, &self.name, json!({ "spec": spec }), self.dry_run)
            .await
            .map_err(|fault| fault.with_flags(&FLAGS))?;
        report(out, &answer, self.dry_run)?;
        for warning in warnings {
            out.notice(warning);
        }
        Ok(())
    }
}

/// Checks the names of gateways and tools. A missing gateway is an error; a missing tool may appear later and is
/// only a warning.
async fn check_names(
    admin: &mut AdminClient,
    gateways: &[String],
    tools: &[String],
) -> Result<Vec<String>, CliError> {
    let mut reached = Vec::new();
    for id in gateways {
        reached.extend(suggestions::require_gateway(admin, id).await?);
    }
    if tools.is_empty() {
        return Ok(Vec::new());
    }
    if gateways.is_empty() {
        reached = admin.list(&GATEWAY).await.unwrap_or_default();
    }
    Ok(unoffered_tools(&reached, tools))
}

fn unoffered_tools(gateways: &[Value], tools: &[String]) -> Vec<String> {
    // Without readable gateways the tools are unknown.
    if gateways.is_empty() {
        return Vec::new();
    }
    let offered = suggestions::tool_names(gateways);
    let missing = tools
        .iter()
        .filter(|tool| !offered.contains(&tool.as_str()));
    missing
        .map(|tool| {
            let near = suggestions::suggestion(tool, offered.iter().copied());
            format!("warning: no gateway of this token offers a tool `{tool}` now{near}")
        })
        .collect()
}

fn report(out: &mut OutputWriter, answer: &Value, dry_run: bool) -> Result<(), CliError> {
    let token = &answer["token"];
    let secret = answer["secret"].as_str().unwrap_or_default();
    let mut result = json!({ "name": TOKEN.name_of(token), "token": secret });
    if let Some(expires) = token.pointer("/spec/expireTime") {
        result["expireTime"] = expires.clone();
    }
    match out.format() {
        OutputFormat::Json => out.json(&result),
        OutputFormat::Yaml => out.yaml(&result),
        OutputFormat::Name => {
            let name = TOKEN.name_of(token);
            if !dry_run {
                out.secret(name, secret);
            }
            out.line(name)
        }
        OutputFormat::Table | OutputFormat::Wide => {
            match dry_run {
                true => out.line("token would be created (dry run)")?,
                false => {
                    out.line(secret)?;
                    out.notice("This is the token. It is shown here and nowhere else: keep it.");
                }
            }
            tell_scope(out, token);
            Ok(())
        }
    }
}

/// Tells what a token opens and until when, with the flags that limit both.
fn tell_scope(out: &mut OutputWriter, token: &Value) {
    let opens = token_scope::opens(token);
    out.notice(match token_scope::gateways_cell(token).as_str() {
        "all" => format!("  it opens {opens}; `--gateway NAME` limits a token, `--no-gateways` makes one for the admin API only"),
        _ => format!("  it opens {opens}"),
    });
    let ends = token_scope::ends(token);
    out.notice(match token_scope::expiry(token) {
        Some(_) => format!("  it {ends}"),
        None => format!("  it {ends}; `--ttl 30d` sets an expiry"),
    });
}

/// Revokes the token with a full resource name.
pub async fn revoke(admin: &mut AdminClient, name: &str) -> Result<(), CliError> {
    let request = json!({ "name": name, "requestId": toolgate_runtime::random::id() });
    admin.call("Tokens", "RevokeToken", request).await.map(drop)
}

impl RevokeTokenArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        object_name::localize(&mut self.admin.connection, [(&TOKEN, &mut self.name)])?;
        let mut admin = self.admin.connect()?;
        let name = TOKEN.resource_name(admin.organization(), &self.name);
        require_revocable(&mut admin, &name).await?;
        if self.dry_run {
            // The same right allows to delete a token and to revoke it.
            admin.delete(&TOKEN, &name, true).await?;
            return out.line(format_args!("{name} would be revoked (dry run)"));
        }
        revoke(&mut admin, &name).await?;
        out.line(format_args!("{name} revoked"))
    }
}

/// Parses a name from a list with spaces after its commas. An empty name stays, and is refused: without names, all are meant.
fn trimmed(name: &str) -> Result<String, std::convert::Infallible> {
    Ok(name.trim().to_owned())
}

/// Parses a duration such as `30d`, `12h`, `1h30m`, `45s` or `2w`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("`{text}` is not a duration: write it like 30d, 12h, 1h30m or 45s");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(invalid)?;
        let (number, after) = rest.split_at(digits);
        let unit = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds: u64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(invalid()),
        };
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let part = number
            .checked_mul(seconds)
            .map(Duration::from_secs)
            .ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    if total.is_zero() {
        Err(invalid())
    } else {
        Ok(total)
    }
}

/// Parses a duration that may be zero: `0s`.
pub fn parse_pause(text: &str) -> Result<Duration, String> {
    match text.trim() {
        "0" | "0s" => Ok(Duration::ZERO),
        longer => parse_duration(longer),
    }
}

/// Parses the prefix of bearer tokens. A token that begins with `ey` and has dots can have the form of a JSON Web Token, which
/// a proxy looks up nowhere. A character that no `Authorization` header may have would make every token useless.
pub fn parse_token_prefix(text: &str) -> Result<String, String> {
    let is_sendable = text.chars().all(|c| c.is_ascii_graphic());
    let may_be_jwt = text.starts_with("ey") && text.contains('.');
    match is_sendable && !may_be_jwt {
        true => Ok(text.to_owned()),
        false => Err(
            "a prefix has visible ASCII characters, and no dot after `ey`, with which JSON Web Tokens begin; \
             use letters, digits and -, such as `acme`"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
