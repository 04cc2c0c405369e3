//! A server's feed of changes: the GET stream of a legacy session, `subscriptions/listen` of a modern server.

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

/// What a server says has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its tools.
    Tools,
    /// Its prompts.
    Prompts,
    /// Its resources.
    Resources,
    /// This resource, or a part of one that was asked for.
    Updated(Box<str>),
    /// This task has come so far: the parameters of the notice, an object.
    Task(Box<str>, Bytes),
}

/// What a modern server will tell of what was asked for by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Updates of these resources.
    pub uris: BTreeSet<Box<str>>,
    /// How far these tasks have come.
    pub tasks: BTreeSet<Box<str>>,
}

/// A feed of changes.
#[derive(Debug)]
pub struct Changes {
    stream: EventStream,
    /// For what a legacy server asks on its stream.
    answers: Option<(Line, Headers)>,
}

/// The own stream of the session that `headers` name, as a feed of changes; nothing if the server has none.
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

/// Listens to a modern server: `id` and `filter` are JSON. Nothing if it does not offer that.
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
            // A JSON answer is a graceful end, or an error: no feed either way.
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
    /// Of a modern server: what it will tell, which is the first thing it says.
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

    /// What has come of a feed that is given up, one by one. It is not read at leisure: what is left is lost.
    pub fn told_already(&mut self) -> Option<Change> {
        self.stream.hurry();
        self.next().now_or_never()?.ok().flatten()
    }

    /// The next change; none when the server has ended the feed. Changes may have been missed then, so it is not taken up
    /// where it ended: a server may replay what was said meanwhile and need not, and nobody would know. Cancel-safe, but for
    /// an answer to what a legacy server asks.
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
                    // Acknowledgement, logs, and what later revisions may bring.
                    _ => {}
                },
                Body::Request { method, .. } => {
                    if let (Some((line, headers)), Some(id)) = (&self.answers, answer.id) {
                        line.refuse(headers, id.raw, method.as_str()).await;
                    }
                }
                // The answer to `subscriptions/listen` is its graceful end.
                Body::Result(_) | Body::Error(_) if self.answers.is_none() => return Ok(None),
                Body::Result(_) | Body::Error(_) => {}
            }
        }
        Ok(None)
    }
}

/// The news of a task, if they say of which.
fn task(message: &Bytes, params: Span) -> Option<Change> {
    let id = object::get(params.of(message), "taskId")?;
    let id: String = serde_json::from_slice(id).ok()?;
    Some(Change::Task(id.into(), params.share(message)))
}
