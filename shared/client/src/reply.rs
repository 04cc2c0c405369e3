//! Response heads and the kinds of body that follow.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::time::timeout;
use toolgate_egress::Answer;
use toolgate_mcp::{Limits, RpcError, answer, headers};
use toolgate_runtime::budget::Holder;

use crate::{
    body::{Deadlines, LimitedBody},
    endpoint::Endpoint,
    error::{ClientError, StatusProblem},
    events::EventStream,
};

/// Response whose head has been received.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status. A JSON body may hold a JSON-RPC error at any status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// Body of the response.
    pub body: ReplyBody,
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
const PROBLEM_BODY: usize = 64 * 1024;

/// Timeout of reading an error's body.
const PROBLEM_TIME: Duration = Duration::from_secs(5);

impl Reply {
    pub(crate) fn of(
        response: Response<Answer>,
        endpoint: &Endpoint,
        deadlines: Deadlines,
    ) -> Self {
        let (head, body) = response.into_parts();
        let (limits, held) = (endpoint.limits, endpoint.answers.as_ref());
        let limited = |body| LimitedBody::new(body, limits.message, held, deadlines);
        let kind = media_type(&head.headers);
        let body = match (head.status, kind) {
            (StatusCode::ACCEPTED | StatusCode::NO_CONTENT, _) => ReplyBody::Accepted,
            (_, Media::Json) => ReplyBody::Json(limited(body)),
            (status, Media::Sse) if status.is_success() => {
                ReplyBody::Sse(Box::new(EventStream::new(body, limits, held, deadlines)))
            }
            (_, Media::Sse | Media::Other) => ReplyBody::Other(limited(body)),
        };
        Self {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Charges the held bytes to this owner, which has only a limited part of the budget.
    #[must_use]
    pub fn held_by(mut self, holder: Holder) -> Self {
        match &mut self.body {
            ReplyBody::Json(body) | ReplyBody::Other(body) => body.held_by(holder),
            ReplyBody::Sse(events) => events.held_by(holder),
            ReplyBody::Accepted => {}
        }
        self
    }

    /// Returns the session id assigned by a legacy server.
    pub fn session(&self) -> Option<&HeaderValue> {
        self.headers.get(headers::SESSION)
    }

    /// Converts a response without success into an error, with the JSON-RPC error of its body if there is one.
    pub async fn into_problem(self) -> ClientError {
        let retry_after = self
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let rpc = match self.body {
            // Some servers omit the media type on errors.
            ReplyBody::Json(body) | ReplyBody::Other(body) => {
                timeout(PROBLEM_TIME, read_error(body)).await.ok().flatten()
            }
            ReplyBody::Sse(_) | ReplyBody::Accepted => None,
        };
        ClientError::Status(Box::new(StatusProblem {
            status: self.status,
            retry_after,
            rpc,
        }))
    }
}

async fn read_error(mut body: LimitedBody) -> Option<RpcError> {
    let mut all = Vec::new();
    while let Ok(Some(piece)) = body.piece().await {
        all.extend_from_slice(&piece);
        if all.len() > PROBLEM_BODY {
            return None;
        }
    }
    let answer = answer::scan(&all, &Limits::OF_PARTS).ok()?;
    let answer::Body::Error(span) = answer.body else {
        return None;
    };
    RpcError::read(span.of(&all))
}

enum Media {
    Json,
    Sse,
    Other,
}

fn media_type(headers: &HeaderMap) -> Media {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Media::Json
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        Media::Sse
    } else {
        Media::Other
    }
}
