//! Scans messages sent by a server and extracts the fields that a proxy needs to forward them. No JSON tree is built: a
//! payload of a megabyte is skipped over, not parsed into values.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    case_folding::ROOT,
    case_variants,
    envelope::{self, MessageMeta, MessageParams},
    error::{FrameError, FrameErrorKind},
    limits::FrameLimits,
    object,
    protocol_members::{self, ERROR, MemberValue, ProtocolObject, RESULT},
    scan::{JsonScanner, ScanError, ValueType},
    splice::{ByteEdit, ByteSpan},
    text::{JsonRpcId, JsonString},
};

/// Message received from a server.
#[derive(Debug, Clone)]
pub struct ServerMessage<'a> {
    /// Bytes that were parsed. All spans point into them.
    pub source: &'a [u8],
    /// Body of the message.
    pub body: ServerMessageBody<'a>,
    /// Id as written. Always present on requests and successful responses; absent on an error response if the server
    /// could not determine it.
    pub id: Option<JsonRpcId<'a>>,
    /// Span of the id, including an id that is `null`.
    pub id_span: Option<ByteSpan>,
    /// Span of the root object, braces included.
    pub root: ByteSpan,
    /// True if `result` or `error` has members whose names differ from those of the protocol by case only.
    has_case_variants: bool,
}

/// Body of a [`ServerMessage`].
#[derive(Debug, Clone)]
pub enum ServerMessageBody<'a> {
    /// Successful response.
    Result(ResultMembers<'a>),
    /// Error response: the span of the `error` object. [`RpcError::parse`](crate::RpcError::parse) parses it.
    Error(ByteSpan),
    /// Notification.
    Notification {
        /// Method name.
        method: JsonString<'a>,
        /// Parameters.
        params: Option<MessageParams<'a>>,
    },
    /// Request sent by the server (legacy only).
    Request {
        /// Method name.
        method: JsonString<'a>,
        /// Parameters.
        params: Option<MessageParams<'a>>,
    },
}

/// Members of `result` that are extracted.
#[derive(Debug, Clone, Default)]
pub struct ResultMembers<'a> {
    /// Span of the object, braces included.
    pub span: ByteSpan,
    /// `resultType`. Absent means `complete`.
    pub result_type: Option<JsonString<'a>>,
    /// `isError`.
    pub is_error: bool,
    /// `nextCursor`.
    pub next_cursor: Option<JsonString<'a>>,
    /// Span of `structuredContent`, and `true` if it is an object.
    pub structured: Option<(ByteSpan, bool)>,
    /// `requestState`.
    pub request_state: Option<JsonString<'a>>,
    /// `inputRequests`, an object.
    pub input_requests: Option<ByteSpan>,
    /// `_meta`.
    pub meta: Option<MessageMeta<'a>>,
    /// Members that are `null` although their type is another one. They count as absent, as far as the schema has them
    /// optional.
    pub null_members: Vec<&'static str>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent.
    pub mistyped: Option<&'static str>,
}

/// Members of results that some servers set to `null`. The lifetime of a task (`ttlMs`) is not among them: its schema
/// allows `null`.
const NULLABLE: [&str; 8] = [
    "_meta",
    "resultType",
    "isError",
    "nextCursor",
    "requestState",
    "inputRequests",
    "description",
    "content",
];

/// Parses one message of a server.
pub fn scan<'a>(source: &'a [u8], limits: &FrameLimits) -> Result<ServerMessage<'a>, FrameError> {
    let mut parts = MessageMembers::default();
    let mut scanner = JsonScanner::open(source, limits)?;
    let root = read(&mut scanner, &mut parts)?;
    let at = root.start;
    let id = parts.id;
    let id_span = id.map(|id| id.span).or(parts.null_id);
    let has_case_variants = parts.has_case_variants;
    let body = parts
        .validate()
        .map_err(|reason| ScanError { reason, at })?;
    Ok(ServerMessage {
        source,
        body,
        id,
        id_span,
        root,
        has_case_variants,
    })
}

#[derive(Default)]
struct MessageMembers<'a> {
    version: bool,
    id: Option<JsonRpcId<'a>>,
    null_id: Option<ByteSpan>,
    method: Option<JsonString<'a>>,
    params: Option<MessageParams<'a>>,
    result: Option<ResultMembers<'a>>,
    error: Option<ByteSpan>,
    has_case_variants: bool,
}

