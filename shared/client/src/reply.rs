//! The head of an answer, and what kind of body follows.

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

/// An answer whose head has come.
#[derive(Debug)]
pub struct Reply {
    /// Its status; a JSON body may hold a JSON-RPC error at any.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// What follows.
    pub body: ReplyBody,
}

/// What follows the head of an answer.
#[derive(Debug)]
pub enum ReplyBody {
    /// One JSON document.
    Json(LimitedBody),
    /// A stream of events.
    Sse(Box<EventStream>),
    /// Nothing that matters: accepted (202), or no content (204).
    Accepted,
    /// Neither.
    Other(LimitedBody),
}

/// How much of an error's body is read.
const PROBLEM_BODY: usize = 64 * 1024;

/// How long an error's body is waited for.
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

    /// What is held of it is held by this one, who has no more than a share of all that may be.
    #[must_use]
    pub fn held_by(mut self, holder: Holder) -> Self {
        match &mut self.body {
            ReplyBody::Json(body) | ReplyBody::Other(body) => body.held_by(holder),
            ReplyBody::Sse(events) => events.held_by(holder),
            ReplyBody::Accepted => {}
        }
        self
    }

    /// The session id that a legacy server assigns.
    pub fn session(&self) -> Option<&HeaderValue> {
        self.headers.get(headers::SESSION)
    }

    /// What is wrong with an answer that is no success, with the JSON-RPC error of its body where there is one.
    pub async fn into_problem(self) -> ClientError {
        let retry_after = self
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let rpc = match self.body {
            // Some servers forget the media type on errors.
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
