//! `tools list` and `tools call`: what an agent would see and get, from the terminal.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use toolgate_mcp::{headers::params::Annotations, method};

use super::{
    admin::{Admin, AdminOptions, ReachOptions},
    dial,
    fault::{Fault, FaultKind},
    kind::{CATALOGUE, GATEWAY, PROXY, TOKEN},
    known,
    mcp::{Ask, McpClient},
    out::{Format, Out},
    token::{self, Wish},
};

/// Where proxies listen unless told otherwise.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7300";
/// How long a token made for one command works.
const BORROWED: Duration = Duration::from_secs(300);
/// How long a new token may take to reach the proxy.
const ARRIVAL: Duration = Duration::from_secs(3);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// List and call tools.
#[derive(Debug, clap::Subcommand)]
pub enum ToolsCommand {
    /// List the tools that a gateway offers to the token.
    List(List),
    /// Call a tool; the exit code is 1 if the tool says that it failed.
    Call(Call),
}

/// Lists tools.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Through which gateway.
    #[command(flatten)]
    pub target: Target,
}

/// Calls a tool.
#[derive(Debug, clap::Args)]
pub struct Call {
    /// Name of the tool, as the gateway calls it.
    pub name: String,
    /// Arguments, a JSON object; `@FILE` reads a file, `-` standard input.
    #[arg(long, default_value = "{}")]
    pub args: String,
    /// It is no fault if the tool says that it failed.
    #[arg(long)]
    pub ignore_tool_error: bool,
    /// Through which gateway.
    #[command(flatten)]
    pub target: Target,
}

/// A gateway and the right to use it.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// Id of the gateway.
    #[arg(long)]
    pub gateway: String,
    /// Token for the gateway. Without one, a token for five minutes is made with the admin token, and deleted after.
    #[arg(long, env = "TOOLGATE_GATEWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Address of a proxy, or of the balancer before them. Without it, the control plane is asked.
    #[arg(long, env = "TOOLGATE_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Address of the admin API.
    #[arg(
        long,
        env = "TOOLGATE_ADDR",
        default_value = "http://127.0.0.1:7400",
        help_heading = "Connection"
    )]
    pub addr: String,
    /// Admin token, to make a token and to find a proxy.
    #[arg(
        long,
        env = "TOOLGATE_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub admin_token: Option<String>,
    /// Common options of every connection.
    #[command(flatten)]
    pub reach: ReachOptions,
}

/// A client for a gateway, and the token that was made for it.
struct Opened {
    client: McpClient,
    borrowed: Option<(Admin, String)>,
}

impl Target {
    async fn open(&self) -> Result<Opened, Fault> {
        let mut admin = self.admin().connect()?;
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => find_endpoint(&mut admin).await,
        };
        let url = endpoint_url(&endpoint, &self.gateway);
        let http = dial::http(self.reach.ca.as_deref())?;
        if let Some(token) = &self.token {
            let client = McpClient::new(http, url, token.trim().to_owned());
            return Ok(Opened {
                client,
                borrowed: None,
            });
        }
        let id = format!("{}{}", super::fleet::BORROWED, short_id());
        let wish = Wish {
            gateways: vec![self.gateway.clone()],
            ttl: Some(BORROWED),
            description: "Made by the command line for one command".to_owned(),
            ..Wish::default()
        };
        let made = token::mint(&mut admin, &id, &wish).await.map_err(|fault| {
            let step = "give a token for the gateway with --token or TOOLGATE_GATEWAY_TOKEN";
            if fault.kind == FaultKind::Denied {
                fault.next(step)
            } else {
                fault
            }
        })?;
        let secret = made["secret"].as_str().unwrap_or_default().to_owned();
        let mut opened = Opened {
            client: McpClient::new(http, url, secret),
            borrowed: Some((admin, id)),
        };
        if let Err(fault) = opened.arrived().await {
            opened.close().await;
            return Err(fault);
        }
        Ok(opened)
    }
}

