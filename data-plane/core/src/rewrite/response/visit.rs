//! A legacy server that will not run a call before somebody has been at a page (error -32042, which the modern revision
//! has no more). A modern client that sends people to pages is asked to; a legacy one that does is told as the server told
//! us; whoever cannot is told where to go in words.

use serde_json::{Value, json};
use toolgate_mcp::{ByteSpan, RpcError, ServerMessage, error::codes, message};
use toolgate_model::Era;

use crate::{
    asking::{Kind, OPEN, Question},
    plan::{CallPlan, ClientProtocol, RequestTarget},
    refusal::UpstreamFailure,
    segmented_bytes::SegmentedBytes,
};

use super::{CallOutcome, ClientResponse, ResponseRelay, failure_response};

const ELICITATIONS: &str = "elicitations";
/// The first revision that knows pages; later legacy ones would too.
const SINCE: &str = "2025-11-25";

impl ResponseRelay {
    /// Where a modern client is to send somebody before it asks again; none if the error says something else, or if it has
    /// to be told otherwise.
    pub(super) fn visit(
        &self,
        answer: &ServerMessage<'_>,
        error: ByteSpan,
    ) -> Option<Vec<Question>> {
        if !self.is_modern() || !self.sends() {
            return None;
        }
        let error = RpcError::parse(answer.slice(error))?;
        (error.code == codes::URL_ELICITATION).then_some(())?;
        self.pages(&error)
    }

    /// What clients are told that are not asked.
    pub(super) fn sent_away(&self, error: &RpcError) -> ClientResponse {
        let Some(pages) = self.pages(error) else {
            return failure_response(&self.call, UpstreamFailure::NeedsInput);
        };
        let told = match self.call.client {
            ClientProtocol::Legacy { version, .. } if version >= SINCE => self.sends(),
            ClientProtocol::Legacy { .. } | ClientProtocol::Modern { .. } => false,
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
        ClientResponse {
            body: SegmentedBytes::from(error.to_bytes(Some(&self.call.id))),
            status: 200,
            outcome: CallOutcome::Error,
        }
    }

    /// Whether the client sends people to pages for this server.
    fn sends(&self) -> bool {
        self.call
            .requestable_capabilities()
            .contains(Kind::Url.needs())
    }

    /// The pages; none if there is no reason to believe the error.
    fn pages(&self, error: &RpcError) -> Option<Vec<Question>> {
        if self.era != Era::Legacy
            || !self.call.target.may_request_input()
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
pub fn links<'q>(call: &CallPlan, pages: impl IntoIterator<Item = &'q Question>) -> ClientResponse {
    let server = &call.server().name.id;
    let lines = pages.into_iter().filter_map(|page| page.to_line(server));
    let lines: Vec<String> = lines.collect();
    let noun = call.target.noun();
    let text = format!(
        "this {noun} needs somebody to visit a page first: show the user where, and ask again when they have been there\n{}",
        lines.join("\n")
    );
    let (body, outcome) = match &call.target {
        RequestTarget::Tool(_) => {
            let modern = match call.client {
                ClientProtocol::Modern { .. } => Some(&call.gateway.server_info),
                ClientProtocol::Legacy { .. } => None,
            };
            let result = message::tool_error(&text, "needs_visit", modern);
            (message::response(&call.id, &result), CallOutcome::ToolError)
        }
        RequestTarget::Prompt(_)
        | RequestTarget::Resource(_)
        | RequestTarget::Completion(_)
        | RequestTarget::Task(_) => {
            let error = RpcError {
                code: codes::INTERNAL,
                message: text.into(),
                data: Some(json!({ "server": server.as_str() })),
            };
            (error.to_bytes(Some(&call.id)), CallOutcome::Error)
        }
    };
    ClientResponse {
        body: SegmentedBytes::from(body),
        status: 200,
        outcome,
    }
}
