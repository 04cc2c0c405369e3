//! Error -32042 of a legacy server: the user has to visit URLs before the server runs a call. The modern revision has
//! no such error. A modern client that supports URL elicitation gets `input_required`, a legacy client that does gets
//! the error, and all others get the URLs as text.

use serde_json::{Value, json};
use toolgate_mcp::{ByteSpan, RpcError, ServerMessage, case_folding, error::codes, message};
use toolgate_model::Era;

use crate::{
    call::elicitation::{Elicitation, ElicitationKind, MAX_PENDING},
    plan::{CallPlan, ClientProtocol, RequestTarget},
    refusal::UpstreamFailure,
    segmented_bytes::SegmentedBytes,
};

use super::{CallOutcome, ClientResponse, ResponseRelay, failure_response};

const ELICITATIONS: &str = "elicitations";
/// First legacy revision with URL elicitation.
const FIRST_REVISION: &str = "2025-11-25";

impl ResponseRelay {
    /// Returns the URLs that the user of a modern client has to visit before the call is sent again. `None` if the
    /// error is another one, or if the client does not support URL elicitation.
    pub(super) fn required_urls(
        &self,
        answer: &ServerMessage<'_>,
        error: ByteSpan,
    ) -> Option<Vec<Elicitation>> {
        if !self.is_modern() || !self.supports_urls() {
            return None;
        }
        let error = RpcError::parse(answer.slice(error))?;
        (error.code == codes::URL_ELICITATION).then_some(())?;
        self.urls(&error)
    }

    /// Builds the answer for a client that is not asked.
    pub(super) fn urls_as_error(&self, error: &RpcError) -> ClientResponse {
        let Some(pages) = self.urls(error) else {
            return failure_response(&self.call, UpstreamFailure::NeedsInput);
        };
        let supports_data = match self.call.client {
            ClientProtocol::Legacy { version, .. } if version >= FIRST_REVISION => {
                self.supports_urls()
            }
            ClientProtocol::Legacy { .. } | ClientProtocol::Modern { .. } => false,
        };
        if !supports_data {
            return url_elicitation_response(&self.call, &pages);
        }
        let server = &self.call.server().name.id;
        let signed = pages.iter().map(|page| page.to_elicitation(server));
        let signed: Vec<Value> = signed.collect();
        let mut data = error.data.clone().unwrap_or_default();
        if let Some(all) = data.as_object_mut() {
            all.retain(|name, _| !case_folding::is_case_variant(name, [ELICITATIONS]));
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

    /// Reports if the client supports URL elicitation for this server.
    fn supports_urls(&self) -> bool {
        self.call
            .requestable_capabilities()
            .contains(ElicitationKind::Url.needs())
    }

    /// Reads the URLs. Returns `None` if the error is malformed or the server may not send it.
    fn urls(&self, error: &RpcError) -> Option<Vec<Elicitation>> {
        if self.era != Era::Legacy
            || !self.call.target.may_request_input()
            || !self.call.server().relay.elicitation
        {
            return None;
        }
        let all = error.data.as_ref()?.get(ELICITATIONS)?.as_array()?;
        let page = |elicitation: &Value| {
            let question = Elicitation::read(
                ElicitationKind::Url.method(),
                Some(elicitation.to_string().as_bytes()),
            );
            question.filter(|question| question.kind() == ElicitationKind::Url)
        };
        let pages: Option<Vec<Elicitation>> = all.iter().take(MAX_PENDING).map(page).collect();
        pages.filter(|pages| !pages.is_empty())
    }
}

/// Builds an answer with the URLs as text: a failed tool for the model, an error for programs.
pub fn url_elicitation_response<'q>(
    call: &CallPlan,
    pages: impl IntoIterator<Item = &'q Elicitation>,
) -> ClientResponse {
    let server = &call.server().name.id;
    let lines = pages.into_iter().filter_map(|page| page.to_line(server));
    let lines: Vec<String> = lines.collect();
    let noun = call.target.noun();
    let text = format!(
        "this {noun} requires that the user visits a page first: show the user the URL, and repeat the call afterwards\n{}",
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
