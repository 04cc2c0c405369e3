//! `prompts list` and `prompts get`: list the prompts of a gateway and show their messages.

use serde_json::{Value, json};
use toolgate_mcp::{definition::DefinitionKind, method};

use crate::cli::{
    client::{
        gateway_access::{GatewayTarget, parse_arguments, without_binary},
        mcp_client::McpRequest,
        suggestions,
    },
    output::{
        OutputFormat, OutputWriter, cell,
        error::{CliError, CliErrorKind},
    },
};

/// List and fill in prompts.
#[derive(Debug, clap::Subcommand)]
pub enum PromptsCommand {
    /// List the prompts that a gateway offers to the token.
    List(ListPromptsArgs),
    /// Fill in a prompt and show its messages.
    Get(GetPromptArgs),
}

/// Lists prompts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate prompts list --gateway tools")]
pub struct ListPromptsArgs {
    /// Gateway to use.
    #[command(flatten)]
    pub target: GatewayTarget,
}

/// Fills in a prompt.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate prompts get --gateway tools git__review --args '{\"branch\": \"main\"}'")]
pub struct GetPromptArgs {
    /// Name of the prompt, as the gateway calls it.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::prompts))]
    pub name: String,
    /// Arguments, a JSON object of texts; `@FILE` reads a file, `-` standard input.
    #[arg(long, default_value = "{}")]
    pub args: String,
    /// Gateway to use.
    #[command(flatten)]
    pub target: GatewayTarget,
}

impl ListPromptsArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.target.localize()?;
        let prompts = self
            .target
            .with_client(async |client| client.list(DefinitionKind::Prompt).await);
        let prompts = prompts.await?;
        if prompts.is_empty() {
            self.target.explain_empty(out, "prompts").await;
        }
        match out.format() {
            OutputFormat::Json => out.json(&json!(prompts)),
            OutputFormat::Yaml => out.yaml(&json!(prompts)),
            OutputFormat::Name => prompts
                .iter()
                .try_for_each(|prompt| out.line(cell::text(prompt, "/name"))),
            OutputFormat::Table | OutputFormat::Wide => out.table(
                &["NAME", "ARGUMENTS", "DESCRIPTION"],
                prompts.iter().map(row).collect(),
            ),
        }
    }
}

fn row(prompt: &Value) -> Vec<String> {
    let summary = cell::summary_line(prompt["description"].as_str().unwrap_or_default());
    let arguments = prompt["arguments"].as_array().into_iter().flatten();
    let arguments: Vec<_> = arguments
        .map(|argument| {
            let name = argument["name"].as_str().unwrap_or_default();
            match argument["required"] == true {
                true => name.to_owned(),
                false => format!("[{name}]"),
            }
        })
        .collect();
    vec![cell::text(prompt, "/name"), arguments.join(" "), summary]
}

impl GetPromptArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.target.localize()?;
        let arguments = parse_arguments(&self.args)?;
        let ask = McpRequest {
            method: method::PROMPTS_GET,
            name: Some(&self.name),
            params_members: format!("\"name\":{},\"arguments\":{arguments}", json!(self.name)),
            mirrored_headers: Vec::new(),
        };
        let got = self.target.with_client(async |client| {
            let answer = client.send(ask, &mut |_| {}).await;
            let Err(fault) = answer else {
                return answer;
            };
            if fault.kind != CliErrorKind::NotFound {
                return Err(fault);
            }
            let prompts = client.list(DefinitionKind::Prompt).await;
            let prompts = prompts.unwrap_or_default();
            let names = prompts.iter().filter_map(|prompt| prompt["name"].as_str());
            Err(suggestions::with_suggestion(fault, &self.name, names))
        });
        let result = match got.await {
            Ok(result) => result,
            Err(fault) => {
                let fault = with_advice(fault);
                return Err(self.target.explain_limit(fault, None).await);
            }
        };
        match out.format() {
            OutputFormat::Json => out.json(&result),
            OutputFormat::Yaml => out.yaml(&result),
            OutputFormat::Name | OutputFormat::Table | OutputFormat::Wide => {
                let messages = result["messages"].as_array().into_iter().flatten();
                messages
                    .into_iter()
                    .try_for_each(|message| out.line(line(message)))
            }
        }
    }
}

/// Adds advice to the error of a prompt that does not exist or that its server does not fill in.
fn with_advice(fault: CliError) -> CliError {
    if fault.next_step.is_some() {
        return fault;
    }
    if fault.kind == CliErrorKind::CallFailed {
        fault.with_next_step(
            "`toolgate prompts list` with the same --gateway and token shows the arguments of the prompt, `toolgate doctor` looks \
             closer at its server",
        )
    } else if fault.kind == CliErrorKind::NotFound {
        fault.with_next_step(
            "`toolgate prompts list` with the same --gateway and token shows the prompts there are",
        )
    } else {
        fault
    }
}

/// Formats one message with its role.
fn line(message: &Value) -> String {
    let content = &message["content"];
    let text = match content["text"].as_str() {
        Some(text) => text.to_owned(),
        None => without_binary(content).to_string(),
    };
    format!("{}: {text}", message["role"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests;
