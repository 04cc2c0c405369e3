//! `gateway create`: an endpoint for clients in one line.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{
    admin::AdminOptions,
    cell,
    fault::Fault,
    kind::{CATALOGUE, GATEWAY},
    known,
    out::{Format, Out},
};

/// Work with gateways.
#[derive(Debug, clap::Subcommand)]
pub enum GatewayCommand {
    /// Creates an MCP endpoint that offers tools of servers.
    Create(Create),
}

/// Creates a gateway.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Id of the gateway; its endpoint is /v1/mcp/NAME on every proxy.
    pub name: String,
    /// Server whose tools it offers; repeat for several.
    #[arg(long = "server", required = true, value_name = "SERVER")]
    pub servers: Vec<String>,
    /// `all`, or tools by their servers' names, comma-separated; with several servers as `server/tool`.
    #[arg(long, default_value = "all", value_delimiter = ',')]
    pub tools: Vec<String>,
    /// How its tools are named.
    #[arg(long, value_enum, default_value_t)]
    pub prefix: PrefixWord,
    /// Told to agents ahead of the servers' own instructions.
    #[arg(long, default_value = "")]
    pub instructions: String,
    /// Check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where.
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// Prefix modes at the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PrefixWord {
    /// SERVER__tool.
    #[default]
    Always,
    /// The tool's own name; one server only.
    Single,
    /// The tool's own name; two of one name are an error.
    Never,
}

impl PrefixWord {
    fn as_proto(self) -> &'static str {
        match self {
            Self::Always => "PREFIX_MODE_ALWAYS",
            Self::Single => "PREFIX_MODE_SINGLE",
            Self::Never => "PREFIX_MODE_NEVER",
        }
    }
}

impl Create {
    /// Runs it.
    pub async fn run(self, out: &mut Out) -> Result<(), Fault> {
        let tools = chosen(&self.tools);
        let bindings = bindings(&self.servers, &tools)?;
        let gateway = json!({ "spec": {
            "prefix": self.prefix.as_proto(),
            "bindings": bindings,
            "instructions": self.instructions,
        } });
        let mut admin = self.admin.connect()?;
        let catalogues = match tools.as_slice() {
            [all] if all == "all" => Vec::new(),
            _ => admin.list(&CATALOGUE).await.unwrap_or_default(),
        };
        let slips = slips(&gateway["spec"]["bindings"], &catalogues);
        let created = admin
            .create(&GATEWAY, &self.name, gateway, self.dry_run)
            .await?;
        match out.format() {
            Format::Json => out.json(&created),
            Format::Yaml => out.yaml(&super::resources::document(&GATEWAY, &created)),
            Format::Name => out.line(GATEWAY.name_of(&created)),
            Format::Table | Format::Wide => self.report(out, &created, &slips),
        }
    }

    fn report(&self, out: &mut Out, created: &Value, slips: &[String]) -> Result<(), Fault> {
        let suffix = if self.dry_run { " (dry run)" } else { "" };
        let tools = created["status"]["tools"].as_array().map_or(0, Vec::len);
        out.line(format_args!(
            "gateway {} created{suffix}: {}",
            self.name,
            cell::counted(tools, "tool", "tools")
        ))?;
        for problem in created["status"]["problems"]
            .as_array()
            .into_iter()
            .flatten()
        {
            out.note(format_args!(
                "  problem: {}",
                problem.as_str().unwrap_or_default()
            ));
        }
        for slip in slips {
            out.note(format_args!("  warning: {slip}"));
        }
        if !slips.is_empty() {
            out.note(format_args!(
                "  next: `toolgate delete gateway {0}`, then create it with the right names; or mend it: \
                 `toolgate get gateway {0} -o yaml`, then `toolgate apply -f`",
                self.name
            ));
            return Ok(());
        }
        out.note(format_args!("  next: `toolgate token create ci --gateway {0}`, then `toolgate connect claude-code --gateway {0}`", self.name));
        Ok(())
    }
}

/// The tools as named, without the spaces people put behind commas.
fn chosen(tools: &[String]) -> Vec<String> {
    let trimmed = tools.iter().map(|tool| tool.trim());
    let named = trimmed.filter(|tool| !tool.is_empty());
    named.map(str::to_owned).collect()
}

/// Tools chosen that their servers were not seen to offer, with what was probably meant.
fn slips(bindings: &Value, catalogues: &[Value]) -> Vec<String> {
    let mut slips = Vec::new();
    for binding in bindings.as_array().into_iter().flatten() {
        let server = binding["server"].as_str().unwrap_or_default();
        let catalogue = catalogues
            .iter()
            .find(|catalogue| cell::id(catalogue, "/name") == server);
        let Some(offered) = catalogue.and_then(|catalogue| catalogue["tools"].as_array()) else {
            continue;
        };
        let names: Vec<_> = offered.iter().filter_map(|t| t["name"].as_str()).collect();
        let asked = binding["tools"].as_array().into_iter().flatten();
        let asked = asked.filter_map(Value::as_str);
        slips.extend(asked.filter(|tool| !names.contains(tool)).map(|tool| {
            let near = known::suggestion(tool, names.iter().copied());
            format!("server {server} does not offer a tool `{tool}`{near}")
        }));
    }
    slips
}

/// One binding a server, in the order given.
fn bindings(servers: &[String], tools: &[String]) -> Result<Vec<Value>, Fault> {
    if tools == ["all"] {
        let all = |server: &String| json!({ "server": server, "allTools": true });
        return Ok(servers.iter().map(all).collect());
    }
    let mut chosen: Vec<(&str, Vec<&str>)> =
        servers.iter().map(|s| (s.as_str(), Vec::new())).collect();
    for tool in tools {
        let qualified = tool
            .split_once('/')
            .filter(|(server, _)| servers.iter().any(|s| s == server));
        let (server, name) = match (qualified, servers) {
            (Some(pair), _) => pair,
            (None, [only]) => (only.as_str(), tool.as_str()),
            (None, _) => {
                return Err(Fault::usage(format!("`{tool}`: of which server?"))
                    .next("with several servers write tools as server/tool"));
            }
        };
        if let Some((_, names)) = chosen.iter_mut().find(|(s, _)| *s == server) {
            names.push(name);
        }
    }
    let binding = |(server, tools): (&str, Vec<&str>)| json!({ "server": server, "tools": tools });
    Ok(chosen
        .into_iter()
        .filter(|(_, tools)| !tools.is_empty())
        .map(binding)
        .collect())
}

#[cfg(test)]
mod tests;
