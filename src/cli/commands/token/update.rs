//! `token update`: changes what a token opens, and until when. Its secret stays.

use std::str::FromStr as _;

use serde_json::{Value, json};

use super::{FLAGS, TokenExpiry, tell_scope};
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{GATEWAY, TOKEN},
        object_name, suggestions, token_scope,
    },
    commands::objects::to_document,
    output::{
        OutputFormat, OutputWriter, cell,
        error::{CliError, CliErrorKind},
    },
};

/// Word for the role of a token for clients of gateways only.
const NO_ROLE: &str = "none";

/// Changes a token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate token update laptop --add-gateway docs\n\
    \x20 toolgate token update laptop --gateway tools --gateway docs --ttl 30d\n\
    \x20 toolgate token update laptop --no-expiry")]
pub struct UpdateTokenArgs {
    /// Id of the token.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::tokens))]
    pub name: String,
    /// Gateway it may call from now on, in place of the former ones; repeat for several. `--add-gateway` keeps the former ones.
    /// A gateway that was deleted and made again is opened by both.
    #[arg(long = "gateway", value_name = "GATEWAY", add = crate::cli::commands::completion::by(crate::cli::commands::completion::gateways))]
    pub gateways: Vec<String>,
    /// Further gateway it may call; the former ones stay. Repeat for several.
    #[arg(long = "add-gateway", value_name = "GATEWAY", conflicts_with = "gateways", add = crate::cli::commands::completion::by(crate::cli::commands::completion::gateways))]
    pub added_gateways: Vec<String>,
    /// Open all gateways of the organization, also those made later.
    #[arg(long, conflicts_with_all = ["gateways", "added_gateways", "no_gateways"])]
    pub all_gateways: bool,
    /// Open no gateway.
    #[arg(long, conflicts_with_all = ["gateways", "added_gateways"])]
    pub no_gateways: bool,
    /// Time from now until it expires, e.g. `--ttl 30d`, or the date and time (RFC 3339), e.g. `--expires
    /// 2030-12-31T23:59:00Z`.
    #[arg(long, visible_alias = "expires", value_name = "DURATION|TIME", value_parser = TokenExpiry::from_str)]
    pub ttl: Option<TokenExpiry>,
    /// Let it work until it is revoked.
    #[arg(long, conflicts_with = "ttl")]
    pub no_expiry: bool,
    /// For people.
    #[arg(long)]
    pub description: Option<String>,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl UpdateTokenArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        let gateways = self.gateways.iter_mut().chain(&mut self.added_gateways);
        let gateways = gateways.map(|name| (&GATEWAY, name));
        let names = std::iter::once((&TOKEN, &mut self.name)).chain(gateways);
        object_name::localize(&mut self.admin.connection, names)?;
        let mut admin = self.admin.connect()?;
        let name = TOKEN.resource_name(admin.organization(), &self.name);
        let token = admin.get(&TOKEN, &name).await?;
        self.check(&token)?;
        for gateway in self.given_gateways() {
            suggestions::require_gateway(&mut admin, gateway).await?;
        }
        let expires = self.ttl.map(|expiry| expiry.time(crate::cli::now()));
        let expires = expires.transpose()?;
        let released = self.release_lost(&mut admin, &name, &token).await?;
        let written = admin
            .modify(&TOKEN, &name, self.dry_run, |token| {
                // Another change may have given it all gateways meanwhile.
                self.check_limited(token)?;
                self.change(token, expires.as_deref());
                Ok(true)
            })
            .await;
        let (written, _) = written.map_err(|fault| {
            let fault = fault.with_flags(&FLAGS);
            match released && !self.dry_run {
                true => fault.with_note(format!(
                    "{name} has let go of the gateway that was deleted and does not open the new one yet: repeat the command"
                )),
                false => fault,
            }
        })?;
        match out.format() {
            OutputFormat::Json => out.json(&written),
            OutputFormat::Yaml => out.yaml(&to_document(&TOKEN, &written)),
            OutputFormat::Name => out.line(&name),
            OutputFormat::Table | OutputFormat::Wide => {
                let suffix = if self.dry_run { " (dry run)" } else { "" };
                out.line(format_args!("token {} updated{suffix}", self.name))?;
                // In a dry run the record still holds the problems of the gateways that are let go.
                if !self.dry_run {
                    tell_scope(out, &written);
                }
                Ok(())
            }
        }
    }

    /// Returns the gateways that are given to the token.
    fn given_gateways(&self) -> impl Iterator<Item = &String> {
        self.gateways.iter().chain(&self.added_gateways)
    }

    /// Checks that something is to be changed, of a token that works.
    fn check(&self, token: &Value) -> Result<(), CliError> {
        if token["status"]["revoked"] == true {
            return Err(CliError::new(
                CliErrorKind::Conflict,
                format!("the token {} was revoked", self.name),
            )
            .with_next_step("`toolgate token create NAME` makes another one"));
        }
        if self.no_gateways && cell::enum_word(token, "/spec/adminRole", NO_ROLE) == NO_ROLE {
            return Err(CliError::usage(format!(
                "--no-gateways leaves nothing that the token {} opens: it has no role at the admin API",
                self.name
            ))
            .with_next_step(format!(
                "`toolgate token revoke {0}` ends it; `toolgate edit token {0}` gives it an `adminRole`",
                self.name
            )));
        }
        self.check_limited(token)?;
        let changes_gateways =
            self.given_gateways().next().is_some() || self.all_gateways || self.no_gateways;
        let changes_expiry = self.ttl.is_some() || self.no_expiry;
        match changes_gateways || changes_expiry || self.description.is_some() {
            true => Ok(()),
            false => Err(CliError::usage(format!(
                "nothing to change in the token {}",
                self.name
            ))
            .with_next_step(format!(
                "`toolgate token update --help` lists the flags; `toolgate edit token {}` changes everything",
                self.name
            ))),
        }
    }

    /// Checks that a gateway is added to some, and not to all.
    fn check_limited(&self, token: &Value) -> Result<(), CliError> {
        if self.added_gateways.is_empty() || !token_scope::opens_all_gateways(token) {
            return Ok(());
        }
        Err(CliError::usage(format!(
            "the token {} opens every gateway of the organization already",
            self.name
        ))
        .with_next_step("`--gateway GATEWAY` limits it to the gateways that are given"))
    }

    /// Takes the gateways that do not admit the token any more, and that are given again, out of its list. A token keeps
    /// the identity of a gateway for as long as it lists its name. Returns `true` if there are any.
    async fn release_lost(
        &self,
        admin: &mut AdminClient,
        name: &str,
        token: &Value,
    ) -> Result<bool, CliError> {
        let is_given_again = |id: &&str| self.given_gateways().any(|given| given == id);
        let lost: Vec<_> = token_scope::lost_gateways(token)
            .into_iter()
            .filter(is_given_again)
            .collect();
        if lost.is_empty() {
            return Ok(false);
        }
        let written = admin.modify(&TOKEN, name, self.dry_run, |token| {
            let listed = token_scope::listed_gateways(token);
            let kept: Vec<_> = listed.into_iter().filter(|id| !lost.contains(id)).collect();
            let (is_none, kept) = (kept.is_empty(), json!(kept));
            // An empty list would open all gateways.
            set_gateways(&mut token["spec"], kept, is_none);
            Ok(true)
        });
        written.await?;
        Ok(true)
    }

    fn change(&self, token: &mut Value, expires: Option<&str>) {
        let listed = token_scope::listed_gateways(token).into_iter();
        let mut all: Vec<_> = listed.map(str::to_owned).collect();
        for gateway in &self.added_gateways {
            if !all.contains(gateway) {
                all.push(gateway.clone());
            }
        }
        let spec = &mut token["spec"];
        if !spec.is_object() {
            *spec = json!({});
        }
        if !self.added_gateways.is_empty() {
            set_gateways(spec, json!(all), false);
        } else if !self.gateways.is_empty() || self.all_gateways || self.no_gateways {
            set_gateways(spec, json!(self.gateways), self.no_gateways);
        }
        if let Some(at) = expires {
            spec["expireTime"] = json!(at);
        }
        if let (Some(members), true) = (spec.as_object_mut(), self.no_expiry) {
            members.remove("expireTime");
        }
        if let Some(description) = &self.description {
            spec["description"] = json!(description);
        }
    }
}

fn set_gateways(spec: &mut Value, gateways: Value, none: bool) {
    spec["gateways"] = gateways;
    spec["noGateways"] = json!(none);
}

#[cfg(test)]
mod tests;
