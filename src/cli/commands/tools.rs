//! `tools list` and `tools call`: list the tools of a gateway and call them.

mod describe;

use serde_json::{Value, json};
use toolgate_mcp::{headers::params::HeaderAnnotations, method};

pub use self::describe::DescribeToolArgs;
use crate::cli::{
    client::{
        gateway_access::{GatewayTarget, parse_arguments, without_binary},
        mcp_client::{McpClient, McpRequest},
        suggestions,
    },
    output::{
        OutputFormat, OutputWriter,
        error::{ApiErrorReason, CliError, CliErrorKind},
    },
};

/// List and call tools.
#[derive(Debug, clap::Subcommand)]
pub enum ToolsCommand {
    /// List the tools that a gateway offers to the token.
    List(ListToolsArgs),
    /// Show a tool with its arguments, and an example of a call.
    Describe(DescribeToolArgs),
    /// Call a tool; the exit code is 1 if the tool says that it failed, and 7 if no tool answered.
    Call(CallToolArgs),
}

/// Lists tools.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate tools list --gateway tools")]
pub struct ListToolsArgs {
    /// Gateway to use.
    #[command(flatten)]
    pub target: GatewayTarget,
}

/// Calls a tool.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate tools call --gateway tools git__search --args '{\"query\": \"door\"}'\n\
    \x20 toolgate tools call --gateway tools git__search --args @arguments.json -o json")]
pub struct CallToolArgs {
    /// Name of the tool, as the gateway calls it.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::tools))]
    pub name: String,
    /// Arguments, a JSON object; `@FILE` reads a file, `-` standard input.
    #[arg(long, default_value = "{}")]
    pub args: String,
    /// Do not fail if the tool says that it failed.
    #[arg(long)]
    pub ignore_tool_error: bool,
    /// Gateway to use.
    #[command(flatten)]
    pub target: GatewayTarget,
}

impl ListToolsArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.target.localize()?;
        let tools = self.target.with_client(async |client| client.tools().await);
        let tools = tools.await?;
        if tools.is_empty() {
            self.target.explain_empty(out, "tools").await;
        }
        match out.format() {
            OutputFormat::Json => out.json(&json!(tools)),
            OutputFormat::Yaml => out.yaml(&json!(tools)),
            OutputFormat::Name => tools
                .iter()
                .try_for_each(|t| out.line(crate::cli::output::cell::text(t, "/name"))),
            OutputFormat::Table | OutputFormat::Wide => {
                let row = |tool: &Value| {
                    let summary = crate::cli::output::cell::summary_line(
                        tool["description"].as_str().unwrap_or_default(),
                    );
                    vec![crate::cli::output::cell::text(tool, "/name"), summary]
                };
                out.table(&["NAME", "DESCRIPTION"], tools.iter().map(row).collect())
            }
        }
    }
}

impl CallToolArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.target.localize()?;
        let arguments = parse_arguments(&self.args)?;
        let called = self
            .target
            .with_client(async |client| call_tool(client, &self.name, &arguments, out).await);
        let result = match called.await {
            Ok(result) => result,
            Err(fault) => return Err(self.target.explain_limit(fault, Some(&self.name)).await),
        };
        match out.format() {
            OutputFormat::Json => out.json(&result)?,
            OutputFormat::Yaml => out.yaml(&result)?,
            OutputFormat::Name | OutputFormat::Table | OutputFormat::Wide => {
                for part in result["content"].as_array().into_iter().flatten() {
                    match part["text"].as_str() {
                        Some(text) => out.line(text)?,
                        None => out.json(&without_binary(part))?,
                    }
                }
            }
        }
        let of_the_tool = gateway_failure_kind(&result).is_none();
        match result["isError"] == true && !(of_the_tool && self.ignore_tool_error) {
            true => Err(tool_error(&self.name, &result)),
            false => Ok(()),
        }
    }
}

