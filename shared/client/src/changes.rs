//! Change feeds of a server: the GET stream of a legacy session, or `subscriptions/listen` of a modern server.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::FutureExt as _;
use toolgate_egress::HttpClient;
use toolgate_mcp::{
    Span,
    answer::Body,
    message::{self, ModernMeta},
    method, object, versions,
};

use crate::{
    conversation::{Line, scan},
    endpoint::Endpoint,
    error::ClientError,
    events::EventStream,
    reply::ReplyBody,
    send::{Headers, open_stream, send_open_ended},
};

/// Change announced by a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The tool list changed.
    Tools,
    /// The prompt list changed.
    Prompts,
    /// The resource list changed.
    Resources,
    /// This resource, or a part of a subscribed resource, was updated.
    Updated(Box<str>),
    /// Status of this task, with the params of the notification, a JSON object.
    Task(Box<str>, Bytes),
}

/// Named subscriptions that a modern server has acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Resources whose updates are announced.
    pub uris: BTreeSet<Box<str>>,
    /// Tasks whose status is announced.
    pub tasks: BTreeSet<Box<str>>,
}

/// Change feed of one server.
#[derive(Debug)]
pub struct Changes {
    stream: EventStream,
    /// Client and headers to answer requests of a legacy server on its stream; `None` for a modern server.
    answers: Option<(Line, Headers)>,
}

/// Opens the GET stream of the session in `headers` as a change feed; `None` if the server offers none.
pub async fn session_changes(
    http: &HttpClient,
    endpoint: &Endpoint,
    headers: Headers,
) -> Result<Option<Changes>, ClientError> {
    let stream = open_stream(http, endpoint, headers.clone(), None).await?;
    let line = Line {
        http: http.clone(),
        endpoint: endpoint.clone(),
    };
    Ok(stream.map(|stream| Changes {
        stream,
        answers: Some((line, headers)),
    }))
}

/// Sends `subscriptions/listen` to a modern server; `id` and `filter` are JSON. Returns `None` if the server does not
/// support it.
pub async fn listen(
    http: &HttpClient,
    endpoint: &Endpoint,
    id: &str,
    filter: &str,
    meta: &ModernMeta<'_>,
) -> Result<Option<Changes>, ClientError> {
    let headers = Headers::modern(versions::MODERN, method::LISTEN, None);
    let request = message::listen(id, filter, meta);
    let reply = send_open_ended(http, endpoint, headers, request).await?;
    if reply.status.is_success() {
        return match reply.body {
            ReplyBody::Sse(stream) => Ok(Some(Changes {
                stream: *stream,
                answers: None,
            })),
            // A JSON response is a graceful end or an error: no feed in either case.
            ReplyBody::Json(_) | ReplyBody::Accepted | ReplyBody::Other(_) => Ok(None),
        };
    }
    let problem = reply.into_problem().await;
    let unknown = |error: &toolgate_mcp::RpcError| error.code == -32601;
    if problem.rpc().is_some_and(unknown) {
        return Ok(None);
    }
    Err(problem)
}

impl Changes {
    /// Reads the acknowledgement of a modern server, which is the first message of its feed.
    pub async fn acknowledged(&mut self) -> Result<Acknowledged, ClientError> {
        let Some(message) = self.stream.message().await? else {
            let words = "the server ended the feed before it acknowledged it";
            return Err(ClientError::Protocol(words.into()));
        };
        let answer = scan(&message)?;
        match &answer.body {
            Body::Notification {
                method,
                params: Some(params),
            } if method.as_str() == method::ACKNOWLEDGED => {
                let honoured = params
                    .notifications
                    .map_or(&b"{}"[..], |at| at.of(&message));
                let named = |name: &str| {
                    let all = object::get(honoured, name).unwrap_or(b"null");
                    let all = serde_json::from_slice::<Option<BTreeSet<Box<str>>>>(all);
                    let invalid = "the server's acknowledgement is not valid";
                    let all = all.map_err(|_shape| ClientError::Protocol(invalid.into()));
                    all.map(Option::unwrap_or_default)
                };
                Ok(Acknowledged {
                    uris: named("resourceSubscriptions")?,
                    tasks: named("taskIds")?,
                })
            }
            Body::Notification { .. } | Body::Request { .. } | Body::Result(_) | Body::Error(_) => {
                let words = "the server did not acknowledge the feed";
                Err(ClientError::Protocol(words.into()))
            }
        }
    }

    /// Returns the next change already received on a feed that is being closed. Read without rate limit; unread data is
    /// lost.
    pub fn told_already(&mut self) -> Option<Change> {
        self.stream.hurry();
        self.next().now_or_never()?.ok().flatten()
    }

    /// Returns the next change; `None` when the server has ended the feed. Changes may have been missed by then. The
    /// feed is not resumed: a server is free to replay missed messages or not, and the client could not tell.
    /// Cancel-safe, except for a response to a request of a legacy server.
    pub async fn next(&mut self) -> Result<Option<Change>, ClientError> {
        while let Some(message) = self.stream.message().await? {
            let answer = scan(&message)?;
            match &answer.body {
                Body::Notification { method, params } => match method.as_str() {
                    method::RESOURCE_UPDATED => {
                        let uri = params.as_ref().and_then(|params| params.uri.as_ref());
                        if let Some(uri) = uri {
                            return Ok(Some(Change::Updated(uri.as_str().into())));
                        }
                    }
                    method::TASK_NEWS => {
                        if let Some(news) = params.as_ref().and_then(|it| task(&message, it.span)) {
                            return Ok(Some(news));
                        }
                    }
                    method::TOOLS_CHANGED => return Ok(Some(Change::Tools)),
                    method::PROMPTS_CHANGED => return Ok(Some(Change::Prompts)),
                    method::RESOURCES_CHANGED => return Ok(Some(Change::Resources)),
                    // Acknowledgements, logs, and methods of later revisions.
                    _ => {}
                },
                Body::Request { method, .. } => {
                    if let (Some((line, headers)), Some(id)) = (&self.answers, answer.id) {
                        line.refuse(headers, id.raw, method.as_str()).await;
                    }
                }
                // The response to `subscriptions/listen` is its graceful end.
                Body::Result(_) | Body::Error(_) if self.answers.is_none() => return Ok(None),
                Body::Result(_) | Body::Error(_) => {}
            }
        }
        Ok(None)
    }
}

/// Parses a task notification; `None` without a task id.
fn task(message: &Bytes, params: Span) -> Option<Change> {
    let id = object::get(params.of(message), "taskId")?;
    let id: String = serde_json::from_slice(id).ok()?;
    Some(Change::Task(id.into(), params.share(message)))
}
