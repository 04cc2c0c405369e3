//! Response heads and the kinds of body that follow.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::time::timeout;
use toolgate_egress::EgressResponseBody;
use toolgate_mcp::{FrameLimits, RpcError, headers, server_message};
use toolgate_runtime::budget::BudgetOwner;

use crate::{
    body::{LimitedBody, ReadDeadlines},
    content_coding::{ContentCoding, DecodedBody},
    endpoint::ServerEndpoint,
    error::{ClientError, StatusProblem},
    events::EventStream,
    presented::PresentedCredential,
};

/// Response whose head has been received.
#[derive(Debug)]
pub struct ServerReply {
    /// HTTP status. A JSON body may hold a JSON-RPC error at any status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// Body of the response.
    pub body: ReplyBody,
    /// Credential of the request, whose values an error must not show.
    pub(crate) credential: Option<PresentedCredential>,
}

/// Body of a response by kind.
#[derive(Debug)]
pub enum ReplyBody {
    /// JSON document.
    Json(LimitedBody),
    /// Event stream.
    Sse(Box<EventStream>),
    /// No relevant content: 202 Accepted or 204 No Content.
    Accepted,
    /// Any other content.
    Other(LimitedBody),
}

/// Maximum size of an error's body in bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// Timeout of reading an error's body.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

impl ServerReply {
    pub(crate) fn of(
        response: Response<EgressResponseBody>,
        endpoint: &ServerEndpoint,
        deadlines: ReadDeadlines,
    ) -> Self {
        let (head, body) = response.into_parts();
        let body = DecodedBody::new(body, ContentCoding::of(&head.headers));
        let (limits, held) = (endpoint.limits, endpoint.response_budget.as_ref());
        let refused = (!head.status.is_success())
            .then_some(endpoint.credential.as_ref())
            .flatten();
        let limited =
            |body| LimitedBody::new(body, limits.message, held, deadlines).hide_values_of(refused);
        let kind = media_type(&head.headers);
        let body = match (head.status, kind) {
            (StatusCode::ACCEPTED | StatusCode::NO_CONTENT, _) => ReplyBody::Accepted,
            (_, MediaType::Json) => ReplyBody::Json(limited(body)),
            (status, MediaType::Sse) if status.is_success() => {
                ReplyBody::Sse(Box::new(EventStream::new(body, limits, held, deadlines)))
            }
            (_, MediaType::Sse | MediaType::Other) => ReplyBody::Other(limited(body)),
        };
        Self {
            status: head.status,
            headers: head.headers,
            body,
            credential: endpoint.credential.clone(),
        }
    }

    /// Charges the held bytes to this owner, which has only a limited part of the budget.
    #[must_use]
    pub fn charge_to(mut self, holder: BudgetOwner) -> Self {
        match &mut self.body {
            ReplyBody::Json(body) | ReplyBody::Other(body) => body.charge_to(holder),
            ReplyBody::Sse(events) => events.charge_to(holder),
            ReplyBody::Accepted => {}
        }
        self
    }

    /// Returns the session id assigned by a legacy server.
    pub fn session(&self) -> Option<&HeaderValue> {
        self.headers.get(headers::SESSION)
    }

    /// Converts a response without success into an error, with the JSON-RPC error of its body if there is one.
    pub async fn into_problem(mut self) -> ClientError {
        let rpc = match std::mem::replace(&mut self.body, ReplyBody::Accepted) {
            // Some servers omit the media type on errors.
            ReplyBody::Json(body) | ReplyBody::Other(body) => {
                timeout(ERROR_BODY_TIMEOUT, read_error(body))
                    .await
                    .ok()
                    .flatten()
            }
            ReplyBody::Sse(_) | ReplyBody::Accepted => None,
        };
        self.problem(rpc)
    }

    /// Returns the status as an error, with the JSON-RPC error of a body that was read.
    pub(crate) fn problem(&self, rpc: Option<RpcError>) -> ClientError {
        let retry_after = self
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let problem = ClientError::Status(Box::new(StatusProblem {
            status: self.status,
            retry_after,
            rpc,
        }));
        problem.without_values_of(self.credential.as_ref())
    }
}

async fn read_error(mut body: LimitedBody) -> Option<RpcError> {
    let mut all = Vec::new();
    while let Ok(Some(piece)) = body.chunk().await {
        all.extend_from_slice(&piece);
        if all.len() > MAX_ERROR_BODY {
            return None;
        }
    }
    error_in(&all)
}

/// Returns the JSON-RPC error in a body.
pub(crate) fn error_in(body: &[u8]) -> Option<RpcError> {
    let answer = server_message::scan(body, &FrameLimits::LENIENT).ok()?;
    let server_message::ServerMessageBody::Error(span) = answer.body else {
        return None;
    };
    RpcError::parse(span.of(body))
}

enum MediaType {
    Json,
    Sse,
    Other,
}

fn media_type(headers: &HeaderMap) -> MediaType {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        MediaType::Json
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        MediaType::Sse
    } else {
        MediaType::Other
    }
}
