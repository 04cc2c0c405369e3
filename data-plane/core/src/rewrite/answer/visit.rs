//! A legacy server that will not run a call before somebody has been at a page (error -32042, which the modern revision
//! has no more). A modern client that sends people to pages is asked to; a legacy one that does is told as the server told
//! us; whoever cannot is told where to go in words.

use serde_json::{Value, json};
use toolgate_mcp::{Answer, RpcError, Span, error::codes, message};
use toolgate_model::Era;

use crate::{
    asking::{Kind, OPEN, Question},
    parts::Parts,
    plan::{CallPlan, ClientSide, Target},
    refusal::UpstreamFailure,
};

use super::{Outcome, Relay, Reply, failed};

const ELICITATIONS: &str = "elicitations";
/// The first revision that knows pages; later legacy ones would too.
const SINCE: &str = "2025-11-25";

impl Relay {
    /// Where a modern client is to send somebody before it asks again; none if the error says something else, or if it has
    /// to be told otherwise.
    pub(super) fn visit(&self, answer: &Answer<'_>, error: Span) -> Option<Vec<Question>> {
        if !self.is_modern() || !self.sends() {
            return None;
        }
        let error = RpcError::read(answer.slice(error))?;
        (error.code == codes::URL_ELICITATION).then_some(())?;
        self.pages(&error)
    }

    /// What clients are told that are not asked.
    pub(super) fn sent_away(&self, error: &RpcError) -> Reply {
        let Some(pages) = self.pages(error) else {
            return failed(&self.call, UpstreamFailure::NeedsInput);
        };
        let told = match self.call.client {
            ClientSide::Legacy { version, .. } if version >= SINCE => self.sends(),
            ClientSide::Legacy { .. } | ClientSide::Modern { .. } => false,
        };
        if !told {
            return links(&self.call, &pages);
        }
        let server = &self.call.server().name.id;
        let signed = pages.iter().map(|page| page.to_elicitation(server));
        let signed: Vec<Value> = signed.collect();
        let mut data = error.data.clone().unwrap_or_default();
        if let Some(all) = data.as_object_mut() {
            all.insert(ELICITATIONS.to_owned(), Value::Array(signed));
        }
        let error = RpcError {
            code: error.code,
            message: error.message.clone(),
            data: Some(data),
        };
        Reply {
            body: Parts::from(error.to_bytes(Some(&self.call.id))),
            status: 200,
            outcome: Outcome::Error,
        }
    }

    /// Whether the client sends people to pages for this server.
    fn sends(&self) -> bool {
        self.call.askable().has(Kind::Url.needs())
    }

    /// The pages; none if there is no reason to believe the error.
    fn pages(&self, error: &RpcError) -> Option<Vec<Question>> {
        if self.era != Era::Legacy
            || !self.call.target.may_ask()
            || !self.call.server().relay.elicitation
        {
            return None;
        }
        let all = error.data.as_ref()?.get(ELICITATIONS)?.as_array()?;
        let page = |asked: &Value| {
            let question = Question::read(Kind::Url.method(), Some(asked.to_string().as_bytes()));
            question.filter(|question| question.kind() == Kind::Url)
        };
        let pages: Option<Vec<Question>> = all.iter().take(OPEN).map(page).collect();
        pages.filter(|pages| !pages.is_empty())
    }
}

/// Where to go, in words: for the model as a failed tool, for programs as an error.
pub fn links<'q>(call: &CallPlan, pages: impl IntoIterator<Item = &'q Question>) -> Reply {
    let server = &call.server().name.id;
    let lines = pages.into_iter().filter_map(|page| page.to_line(server));
    let lines: Vec<String> = lines.collect();
    let noun = call.target.noun();
    let text = format!(
        "this {noun} needs somebody to visit a page first: show the user where, and ask again when they have been there\n{}",
        lines.join("\n")
    );
    let (body, outcome) = match &call.target {
        Target::Tool(_) => {
            let modern = match call.client {
                ClientSide::Modern { .. } => Some(&call.gateway.server_info),
                ClientSide::Legacy { .. } => None,
            };
            let result = message::tool_error(&text, "needs_visit", modern);
            (message::response(&call.id, &result), Outcome::ToolError)
        }
        Target::Prompt(_) | Target::Resource(_) | Target::Completion(_) | Target::Task(_) => {
            let error = RpcError {
                code: codes::INTERNAL,
                message: text.into(),
                data: Some(json!({ "server": server.as_str() })),
            };
            (error.to_bytes(Some(&call.id)), Outcome::Error)
        }
    };
    Reply {
        body: Parts::from(body),
        status: 200,
        outcome,
    }
}
