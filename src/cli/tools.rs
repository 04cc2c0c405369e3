//! `tools list` and `tools call`: list the tools of a gateway and call them.

use serde_json::{Value, json};
use toolgate_mcp::{headers::params::Annotations, method};

use super::{
    fault::{Fault, FaultKind},
    known,
    mcp::{Ask, McpClient},
    out::{Format, Out},
    through::{Target, arguments, without_bulk},
};

/// List and call tools.
#[derive(Debug, clap::Subcommand)]
pub enum ToolsCommand {
    /// List the tools that a gateway offers to the token.
    List(List),
    /// Call a tool; the exit code is 1 if the tool says that it failed, and 7 if no tool answered.
    Call(Call),
}

/// Lists tools.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate tools list --gateway tools")]
pub struct List {
    /// Gateway to use.
    #[command(flatten)]
    pub target: Target,
}

/// Calls a tool.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate tools call --gateway tools git__search --args '{\"query\": \"door\"}'\n\
    \x20 toolgate tools call --gateway tools git__search --args @arguments.json -o json")]
pub struct Call {
    /// Name of the tool, as the gateway calls it.
    #[arg(add = super::completion::by(super::completion::tools))]
    pub name: String,
    /// Arguments, a JSON object; `@FILE` reads a file, `-` standard input.
    #[arg(long, default_value = "{}")]
    pub args: String,
    /// Do not fail if the tool says that it failed.
    #[arg(long)]
    pub ignore_tool_error: bool,
    /// Gateway to use.
    #[command(flatten)]
    pub target: Target,
}

impl List {
    /// Runs the command.
    pub async fn run(self, out: &mut Out) -> Result<(), Fault> {
        let mut opened = self.target.open().await?;
        let tools = opened.client.tools().await;
        opened.close().await;
        let tools = tools?;
        if tools.is_empty() {
            self.target.why_empty(out, "tools").await;
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
    /// Runs the command.
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
        let of_the_tool = failure(&result).is_none();
        match result["isError"] == true && !(of_the_tool && self.ignore_tool_error) {
            true => Err(failed(&self.name, &result)),
            false => Ok(()),
        }
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
    match answer {
        Err(fault) if is_progressive(&tools) && unknown(&fault) => {
            Err(unfound(client, fault, name, arguments).await)
        }
        answer => answer.map_err(|fault| unlisted(fault, &tools, name)),
    }
}

/// Returns `true` if the gateway lists only `search_tools` and `run_tool`.
fn is_progressive(tools: &[Value]) -> bool {
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str()).collect();
    names == [Some("search_tools"), Some("run_tool")]
}

fn unknown(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Failed | FaultKind::NotFound)
        && fault.message.starts_with("Unknown tool")
}

/// Extends the error of a call of an unknown tool on a progressive gateway with a suggestion from a search.
async fn unfound(client: &mut McpClient, fault: Fault, name: &str, arguments: &Value) -> Fault {
    let word = match (name, arguments["name"].as_str()) {
        ("run_tool", Some(inner)) => inner,
        _ => name,
    };
    let search = json!({ "query": "", "limit": 50 });
    let ask = Ask {
        method: method::TOOLS_CALL,
        name: Some("search_tools"),
        members: format!("\"name\":\"search_tools\",\"arguments\":{search}"),
        mirrored: Vec::new(),
    };
    let found = client.ask(ask, &mut |_| {}).await.unwrap_or_default();
    let found = found.pointer("/structuredContent/tools");
    let found = found.and_then(Value::as_array).into_iter().flatten();
    let names = found.filter_map(|tool| tool["name"].as_str());
    known::meant(fault, word, names).next(
        "this gateway is searched: `toolgate tools call` with the same --gateway and token, \
         `search_tools --args '{\"query\": \"WORDS\"}'`",
    )
}

/// Returns the kind of failure if the result is from the gateway and no tool answered.
fn failure(result: &Value) -> Option<&str> {
    result["_meta"][method::META_FAILURE].as_str()
}

/// Converts a failed result to an error.
fn failed(name: &str, result: &Value) -> Fault {
    let Some(kind) = failure(result) else {
        return Fault::error(format!("the tool {name} says that it failed"))
            .next("correct --args, or give --ignore-tool-error if that is an answer to you");
    };
    Fault::new(
        FaultKind::Failed,
        format!("the call of {name} failed on its way: no tool answered"),
    )
    .note(format!("kind {kind}"))
    .next("`toolgate doctor` looks for what is wrong between the gateway and its servers")
}

/// Converts the error of a call of a tool that the gateway does not list to "not found", with a suggestion.
fn unlisted(fault: Fault, tools: &[Value], name: &str) -> Fault {
    let names = || tools.iter().filter_map(|tool| tool["name"].as_str());
    let may_be = matches!(fault.kind, FaultKind::Failed | FaultKind::NotFound);
    if !may_be || names().any(|known| known == name) {
        return fault;
    }
    let fault = Fault {
        kind: FaultKind::NotFound,
        ..fault
    };
    known::meant(fault, name, names())
        .next("`toolgate tools list` with the same --gateway and token shows the tools there are")
}

/// Returns the arguments that the tool's schema requires to be mirrored in headers.
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

#[cfg(test)]
mod tests;