async fn call_tool(
    client: &mut McpClient,
    name: &str,
    arguments: &Value,
    out: &mut OutputWriter,
) -> Result<Value, CliError> {
    let members = format!("\"name\":{},\"arguments\":{arguments}", json!(name));
    let tools = client.tools().await?;
    let mirrored = mirrored_headers(&tools, name, arguments);
    let ask = McpRequest {
        method: method::TOOLS_CALL,
        name: Some(name),
        params_members: members,
        mirrored_headers: mirrored,
    };
    let answer = client
        .send(ask, &mut |message| {
            let params = &message["params"];
            match message["method"].as_str() {
                Some(method::PROGRESS) => out.notice(progress_line(params)),
                Some(method::MESSAGE) => out.notice(format_args!("log: {}", params["data"])),
                Some(_) | None => {}
            }
        })
        .await;
    match answer {
        Err(fault) if is_progressive(&tools) && fault.reason == ApiErrorReason::UnknownTool => {
            Err(explain_unknown_tool(client, fault, name, arguments).await)
        }
        answer => answer.map_err(|fault| explain_unlisted_tool(fault, &tools, name)),
    }
}

/// Returns `true` if the gateway lists only `search_tools` and `run_tool`.
fn is_progressive(tools: &[Value]) -> bool {
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str()).collect();
    names == [Some("search_tools"), Some("run_tool")]
}

/// Searches the tools of a progressive gateway. An empty query finds all. An error finds none.
async fn search_tools(client: &mut McpClient, query: &str) -> Vec<Value> {
    let search = json!({ "query": query, "limit": 50 });
    let ask = McpRequest {
        method: method::TOOLS_CALL,
        name: Some("search_tools"),
        params_members: format!("\"name\":\"search_tools\",\"arguments\":{search}"),
        mirrored_headers: Vec::new(),
    };
    let found = client.send(ask, &mut |_| {}).await.unwrap_or_default();
    let found = found.pointer("/structuredContent/tools");
    found.and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Extends the error of a call of an unknown tool on a progressive gateway with a suggestion from a search.
async fn explain_unknown_tool(
    client: &mut McpClient,
    fault: CliError,
    name: &str,
    arguments: &Value,
) -> CliError {
    let word = match (name, arguments["name"].as_str()) {
        ("run_tool", Some(inner)) => inner,
        _ => name,
    };
    let found = search_tools(client, "").await;
    let names = found.iter().filter_map(|tool| tool["name"].as_str());
    suggestions::with_suggestion(fault, word, names).with_next_step(
        "this gateway is searched: `toolgate tools call` with the same --gateway and token, \
         `search_tools --args '{\"query\": \"WORDS\"}'`",
    )
}

/// Returns the kind of failure if the result is from the gateway and no tool answered.
fn gateway_failure_kind(result: &Value) -> Option<&str> {
    result["_meta"][method::META_FAILURE].as_str()
}

/// Converts a failed result to an error.
fn tool_error(name: &str, result: &Value) -> CliError {
    let Some(kind) = gateway_failure_kind(result) else {
        return CliError::error(format!("the tool {name} says that it failed")).with_next_step(
            "correct --args, which `toolgate tools describe` with the same --gateway shows, or give --ignore-tool-error if that \
             is an answer to you",
        );
    };
    CliError::new(
        CliErrorKind::CallFailed,
        format!("the call of {name} failed on its way: no tool answered"),
    )
    .with_note(format!("kind {kind}"))
    .with_next_step("`toolgate doctor` looks for what is wrong between the gateway and its servers")
}

/// Converts the error of a call of a tool that the gateway does not list to "not found", with a suggestion.
fn explain_unlisted_tool(fault: CliError, tools: &[Value], name: &str) -> CliError {
    let names = || tools.iter().filter_map(|tool| tool["name"].as_str());
    let may_be = matches!(
        fault.kind,
        CliErrorKind::CallFailed | CliErrorKind::NotFound
    );
    if !may_be || names().any(|known| known == name) {
        return fault;
    }
    let fault = CliError {
        kind: CliErrorKind::NotFound,
        ..fault
    };
    suggestions::with_suggestion(fault, name, names()).with_next_step(
        "`toolgate tools list` with the same --gateway and token shows the tools there are",
    )
}

/// Returns the arguments that the tool's schema requires to be mirrored in headers.
fn mirrored_headers(tools: &[Value], name: &str, arguments: &Value) -> Vec<(String, String)> {
    let tool = tools.iter().find(|tool| tool["name"] == name);
    let schema = tool
        .map(|tool| tool["inputSchema"].to_string())
        .unwrap_or_default();
    let annotations = HeaderAnnotations::of_schema(schema.as_bytes()).unwrap_or_default();
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
