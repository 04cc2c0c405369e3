//! Exchange of one request and its response, as JSON or as the last message of an event stream that may carry other
//! messages before it.

use bytes::Bytes;
use toolgate_egress::HttpClient;
use toolgate_mcp::{
    ByteSpan, FrameLimits, RpcError, ServerMessage, message, method,
    server_message::{self, ResultMembers, ServerMessageBody},
};

use crate::{
    endpoint::ServerEndpoint,
    error::ClientError,
    events::EventStream,
    reply::{ReplyBody, ServerReply, error_in},
    send::{RequestHeaders, send},
};

/// HTTP client and endpoint of one server.
#[derive(Debug, Clone)]
pub(crate) struct RpcClient {
    pub(crate) http: HttpClient,
    pub(crate) endpoint: ServerEndpoint,
}

/// Successful response.
#[derive(Debug)]
pub(crate) struct RpcResponse {
    /// Whole message.
    pub(crate) message: Bytes,
    /// Span of the result in the message.
    pub(crate) result: ByteSpan,
    /// The result's `nextCursor`.
    pub(crate) next_cursor: Option<String>,
}

/// Maximum number of messages before the response.
const MAX_BEFORE_ANSWER: usize = 1000;

impl RpcClient {
    /// Posts a request and waits for the response with its id. Requests of the server in the meantime are
    /// answered under `headers`: pings with an empty result, all others with *method not found*.
    pub(crate) async fn ask(
        &self,
        headers: RequestHeaders,
        id: &str,
        request: Bytes,
    ) -> Result<(RpcResponse, ServerReply), ClientError> {
        let mut reply = send(&self.http, &self.endpoint, headers.clone(), request).await?;
        if !reply.status.is_success() {
            return answer_without_success(reply, id).await;
        }
        let body = std::mem::replace(&mut reply.body, ReplyBody::Accepted);
        let message = match body {
            ReplyBody::Json(body) => body.bytes().await?,
            ReplyBody::Sse(mut stream) => {
                let mut received = 0;
                loop {
                    let message = self.next(&mut stream, &headers, &reply).await?;
                    let Some(message) = message else {
                        return protocol("the server's stream ended before the answer");
                    };
                    if self.is_awaited_answer(&headers, id, &message).await? {
                        break message;
                    }
                    received += 1;
                    if received == MAX_BEFORE_ANSWER {
                        return protocol("the server says too much before it answers");
                    }
                }
            }
            ReplyBody::Accepted => {
                return protocol("the server accepted a request like a notification");
            }
            ReplyBody::Other(_) => {
                return protocol("the server answered with neither JSON nor an event stream");
            }
        };
        let answer = parse_response(message, id);
        let credential = self.endpoint.credential.as_ref();
        let answer = answer.map_err(|error| error.without_values_of(credential))?;
        Ok((answer, reply))
    }

    /// Reads the next message of the response stream.
    async fn next(
        &self,
        stream: &mut EventStream,
        headers: &RequestHeaders,
        reply: &ServerReply,
    ) -> Result<Option<Bytes>, ClientError> {
        if headers.is_modern() {
            return stream.message().await;
        }
        let headers = headers.clone().with_session_of(reply);
        let Self { http, endpoint } = self;
        stream.message_in(http, endpoint, &headers).await
    }

    /// Answers a request of the server.
    pub(crate) async fn answer_server_request(
        &self,
        headers: &RequestHeaders,
        id: &str,
        method: &str,
    ) {
        let answer = if method == method::PING {
            message::response(id, "{}")
        } else {
            RpcError::method_not_found(method).to_bytes(Some(id))
        };
        // Errors are ignored: the server may no longer wait for the response.
        let headers = match headers.is_modern() {
            true => RequestHeaders::modern_response(),
            false => headers.clone(),
        };
        let _told = send(&self.http, &self.endpoint, headers, answer).await;
    }

    async fn is_awaited_answer(
        &self,
        headers: &RequestHeaders,
        id: &str,
        message: &Bytes,
    ) -> Result<bool, ClientError> {
        let answer = scan(message)?;
        if let (ServerMessageBody::Request { method, .. }, Some(server_id)) =
            (&answer.body, answer.id)
        {
            self.answer_server_request(headers, server_id.raw, method.as_str())
                .await;
        }
        // An error without an id can only belong to the stream's request.
        Ok(answer.is_final() && answer.id.is_none_or(|server_id| server_id.raw == id))
    }
}

/// Reads a response without success. A result counts under any status of 5xx: some servers send all that is about a
/// failed call with it.
async fn answer_without_success(
    mut reply: ServerReply,
    id: &str,
) -> Result<(RpcResponse, ServerReply), ClientError> {
    if !reply.status.is_server_error() || !matches!(reply.body, ReplyBody::Json(_)) {
        return Err(reply.into_problem().await);
    }
    let body = std::mem::replace(&mut reply.body, ReplyBody::Accepted);
    let ReplyBody::Json(body) = body else {
        return Err(reply.problem(None));
    };
    let Ok(message) = body.bytes().await else {
        return Err(reply.problem(None));
    };
    let result = |answer: ServerMessage<'_>| matches!(answer.body, ServerMessageBody::Result(_));
    if scan(&message).is_ok_and(result) {
        return Ok((parse_response(message, id)?, reply));
    }
    Err(reply.problem(error_in(&message)))
}

/// Posts a request, waits for a successful response and discards it. Requests of the server in the meantime are
/// rejected.
pub async fn ask(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    headers: RequestHeaders,
    id: &str,
    request: Bytes,
) -> Result<(), ClientError> {
    let rpc = RpcClient {
        http: http.clone(),
        endpoint: endpoint.clone(),
    };
    rpc.ask(headers, id, request).await.map(drop)
}

pub(crate) fn scan(message: &Bytes) -> Result<ServerMessage<'_>, ClientError> {
    // Members of lists are checked one by one later.
    server_message::scan(message, &FrameLimits::LENIENT).map_err(ClientError::from)
}

fn parse_response(message: Bytes, id: &str) -> Result<RpcResponse, ClientError> {
    let answer = scan(&message)?;
    if answer.id.is_some_and(|server_id| server_id.raw != id) {
        return protocol("the server answered another request than it was asked");
    }
    let part = match &answer.body {
        ServerMessageBody::Result(part) => part,
        ServerMessageBody::Error(span) => {
            return Err(match RpcError::parse(span.of(&message)) {
                Some(error) => ClientError::Rpc(Box::new(error)),
                None => ClientError::Protocol("the server's error is not shaped like one".into()),
            });
        }
        ServerMessageBody::Notification { .. } | ServerMessageBody::Request { .. } => {
            return protocol("the server answered with something that is no answer");
        }
    };
    let ResultMembers { span: result, .. } = *part;
    let complete = |kind: &toolgate_mcp::JsonString<'_>| kind.as_str() == "complete";
    if !part.result_type.as_ref().is_none_or(complete) {
        return protocol("the server's result is of a type that makes no sense here");
    }
    let next_cursor = part
        .next_cursor
        .as_ref()
        .map(|c| c.value.clone().into_owned());
    Ok(RpcResponse {
        result,
        next_cursor,
        message,
    })
}

fn protocol<T>(words: &'static str) -> Result<T, ClientError> {
    Err(ClientError::Protocol(words.into()))
}