fn read<'a>(
    scanner: &mut JsonScanner<'a>,
    parts: &mut MessageMembers<'a>,
) -> Result<ByteSpan, ScanError> {
    let span = scanner.object(|scanner, name| {
        let at = scanner.pos();
        match name {
            "jsonrpc" => {
                let text = envelope::string(scanner, FrameErrorKind::Version)?;
                parts.version = text.value == "2.0";
            }
            // An error response has a `null` id if the server could not read the request.
            "id" if scanner.peek() == Some(b'n') => parts.null_id = Some(scanner.value()?.0),
            "id" => parts.id = Some(envelope::message_id(scanner)?),
            "method" => parts.method = Some(envelope::string(scanner, FrameErrorKind::Method)?),
            "params" if scanner.peek() == Some(b'{') => {
                parts.params = Some(envelope::params(scanner)?);
            }
            "params" if scanner.limits().null_members && scanner.peek() == Some(b'n') => {
                scanner.value()?;
            }
            "params" => return Err(scanner.error(FrameErrorKind::Params)),
            "result" if scanner.peek() == Some(b'{') => {
                parts.result = Some(result(scanner, &mut parts.has_case_variants)?);
            }
            "result" => return Err(scanner.error(FrameErrorKind::Shape)),
            "error" => {
                let error = MemberValue::Objects(&ERROR);
                let (span, shape) = scanner.protocol_value(error, &mut parts.has_case_variants)?;
                if shape != ValueType::Object {
                    return Err(scanner.error_at(FrameErrorKind::Shape, at));
                }
                parts.error = Some(span);
            }
            _ => envelope::skip_unknown(scanner, name, ROOT)?,
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok(span)
}

fn result<'a>(
    scanner: &mut JsonScanner<'a>,
    has_case_variants: &mut bool,
) -> Result<ResultMembers<'a>, ScanError> {
    let mut part = ResultMembers::default();
    let bad = &mut part.mistyped;
    part.span = scanner.object(|s, name| {
        use envelope::{assign_member, optional_object, optional_string};
        if s.limits().null_members
            && s.peek() == Some(b'n')
            && let Some(known) = NULLABLE.into_iter().find(|known| *known == name)
        {
            s.value()?;
            part.null_members.push(known);
            return Ok(());
        }
        match name {
            "resultType" => assign_member(
                &mut part.result_type,
                optional_string(s)?,
                bad,
                "resultType",
            ),
            "nextCursor" => assign_member(
                &mut part.next_cursor,
                optional_string(s)?,
                bad,
                "nextCursor",
            ),
            "requestState" => assign_member(
                &mut part.request_state,
                optional_string(s)?,
                bad,
                "requestState",
            ),
            "inputRequests" => assign_member(
                &mut part.input_requests,
                optional_object(s)?,
                bad,
                "inputRequests",
            ),
            "isError" => match s.value()?.1 {
                ValueType::True => part.is_error = true,
                ValueType::False => {}
                ValueType::Object
                | ValueType::Array
                | ValueType::String
                | ValueType::Integer
                | ValueType::Float
                | ValueType::Null => {
                    bad.get_or_insert("isError");
                }
            },
            "structuredContent" => {
                let (span, shape) = s.value()?;
                part.structured = Some((span, shape == ValueType::Object));
            }
            "_meta" if s.peek() == Some(b'{') => part.meta = Some(envelope::meta(s)?),
            "_meta" => return Err(s.error(FrameErrorKind::Params)),
            _ => {
                s.protocol_member(&RESULT, name, has_case_variants)?;
            }
        }
        Ok(())
    })?;
    Ok(part)
}

impl<'a> MessageMembers<'a> {
    fn validate(self) -> Result<ServerMessageBody<'a>, FrameErrorKind> {
        if !self.version {
            return Err(FrameErrorKind::Version);
        }
        let id = self.id.is_some();
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                let params = self.params;
                Ok(if id {
                    ServerMessageBody::Request { method, params }
                } else {
                    ServerMessageBody::Notification { method, params }
                })
            }
            (None, Some(_), None) if !id => Err(FrameErrorKind::Id),
            (None, Some(result), None) => Ok(ServerMessageBody::Result(result)),
            (None, None, Some(error)) => Ok(ServerMessageBody::Error(error)),
            (_, _, _) => Err(FrameErrorKind::Shape),
        }
    }
}

impl<'a> ServerMessage<'a> {
    /// Returns `true` if the message ends the request, that is, if it is a result or an error.
    pub fn is_final(&self) -> bool {
        matches!(
            self.body,
            ServerMessageBody::Result(_) | ServerMessageBody::Error(_)
        )
    }

    /// Returns the bytes of a span.
    pub fn slice(&self, span: ByteSpan) -> &'a [u8] {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    /// Returns the message without members whose names differ from those of the protocol by case only, in its result, its
    /// error, or the parameters of a notification: a client that ignores case would read another message. Returns `None` if
    /// it has none. Requests are not changed: the requests of servers are read whole before a client gets them.
    pub fn without_case_variants(&self) -> Option<Result<Bytes, FrameErrorKind>> {
        let (span, kind): (ByteSpan, &'static ProtocolObject) = match &self.body {
            ServerMessageBody::Result(result) if self.has_case_variants => (result.span, &RESULT),
            ServerMessageBody::Error(error) if self.has_case_variants => (*error, &ERROR),
            ServerMessageBody::Notification {
                method,
                params: Some(params),
            } => (params.span, protocol_members::of_params(method.as_str())?),
            ServerMessageBody::Result(_)
            | ServerMessageBody::Error(_)
            | ServerMessageBody::Notification { .. }
            | ServerMessageBody::Request { .. } => return None,
        };
        let removed = match case_variants::removed(self.slice(span), kind) {
            Ok(Cow::Borrowed(_)) => return None,
            Ok(Cow::Owned(removed)) => removed,
            Err(ambiguous) => return Some(Err(ambiguous)),
        };
        let edit = ByteEdit::replace(span, removed);
        let message = crate::splice(self.source, vec![edit]);
        Some(message.map_err(|_outside| FrameErrorKind::Shape))
    }

    /// Returns an edit that replaces the id by `literal`, or inserts it if the message has none.
    pub fn with_id<'e>(&self, literal: &'e str) -> ByteEdit<'e> {
        match self.id_span {
            Some(span) => ByteEdit::replace(span, literal.as_bytes()),
            None => object::insert(self.source, self.root, "id", literal.as_bytes()),
        }
    }
}

/// Returns the frame `source` with its id replaced by `literal`, or `None` if `source` is not a message with an id.
pub fn replace_id(source: &Bytes, literal: &str, limits: &FrameLimits) -> Option<Bytes> {
    let answer = scan(source, limits).ok()?;
    answer.id?;
    crate::splice(source, vec![answer.with_id(literal)]).ok()
}

#[cfg(test)]
mod tests;