impl Target {
    /// Says why a list is empty, as far as the admin token may see it.
    async fn why_empty(&self, out: &mut Out) {
        let problems = async {
            let mut admin = self.admin().connect().ok()?;
            let name = GATEWAY.resource_name(admin.organization(), &self.gateway);
            let gateway = admin.get(&GATEWAY, &name).await.ok()?;
            let mut problems = Vec::new();
            let known = gateway
                .pointer("/status/problems")
                .and_then(Value::as_array);
            problems.extend(known.into_iter().flatten().cloned());
            // A server whose probes fail is one that was never seen: what failed says more.
            let bound = super::cell::joined(&gateway, "/spec/bindings", "server");
            for catalogue in admin.list(&CATALOGUE).await.unwrap_or_default() {
                let server = super::cell::id(&catalogue, "/name");
                let problem = catalogue["problem"].as_str().unwrap_or_default();
                if !problem.is_empty() && bound.split(',').any(|id| id == server) {
                    problems.push(json!(format!(
                        "server {server}: the last probe failed: {problem}"
                    )));
                }
            }
            Some(problems)
        };
        out.note("no tools");
        for problem in problems.await.unwrap_or_default() {
            out.note(format_args!("  {}", problem.as_str().unwrap_or_default()));
        }
        out.note("  next: `toolgate doctor` looks closer");
    }

    fn admin(&self) -> AdminOptions {
        AdminOptions {
            addr: self.addr.clone(),
            token: self.admin_token.clone(),
            reach: self.reach.clone(),
        }
    }
}

