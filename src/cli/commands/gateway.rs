//! `gateway create`: creates an endpoint for clients with one command.

mod offer_selection;
mod tool_bindings;

use clap::ValueEnum;
use serde_json::{Value, json};

pub use self::offer_selection::offers_something;
use self::offer_selection::{OfferSelection, SelectableKind, UnknownName, unknown_names};
pub use self::tool_bindings::{AddToolArgs, RemoveToolArgs};
use crate::cli::{
    client::{
        admin::AdminCommandOptions,
        gateway_tokens,
        kind::{CATALOGUE, GATEWAY, SERVER},
        object_name, object_problem,
    },
    output::{OutputFormat, OutputWriter, cell, error::CliError},
};

/// Reason of the problem that a server does not offer a selected tool or prompt.
const NOT_OFFERED: &str = "NOT_OFFERED";

/// Fields of gateways that flags set.
const FLAGS: [(&str, &str); 8] = [
    ("gateway_id", "NAME"),
    ("spec.bindings.tools", "--tools"),
    ("spec.bindings.prompts", "--prompts"),
    ("spec.bindings.resources", "--resources"),
    ("spec.bindings", "--server"),
    ("spec.prefix", "--prefix"),
    ("spec.listing", "--listing"),
    ("spec.instructions", "--instructions"),
];

/// Work with gateways.
#[derive(Debug, clap::Subcommand)]
pub enum GatewayCommand {
    /// Create an MCP endpoint that offers what servers have.
    Create(CreateGatewayArgs),
    /// Let a gateway offer further tools of servers.
    AddTool(AddToolArgs),
    /// Take tools out of a gateway.
    RemoveTool(RemoveToolArgs),
}

/// Creates a gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate gateway create tools --server git\n\
    \x20 toolgate gateway create few --server git --server mail --tools git/search,mail/send\n\
    \x20 toolgate gateway create many --server git --server mail --listing progressive")]
pub struct CreateGatewayArgs {
    /// Id of the gateway; its endpoint is /v1/mcp/NAME on every proxy.
    pub name: String,
    /// Server that it offers something of; repeat for several.
    #[arg(long = "server", required = true, value_name = "SERVER", add = crate::cli::commands::completion::by(crate::cli::commands::completion::servers))]
    pub servers: Vec<String>,
    /// `all`, `none`, or tools by their servers' names, comma-separated; with several servers as `server/tool`.
    #[arg(long, default_value = "all", value_delimiter = ',', add = crate::cli::commands::completion::by(crate::cli::commands::completion::tools_of_servers))]
    pub tools: Vec<String>,
    /// `all`, `none`, or prompts as with --tools. Left out: all prompts together with all tools, else none.
    #[arg(long, value_delimiter = ',', add = crate::cli::commands::completion::by(crate::cli::commands::completion::prompts_of_servers))]
    pub prompts: Option<Vec<String>>,
    /// `all`, `none`, or the servers whose resources it offers. Left out: as with --prompts.
    #[arg(long, value_delimiter = ',', add = crate::cli::commands::completion::by(crate::cli::commands::completion::chosen_servers))]
    pub resources: Option<Vec<String>>,
    /// Naming of its tools, prompts and resources.
    #[arg(long, value_enum, default_value_t)]
    pub prefix: PrefixModeArg,
    /// Content of its list of tools: all of them, or two tools with which the others are found and run.
    #[arg(long, value_enum, default_value_t)]
    pub listing: ToolListingArg,
    /// Instructions for agents, placed ahead of the servers' own instructions.
    #[arg(long, default_value = "")]
    pub instructions: String,
    /// Fail, and write nothing, if a server was not seen to offer a tool or prompt of that name.
    #[arg(long)]
    pub strict: bool,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

/// Prefix modes at the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PrefixModeArg {
    /// SERVER__tool.
    #[default]
    Always,
    /// The tool's own name; one server only.
    Single,
    /// The tool's own name; two of one name are an error.
    Never,
}

/// Tool listings at the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ToolListingArg {
    /// Every tool.
    #[default]
    All,
    /// search_tools and run_tool.
    Progressive,
}

impl ToolListingArg {
    fn as_proto(self) -> &'static str {
        match self {
            Self::All => "TOOL_LISTING_ALL",
            Self::Progressive => "TOOL_LISTING_PROGRESSIVE",
        }
    }
}

impl PrefixModeArg {
    fn as_proto(self) -> &'static str {
        match self {
            Self::Always => "PREFIX_MODE_ALWAYS",
            Self::Single => "PREFIX_MODE_SINGLE",
            Self::Never => "PREFIX_MODE_NEVER",
        }
    }
}

