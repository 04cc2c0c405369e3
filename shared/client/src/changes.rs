//! A server's feed of changes: the GET stream of a legacy session, `subscriptions/listen` of a modern server.

use std::collections::BTreeSet;

use bytes::Bytes;
use toolgate_egress::HttpClient;
use toolgate_mcp::{
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
    /// Of a modern server: which updates of resources it will tell, which is the first thing it says.
    pub async fn acknowledged(&mut self) -> Result<BTreeSet<Box<str>>, ClientError> {
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
                let uris = object::get(honoured, "resourceSubscriptions").unwrap_or(b"[]");
                serde_json::from_slice(uris).map_err(|_shape| {
                    ClientError::Protocol("the server's acknowledgement is not valid".into())
                })
            }
            Body::Notification { .. } | Body::Request { .. } | Body::Result(_) | Body::Error(_) => {
                let words = "the server did not acknowledge the feed";
                Err(ClientError::Protocol(words.into()))
            }
        }
    }

    /// The next change; none when the server has ended the feed. Changes may have been missed then. Cancel-safe, but for
    /// an answer to what a legacy server asks.
    pub async fn next(&mut self) -> Result<Option<Change>, ClientError> {
        while let Some(message) = self.message().await? {
            let answer = scan(&message)?;
            match &answer.body {
                Body::Notification { method, params } => match method.as_str() {
                    method::RESOURCE_UPDATED => {
                        let uri = params.as_ref().and_then(|params| params.uri.as_ref());
                        if let Some(uri) = uri {
                            return Ok(Some(Change::Updated(uri.as_str().into())));
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

    /// A stream of a session that ends is taken up: what changed meanwhile is told then.
    async fn message(&mut self) -> Result<Option<Bytes>, ClientError> {
        match &self.answers {
            Some((Line { http, endpoint }, headers)) => {
                self.stream.message_in(http, endpoint, headers).await
            }
            None => self.stream.message().await,
        }
    }
}
