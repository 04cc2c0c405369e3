//! Change feeds of a server: the GET stream of a legacy session, or `subscriptions/listen` of a modern server.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::FutureExt as _;
use toolgate_egress::HttpClient;
use toolgate_mcp::{
    ByteSpan,
    message::{self, ModernRequestMeta},
    method, object,
    server_message::ServerMessageBody,
    versions,
};

use crate::{
    endpoint::ServerEndpoint,
    error::ClientError,
    events::EventStream,
    reply::ReplyBody,
    rpc_client::{RpcClient, scan},
    send::{RequestHeaders, open_stream, send_open_ended},
};

/// Change announced by a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerChange {
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
pub struct ListenAcknowledgement {
    /// Resources whose updates are announced.
    pub uris: BTreeSet<Box<str>>,
    /// Tasks whose status is announced.
    pub tasks: BTreeSet<Box<str>>,
}

/// Change feed of one server.
#[derive(Debug)]
pub struct ServerChangeFeed {
    stream: EventStream,
    /// Client and headers to answer requests of the server on its stream.
    responder: (RpcClient, RequestHeaders),
}

/// Opens the GET stream of the session in `headers` as a change feed; `None` if the server offers none.
pub async fn session_changes(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    headers: RequestHeaders,
) -> Result<Option<ServerChangeFeed>, ClientError> {
    let stream = open_stream(http, endpoint, headers.clone(), None).await?;
    let rpc = RpcClient {
        http: http.clone(),
        endpoint: endpoint.clone(),
    };
    Ok(stream.map(|stream| ServerChangeFeed {
        stream,
        responder: (rpc, headers),
    }))
}

/// Sends `subscriptions/listen` to a modern server; `id` and `filter` are JSON. Returns `None` if the server does not
/// support it.
pub async fn listen(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    id: &str,
    filter: &str,
    meta: &ModernRequestMeta<'_>,
) -> Result<Option<ServerChangeFeed>, ClientError> {
    let headers = RequestHeaders::modern(versions::MODERN, method::LISTEN, None);
    let request = message::listen(id, filter, meta);
    let reply = send_open_ended(http, endpoint, headers.clone(), request).await?;
    let rpc = RpcClient {
        http: http.clone(),
        endpoint: endpoint.clone(),
    };
    if reply.status.is_success() {
        return match reply.body {
            ReplyBody::Sse(stream) => Ok(Some(ServerChangeFeed {
                stream: *stream,
                responder: (rpc, headers),
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

impl ServerChangeFeed {
    /// Reads the acknowledgement of a modern server, which is the first message of its feed.
    pub async fn acknowledged(&mut self) -> Result<ListenAcknowledgement, ClientError> {
        let Some(message) = self.stream.message().await? else {
            let words = "the server ended the feed before it acknowledged it";
            return Err(ClientError::Protocol(words.into()));
        };
        let answer = scan(&message)?;
        match &answer.body {
            ServerMessageBody::Notification {
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
                Ok(ListenAcknowledgement {
                    uris: named("resourceSubscriptions")?,
                    tasks: named("taskIds")?,
                })
            }
            ServerMessageBody::Notification { .. }
            | ServerMessageBody::Request { .. }
            | ServerMessageBody::Result(_)
            | ServerMessageBody::Error(_) => {
                let words = "the server did not acknowledge the feed";
                Err(ClientError::Protocol(words.into()))
            }
        }
    }

    /// Returns the next change already received on a feed that is being closed. Read without rate limit; unread data is
    /// lost.
    pub fn next_buffered(&mut self) -> Option<ServerChange> {
        self.stream.read_buffered_only();
        self.next().now_or_never()?.ok().flatten()
    }

    /// Returns the next change; `None` when the server has ended the feed. Changes may have been missed by then. The
    /// feed is not resumed: a server is free to replay missed messages or not, and the client could not tell.
    /// Cancel-safe, except for a response to a request of the server.
    pub async fn next(&mut self) -> Result<Option<ServerChange>, ClientError> {
        while let Some(message) = self.stream.message().await? {
            let answer = scan(&message)?;
            match &answer.body {
                ServerMessageBody::Notification { method, params } => match method.as_str() {
                    method::RESOURCE_UPDATED => {
                        let uri = params.as_ref().and_then(|params| params.uri.as_ref());
                        if let Some(uri) = uri {
                            return Ok(Some(ServerChange::Updated(uri.as_str().into())));
                        }
                    }
                    method::TASK_NOTIFICATION => {
                        if let Some(change) = params.as_ref().and_then(|it| task(&message, it.span))
                        {
                            return Ok(Some(change));
                        }
                    }
                    method::TOOLS_CHANGED => return Ok(Some(ServerChange::Tools)),
                    method::PROMPTS_CHANGED => return Ok(Some(ServerChange::Prompts)),
                    method::RESOURCES_CHANGED => return Ok(Some(ServerChange::Resources)),
                    // Acknowledgements, logs, and methods of later revisions.
                    _ => {}
                },
                ServerMessageBody::Request { method, .. } => {
                    if let Some(id) = answer.id {
                        let (rpc, headers) = &self.responder;
                        rpc.answer_server_request(headers, id.raw, method.as_str())
                            .await;
                    }
                }
                // The response to `subscriptions/listen` is its graceful end.
                ServerMessageBody::Result(_) | ServerMessageBody::Error(_)
                    if self.responder.1.is_modern() =>
                {
                    return Ok(None);
                }
                ServerMessageBody::Result(_) | ServerMessageBody::Error(_) => {}
            }
        }
        Ok(None)
    }
}

/// Parses a task notification; `None` without a task id.
fn task(message: &Bytes, params: ByteSpan) -> Option<ServerChange> {
    let id = object::get(params.of(message), "taskId")?;
    let id: String = serde_json::from_slice(id).ok()?;
    Some(ServerChange::Task(id.into(), params.slice_bytes(message)))
}