/// Shows warnings. With `strict` they are an error.
fn add_warnings(
    out: &mut OutputWriter,
    unknown: &[UnknownName],
    strict: bool,
) -> Result<(), CliError> {
    match (unknown, strict) {
        ([first, others @ ..], true) => {
            let fault = CliError::error(&*first.warning).with_next_step(
                "correct the name, or leave out --strict to offer it as soon as the server does",
            );
            let others = others.iter().map(|unknown| &*unknown.warning);
            Err(others.fold(fault, CliError::with_note))
        }
        (unknown, _) => {
            for unknown in unknown {
                out.notice(format_args!("  warning: {}", unknown.warning));
            }
            Ok(())
        }
    }
}

impl CreateGatewayArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        let servers = self.servers.iter_mut().map(|name| (&SERVER, name));
        object_name::localize(&mut self.admin.connection, servers)?;
        let choice = OfferSelection::new(
            &self.servers,
            &self.tools,
            self.prompts.as_deref(),
            self.resources.as_deref(),
        );
        let bindings = choice.bindings()?;
        let gateway = json!({ "spec": {
            "prefix": self.prefix.as_proto(),
            "listing": self.listing.as_proto(),
            "bindings": bindings,
            "instructions": self.instructions,
        } });
        let mut admin = self.admin.connect()?;
        let catalogues = match choice.selects_by_name() {
            true => {
                let servers = self.servers.iter().map(String::as_str).collect();
                admin.find_each(&CATALOGUE, servers).await
            }
            false => Vec::new(),
        };
        let mut warnings = Vec::new();
        for what in [SelectableKind::Tool, SelectableKind::Prompt] {
            warnings.extend(self::unknown_names(
                what,
                &gateway["spec"]["bindings"],
                &catalogues,
            ));
        }
        if self.strict {
            add_warnings(out, &warnings, true)?;
        }
        let created = admin
            .create(&GATEWAY, &self.name, gateway, self.dry_run)
            .await
            .map_err(|fault| fault.with_flags(&FLAGS))?;
        match out.format() {
            OutputFormat::Json => out.json(&created),
            OutputFormat::Yaml => out.yaml(&crate::cli::commands::objects::to_document(
                &GATEWAY, &created,
            )),
            OutputFormat::Name => out.line(GATEWAY.name_of(&created)),
            OutputFormat::Table | OutputFormat::Wide => self.report(out, &created, &warnings),
        }?;
        gateway_tokens::tell_lost(&mut admin, std::iter::once(&*self.name), out).await;
        Ok(())
    }

    fn report(
        &self,
        out: &mut OutputWriter,
        created: &Value,
        unknown: &[UnknownName],
    ) -> Result<(), CliError> {
        let suffix = if self.dry_run { " (dry run)" } else { "" };
        let count = |list: &str| created["status"][list].as_array().map_or(0, Vec::len);
        let mut offers = cell::counted(count("tools"), "tool", "tools");
        if count("prompts") > 0 {
            offers += &format!(", {}", cell::counted(count("prompts"), "prompt", "prompts"));
        }
        if count("resources") > 0 {
            let servers = cell::counted(count("resources"), "server", "servers");
            offers += &format!(", resources of {servers}");
        }
        out.line(format_args!(
            "gateway {} created{suffix}: {offers}",
            self.name
        ))?;
        for problem in object_problem::problems(created) {
            // The warning about the same name has a suggestion as well.
            let is_same =
                |it: &UnknownName| it.server == problem.server && it.name == problem.original_name;
            let is_repeated = problem.reason == NOT_OFFERED && unknown.iter().any(is_same);
            if !is_repeated {
                out.notice(format_args!("  problem: {}", problem.text));
            }
        }
        add_warnings(out, unknown, false)?;
        out.notice(next_step(&self.name, !unknown.is_empty(), self.dry_run));
        Ok(())
    }
}

/// Returns the next step after the creation of a gateway. A dry run has made nothing that can be deleted or opened.
fn next_step(name: &str, has_warnings: bool, dry_run: bool) -> String {
    match (has_warnings, dry_run) {
        (true, true) => "  next: correct the names, then create it without `--dry-run`".to_owned(),
        (true, false) => format!(
            "  next: `toolgate delete gateway {name}`, then create it with the right names; or correct it: \
             `toolgate get gateway {name} -o yaml`, then `toolgate apply -f`"
        ),
        (false, true) => "  next: the same command without `--dry-run` creates it".to_owned(),
        (false, false) => format!(
            "  next: `toolgate token create ci --gateway {name}`, then `toolgate connect claude-code --gateway {name}`"
        ),
    }
}

#[cfg(test)]
mod tests;
