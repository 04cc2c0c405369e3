//! `idp create`, `idp admit` and `idp exclude`: trust an OpenID Connect provider, and let gateways accept its tokens.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{GATEWAY, IDENTITY_PROVIDER},
        object_name, object_problem,
    },
    commands::objects::to_document,
    output::{OutputFormat, OutputWriter, cell, error::CliError},
};

/// Fields of identity providers and gateways that flags set.
const FLAGS: [(&str, &str); 8] = [
    ("identity_provider_id", "NAME"),
    ("spec.issuer", "--issuer"),
    ("spec.audiences", "--audience"),
    ("spec.algorithms", "--algorithm"),
    ("spec.jwks_url", "--jwks-url"),
    ("spec.subject_claim", "--subject-claim"),
    ("spec.groups_claim", "--groups-claim"),
    ("spec.identity_providers", "NAME"),
];

/// Pause between two looks for the keys of a new provider.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Number of looks: the control plane fetches the keys of a new provider within seconds, or tells a problem.
const LOOKS: usize = 60;

/// Work with identity providers.
#[derive(Debug, clap::Subcommand)]
pub enum IdentityProviderCommand {
    /// Trust the tokens of an OpenID Connect provider.
    Create(CreateIdentityProviderArgs),
    /// Let a gateway accept tokens of a provider.
    Admit(AdmitArgs),
    /// Let a gateway no longer accept tokens of a provider.
    Exclude(ExcludeArgs),
}

/// Creates an identity provider.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate idp create corp --issuer https://login.example.com/realms/example --audience toolgate")]
pub struct CreateIdentityProviderArgs {
    /// Id of the provider.
    pub name: String,
    /// Issuer as tokens have it in `iss`: an absolute URL.
    #[arg(long, value_name = "URL")]
    pub issuer: String,
    /// Value that tokens for Toolgate have in `aud`; repeat for several.
    #[arg(long = "audience", required = true, value_name = "AUDIENCE")]
    pub audiences: Vec<String>,
    /// Algorithm that tokens may be signed with; repeat for several. Left out: RS256.
    #[arg(long = "algorithm", value_name = "ALGORITHM")]
    pub algorithms: Vec<String>,
    /// URL of the JSON Web Key Set. Left out: the `jwks_uri` of the OpenID configuration of the issuer.
    #[arg(long, value_name = "URL", default_value = "")]
    pub jwks_url: String,
    /// Claim with the identity of the caller. Left out: `sub`.
    #[arg(long, value_name = "CLAIM", default_value = "")]
    pub subject_claim: String,
    /// Claim with the groups of the caller. Left out: `groups`.
    #[arg(long, value_name = "CLAIM", default_value = "")]
    pub groups_claim: String,
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

/// Admits callers of an identity provider to a gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate idp admit corp --gateway office\n\
    \x20 toolgate idp admit corp --gateway office --group mcp-users --group admins")]
pub struct AdmitArgs {
    /// Provider and gateway.
    #[command(flatten)]
    pub change: AdmissionChange,
    /// Group that a caller has to be in; repeat for several, of which one is enough. Left out: every caller.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
}

/// Excludes callers of an identity provider from a gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate idp exclude corp --gateway office")]
pub struct ExcludeArgs {
    /// Provider and gateway.
    #[command(flatten)]
    pub change: AdmissionChange,
}

/// Provider whose callers are admitted to a gateway, or excluded from it.
#[derive(Debug, clap::Args)]
pub struct AdmissionChange {
    /// Id of the provider.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::identity_providers))]
    pub name: String,
    /// Id of the gateway.
    #[arg(long, value_name = "GATEWAY", add = crate::cli::commands::completion::by(crate::cli::commands::completion::gateways))]
    pub gateway: String,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl CreateIdentityProviderArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let mut admin = self.admin.connect()?;
        let provider = json!({ "spec": {
            "issuer": self.issuer,
            "audiences": self.audiences,
            "algorithms": self.algorithms,
            "jwksUrl": self.jwks_url,
            "subjectClaim": self.subject_claim,
            "groupsClaim": self.groups_claim,
            "description": self.description,
        } });
        let created = admin
            .create(&IDENTITY_PROVIDER, &self.name, provider, self.dry_run)
            .await
            .map_err(|fault| fault.with_flags(&FLAGS))?;
        match out.format() {
            OutputFormat::Json => out.json(&created),
            OutputFormat::Yaml => out.yaml(&to_document(&IDENTITY_PROVIDER, &created)),
            OutputFormat::Name => out.line(IDENTITY_PROVIDER.name_of(&created)),
            OutputFormat::Table | OutputFormat::Wide if self.dry_run => out.line(format_args!(
                "identity provider {} created (dry run)",
                self.name
            )),
            OutputFormat::Table | OutputFormat::Wide => self.report(&mut admin, out).await,
        }
    }

