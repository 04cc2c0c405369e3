//! Limit of the token that a command was given to some tools. A gateway does not tell a caller what its token hides, so that
//! the command does, as far as the admin token may read tokens.

use serde_json::Value;

use super::GatewayTarget;
use crate::cli::{
    client::{dial, known_token, token_scope},
    output::{
        OutputWriter, cell,
        error::{CliError, CliErrorKind},
    },
};

/// Maximum number of tools that are named in one line.
const MAX_NAMED: usize = 5;
/// Beginning of the line that names a similar name.
const SUGGESTION: &str = "did you mean ";
/// Line for a token whose record cannot be read.
const UNKNOWN: &str = "the token may be limited to some tools, which hides everything else: with an admin token, `toolgate \
     describe token NAME` tells";

/// Knowledge about the limit of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenLimit {
    /// No token was given, or the token is not limited to tools.
    Unlimited,
    /// The record of the token cannot be read, or several records fit.
    Unknown,
    /// The token is limited to tools.
    Tools(ToolLimit),
}

/// Tools that a token is limited to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ToolLimit {
    /// Id of the token.
    id: String,
    /// Names of the tools, as gateways offer them.
    tools: Vec<String>,
}

impl TokenLimit {
    /// Returns the limit that the only record of a token tells.
    pub(super) fn of_records(records: &[Value]) -> Self {
        let [record] = records else {
            return Self::Unknown;
        };
        let Some(tools) = token_scope::tool_limit(record) else {
            return Self::Unlimited;
        };
        Self::Tools(ToolLimit {
            id: cell::id(record, "/metadata/name"),
            tools: tools.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Adds the limit to the error of a request for something that the gateway does not show to the token. `tool` is the name
    /// of the tool, if it is one.
    pub(super) fn explain(&self, fault: CliError, gateway: &str, tool: Option<&str>) -> CliError {
        if fault.kind != CliErrorKind::NotFound {
            return fault;
        }
        match self {
            Self::Unlimited => fault,
            Self::Unknown => fault.with_note(UNKNOWN),
            Self::Tools(limit) if tool.is_some_and(|tool| limit.admits(tool)) => fault,
            Self::Tools(limit) => {
                let mut fault = fault;
                // A similar name of what the token shows is not what was asked for.
                fault.notes.retain(|note| !note.starts_with(SUGGESTION));
                let note = match tool {
                    Some(tool) => format!("{}, and {tool} is not among them", limit.sentence()),
                    None => limit.without_others(),
                };
                fault.with_note(note).with_next_step(match tool {
                    Some(_) => limit.further_tools(gateway),
                    None => limit.without_limit(gateway),
                })
            }
        }
    }

    /// Tells the limit after an empty list of `what`. Returns `true` if the limit is the reason and the next step was told.
    pub(super) fn tell_empty(&self, out: &mut OutputWriter, gateway: &str, what: &str) -> bool {
        let (reason, next) = match self {
            Self::Unlimited => return false,
            Self::Unknown => {
                out.notice(format_args!("  {UNKNOWN}"));
                return false;
            }
            Self::Tools(limit) if what == super::TOOLS => {
                let reason = match limit.tools.is_empty() {
                    true => limit.sentence(),
                    false => format!("{}: the gateway offers none of them", limit.sentence()),
                };
                (reason, limit.further_tools(gateway))
            }
            Self::Tools(limit) => (limit.without_others(), limit.without_limit(gateway)),
        };
        out.notice(format_args!("  {reason}"));
        out.notice(format_args!("  next: {next}"));
        true
    }
}

impl ToolLimit {
    fn admits(&self, tool: &str) -> bool {
        self.tools.iter().any(|it| it == tool)
    }

    fn sentence(&self) -> String {
        let id = &self.id;
        match &*self.tools {
            [] => format!("the token {id} opens no tool"),
            [only] => format!("the token {id} is limited to the tool {only}"),
            tools => {
                let named = tools.iter().take(MAX_NAMED).map(String::as_str);
                let named = named.collect::<Vec<_>>().join(", ");
                let more = match tools.len().saturating_sub(MAX_NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("the token {id} is limited to the tools {named}{more}")
            }
        }
    }

    fn without_others(&self) -> String {
        format!(
            "{}: such a token sees no prompts and no resources",
            self.sentence()
        )
    }

    fn further_tools(&self, gateway: &str) -> String {
        format!(
            "`toolgate describe gateway {gateway}` shows what the gateway offers, `toolgate edit token {}` changes the `tools` of \
             the token",
            self.id
        )
    }

    fn without_limit(&self, gateway: &str) -> String {
        format!(
            "`toolgate token create NAME --gateway {gateway}` makes a token without this limit; `toolgate edit token {}` takes \
             the limit away",
            self.id
        )
    }
}

impl GatewayTarget {
    /// Adds the limit of the given token to an error of a request that names something. `tool` is the name of the tool, if it is
    /// one.
    pub async fn explain_limit(&self, fault: CliError, tool: Option<&str>) -> CliError {
        if fault.kind != CliErrorKind::NotFound {
            return fault;
        }
        let limit = self.token_limit().await;
        limit.explain(fault, &self.gateway, tool)
    }

    /// Returns the limit of the given token.
    pub(super) async fn token_limit(&self) -> TokenLimit {
        let Some(secret) = &self.token else {
            return TokenLimit::Unlimited;
        };
        let Ok(mut admin) = self.admin().connect() else {
            return TokenLimit::Unknown;
        };
        let found = known_token::find(&mut admin, secret);
        let found = tokio::time::timeout(dial::RESPONSE_TIMEOUT / 2, found).await;
        TokenLimit::of_records(&found.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