impl Opened {
    /// Waits until the proxy knows the token that was just made.
    async fn arrived(&mut self) -> Result<(), Fault> {
        let mut waited = Duration::ZERO;
        loop {
            let ask = Ask {
                method: method::DISCOVER,
                name: None,
                members: String::new(),
                mirrored: Vec::new(),
            };
            match self.client.ask(ask, &mut |_| {}).await {
                Err(fault) if fault.kind == FaultKind::Denied && waited < ARRIVAL => {
                    tokio::time::sleep(BETWEEN_TRIES).await;
                    waited += BETWEEN_TRIES;
                }
                Ok(_) => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Deletes the token that was made for this command. It would end by itself soon.
    async fn close(self) {
        if let Some((mut admin, id)) = self.borrowed {
            let name = TOKEN.resource_name(admin.organization(), &id);
            let _ends_by_itself = admin.delete(&TOKEN, &name, false).await;
        }
    }
}

impl List {
    /// Runs it.
    pub async fn run(self, out: &mut Out) -> Result<(), Fault> {
        let mut opened = self.target.open().await?;
        let tools = opened.client.tools().await;
        opened.close().await;
        let tools = tools?;
        if tools.is_empty() {
            self.target.why_empty(out).await;
        }
        match out.format() {
            Format::Json => out.json(&json!(tools)),
            Format::Yaml => out.yaml(&json!(tools)),
            Format::Name => tools
                .iter()
                .try_for_each(|t| out.line(super::cell::text(t, "/name"))),
            Format::Table | Format::Wide => {
                let row = |tool: &Value| {
                    let about =
                        super::cell::brief(tool["description"].as_str().unwrap_or_default());
                    vec![super::cell::text(tool, "/name"), about]
                };
                out.table(&["NAME", "DESCRIPTION"], tools.iter().map(row).collect())
            }
        }
    }
}

impl Call {
    /// Runs it.
    pub async fn run(self, out: &mut Out) -> Result<(), Fault> {
        let arguments = arguments(&self.args)?;
        let mut opened = self.target.open().await?;
        let result = call(&mut opened.client, &self.name, &arguments, out).await;
        opened.close().await;
        let result = result?;
        match out.format() {
            Format::Json => out.json(&result)?,
            Format::Yaml => out.yaml(&result)?,
            Format::Name | Format::Table | Format::Wide => {
                for part in result["content"].as_array().into_iter().flatten() {
                    match part["text"].as_str() {
                        Some(text) => out.line(text)?,
                        None => out.json(&without_bulk(part))?,
                    }
                }
            }
        }
        if result["isError"] == true && !self.ignore_tool_error {
            return Err(Fault::error(format!(
                "the tool {} says that it failed",
                self.name
            )));
        }
        Ok(())
    }
}

async fn call(
    client: &mut McpClient,
    name: &str,
    arguments: &Value,
    out: &mut Out,
) -> Result<Value, Fault> {
    let members = format!("\"name\":{},\"arguments\":{arguments}", json!(name));
    let tools = client.tools().await?;
    let mirrored = mirrored(&tools, name, arguments);
    let ask = Ask {
        method: method::TOOLS_CALL,
        name: Some(name),
        members,
        mirrored,
    };
    let answer = client
        .ask(ask, &mut |message| {
            let params = &message["params"];
            match message["method"].as_str() {
                Some(method::PROGRESS) => out.note(progress_line(params)),
                Some(method::MESSAGE) => out.note(format_args!("log: {}", params["data"])),
                Some(_) | None => {}
            }
        })
        .await;
    answer.map_err(|fault| unlisted(fault, &tools, name))
}

/// A fault of a call of a tool that the gateway does not list: that is why.
fn unlisted(fault: Fault, tools: &[Value], name: &str) -> Fault {
    let names = || tools.iter().filter_map(|tool| tool["name"].as_str());
    if fault.kind != FaultKind::Error || names().any(|known| known == name) {
        return fault;
    }
    let fault = Fault {
        kind: FaultKind::NotFound,
        ..fault
    };
    known::meant(fault, name, names())
        .next("`toolgate tools list` with the same --gateway and token shows the tools there are")
}

/// Arguments that the tool wants repeated in headers.
fn mirrored(tools: &[Value], name: &str, arguments: &Value) -> Vec<(String, String)> {
    let tool = tools.iter().find(|tool| tool["name"] == name);
    let schema = tool
        .map(|tool| tool["inputSchema"].to_string())
        .unwrap_or_default();
    let annotations = Annotations::of_schema(schema.as_bytes()).unwrap_or_default();
    let arguments = arguments.to_string();
    let pairs = annotations.mirror(arguments.as_bytes()).into_iter();
    pairs
        .map(|(header, value)| (header.to_owned(), value))
        .collect()
}

/// A part of a result for a terminal: base64 of images, sounds and files is nothing to read.
fn without_bulk(part: &Value) -> Value {
    let mut part = part.clone();
    for place in ["/data", "/blob", "/resource/blob"] {
        if let Some(bulk) = part.pointer_mut(place)
            && let Some(length) = bulk.as_str().map(str::len)
        {
            *bulk = json!(format!("({} bytes, shown with -o json)", length / 4 * 3));
        }
    }
    part
}

fn progress_line(params: &Value) -> String {
    let total = match params.get("total") {
        Some(total) => format!(" of {total}"),
        None => String::new(),
    };
    let message = params["message"].as_str().unwrap_or_default();
    format!("progress {}{total} {message}", params["progress"])
        .trim_end()
        .to_owned()
}

fn arguments(given: &str) -> Result<Value, Fault> {
    let text = match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(PathBuf::from(file))
            .map_err(|error| Fault::usage(format!("cannot read {file}: {error}")))?,
        None if given == "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|error| Fault::usage(format!("cannot read standard input: {error}")))?,
        None => given.to_owned(),
    };
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Fault::usage(format!("--args is not JSON: {error}")))?;
    if value.is_object() {
        return Ok(value);
    }
    Err(Fault::usage(
        "--args must be a JSON object, e.g. '{\"text\":\"hi\"}'",
    ))
}

/// The address of a connected proxy; the default one if the control plane does not say.
async fn find_endpoint(admin: &mut Admin) -> String {
    endpoint_among(&admin.list(&PROXY).await.unwrap_or_default())
}

/// Where the first of these proxies that is connected listens; the default address if none says.
pub fn endpoint_among(proxies: &[Value]) -> String {
    let connected = proxies.iter().filter(|proxy| proxy["connected"] == true);
    let addresses = connected.filter_map(|proxy| proxy["listen"].as_str());
    let found = addresses
        .filter(|address| !address.is_empty())
        .map(reachable)
        .next();
    found.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())
}

/// A listener's address as one can go to it.
fn reachable(listen: &str) -> String {
    let listen = listen
        .replace("0.0.0.0:", "127.0.0.1:")
        .replace("[::]:", "[::1]:");
    if listen.contains("://") {
        listen
    } else {
        format!("http://{listen}")
    }
}

/// The endpoint of a gateway at the address of a proxy.
pub fn endpoint_url(endpoint: &str, gateway: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    let endpoint = if endpoint.contains("://") {
        endpoint.to_owned()
    } else {
        format!("http://{endpoint}")
    };
    format!("{endpoint}/v1/mcp/{gateway}")
}

/// A few random characters, fit for an id.
pub fn short_id() -> String {
    let id = toolgate_runtime::random::bytes::<6>();
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