    /// Tells the outcome of the first fetch of the keys.
    async fn report(
        &self,
        admin: &mut AdminClient,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let name = &self.name;
        out.line(format_args!("identity provider {name} created"))?;
        match fetched_keys(admin, name).await? {
            Some(Ok(count)) => {
                let keys = cell::counted(count, "key", "keys");
                out.notice(format_args!(
                    "  {keys} fetched; next: `toolgate idp admit {name} --gateway GATEWAY`"
                ));
            }
            Some(Err(problem)) => out.notice(format_args!(
                "  problem: {problem}; next: correct it with `toolgate edit idp {name}`; it is tried again every 30 seconds"
            )),
            None => out.notice(format_args!(
                "  its keys have not been fetched yet; next: `toolgate get idp {name}`"
            )),
        }
        Ok(())
    }
}

/// Waits for the first fetch of the keys of a provider. Returns their number, or the problem; `None` if there was no outcome in
/// time.
async fn fetched_keys(
    admin: &mut AdminClient,
    id: &str,
) -> Result<Option<Result<usize, String>>, CliError> {
    let name = IDENTITY_PROVIDER.resource_name(admin.organization(), id);
    for _look in 0..LOOKS {
        let provider = admin.get(&IDENTITY_PROVIDER, &name).await?;
        if let Some(outcome) = outcome(&provider) {
            return Ok(Some(outcome));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(None)
}

/// Returns the outcome of the last fetch of keys, if there was one.
fn outcome(provider: &Value) -> Option<Result<usize, String>> {
    let status = &provider["status"];
    if let Some(problem) = status["problem"].as_str().filter(|it| !it.is_empty()) {
        return Some(Err(problem.to_owned()));
    }
    let keys = status["keys"].as_array()?;
    (!keys.is_empty()).then_some(Ok(keys.len()))
}

impl AdmitArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let Self { change, groups } = self;
        let admit = |name: &str, admitted: &mut Vec<Value>| admit(admitted, name, &groups);
        change.run(out, true, admit).await
    }
}

impl ExcludeArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let exclude = |name: &str, admitted: &mut Vec<Value>| {
            admitted.retain(|it| it["provider"] != name);
        };
        self.change.run(out, false, exclude).await
    }
}

/// Adds a provider to the list of a gateway, with these groups in place of the former ones. Required claims stay.
fn admit(admitted: &mut Vec<Value>, name: &str, groups: &[String]) {
    match admitted.iter_mut().find(|it| it["provider"] == name) {
        Some(known) => known["groups"] = json!(groups),
        None => admitted.push(json!({ "provider": name, "groups": groups })),
    }
}

impl AdmissionChange {
    /// Changes the providers of the gateway. A provider that is lost can be excluded.
    async fn run(
        mut self,
        out: &mut OutputWriter,
        must_exist: bool,
        change: impl Fn(&str, &mut Vec<Value>),
    ) -> Result<(), CliError> {
        let names = [
            (&IDENTITY_PROVIDER, &mut self.name),
            (&GATEWAY, &mut self.gateway),
        ];
        object_name::localize(&mut self.admin.connection, names)?;
        let mut admin = self.admin.connect()?;
        if must_exist {
            let provider = IDENTITY_PROVIDER.resource_name(admin.organization(), &self.name);
            admin.get(&IDENTITY_PROVIDER, &provider).await?;
        }
        let gateway = GATEWAY.resource_name(admin.organization(), &self.gateway);
        let modified = admin.modify(&GATEWAY, &gateway, self.dry_run, |gateway| {
            let before = gateway["spec"]["identityProviders"].as_array();
            let before = before.cloned().unwrap_or_default();
            let mut after = before.clone();
            change(&self.name, &mut after);
            let is_changed = before != after;
            gateway["spec"]["identityProviders"] = json!(after);
            Ok(is_changed)
        });
        let (written, is_changed) = modified.await.map_err(|fault| fault.with_flags(&FLAGS))?;
        match out.format() {
            OutputFormat::Json => out.json(&written),
            OutputFormat::Yaml => out.yaml(&to_document(&GATEWAY, &written)),
            OutputFormat::Name => out.line(&gateway),
            OutputFormat::Table | OutputFormat::Wide => {
                let suffix = if self.dry_run { " (dry run)" } else { "" };
                let done = if is_changed { "updated" } else { "unchanged" };
                out.line(format_args!("gateway {} {done}{suffix}", self.gateway))?;
                for problem in object_problem::problems(&written) {
                    out.notice(format_args!("  problem: {}", problem.text));
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
