//! `whoami`: shows the control plane, the organization and the token that commands use.

use serde_json::{Value, json};

use crate::cli::{
    client::{admin::AdminCommandOptions, kind::TOKEN, known_token, token_scope},
    output::{
        OutputFormat, OutputWriter, cell,
        error::{ApiErrorReason, CliError, CliErrorKind},
    },
};

/// Shows the identity that commands have.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate whoami\n\
    \x20 toolgate whoami -o json")]
pub struct WhoamiArgs {
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl WhoamiArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let secret = self.admin.token()?;
        let mut admin = self.admin.connect()?;
        // Succeeds only with a valid token.
        admin
            .server_time()
            .await
            .or_else(|fault| match fault.kind {
                // A token without the right to read organizations is valid, too.
                CliErrorKind::Denied if fault.reason == ApiErrorReason::MissingRight => Ok(None),
                CliErrorKind::Denied
                | CliErrorKind::Error
                | CliErrorKind::CallFailed
                | CliErrorKind::Usage
                | CliErrorKind::NotFound
                | CliErrorKind::HungUp
                | CliErrorKind::Interrupted
                | CliErrorKind::Terminated
                | CliErrorKind::Conflict
                | CliErrorKind::Unavailable => Err(fault),
            })?;
        let tokens = known_token::find(&mut admin, secret.as_deref().unwrap_or_default()).await;
        let token = match tokens.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let expires = token.map_or("-".to_owned(), token_scope::expiry_cell);
        let role = match token {
            Some(token) if token["status"]["system"] == true => "system".to_owned(),
            Some(token) => cell::enum_word(token, "/spec/adminRole", "none"),
            None => "unknown: the token may not read tokens".to_owned(),
        };
        let name = token.map_or_else(|| "-".to_owned(), |it| TOKEN.name_of(it).to_owned());
        let identity = json!({
            "address": admin.addr(), "organization": admin.organization(), "token": name,
            "role": role, "expireTime": token.and_then(|it| it.pointer("/spec/expireTime")),
            "program": env!("CARGO_PKG_VERSION"),
        });
        match out.format() {
            OutputFormat::Json => out.json(&identity),
            OutputFormat::Yaml => out.yaml(&identity),
            OutputFormat::Name => out.line(&name),
            OutputFormat::Table | OutputFormat::Wide => {
                let rows = [
                    ("control plane", text_of(&identity["address"])),
                    ("organization", text_of(&identity["organization"])),
                    ("token", name.clone()),
                    ("role", role.clone()),
                    ("expires", expires.clone()),
                    ("program", text_of(&identity["program"])),
                ];
                rows.iter()
                    .try_for_each(|(field, value)| out.line(format_args!("{field:<14}{value}")))
            }
        }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
