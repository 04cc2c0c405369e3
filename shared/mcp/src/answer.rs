//! Scans messages sent by a server and extracts the fields that a proxy needs to forward them. No JSON tree is built: a
//! payload of a megabyte is skipped over, not parsed into values.

use bytes::Bytes;

use crate::{
    envelope::{self, Meta, Params},
    error::{FrameError, Reason},
    limits::Limits,
    object,
    scan::{Fault, Scanner, Shape},
    splice::{Edit, Span},
    text::{Id, Text},
};

/// Message received from a server.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// Bytes that were parsed. All spans point into them.
    pub source: &'a [u8],
    /// Body of the message.
    pub body: Body<'a>,
    /// Id as written. Always present on requests and successful responses; absent on an error response if the server
    /// could not determine it.
    pub id: Option<Id<'a>>,
    /// Span of the id, including an id that is `null`.
    pub id_span: Option<Span>,
    /// Span of the root object, braces included.
    pub root: Span,
}

/// Body of a [`ServerMessage`].
#[derive(Debug, Clone)]
pub enum Body<'a> {
    /// Successful response.
    Result(ResultPart<'a>),
    /// Error response: the span of the `error` object. [`RpcError::parse`](crate::RpcError::parse) parses it.
    Error(Span),
    /// Notification.
    Notification {
        /// Method name.
        method: Text<'a>,
        /// Parameters.
        params: Option<Params<'a>>,
    },
    /// Request sent by the server (legacy only).
    Request {
        /// Method name.
        method: Text<'a>,
        /// Parameters.
        params: Option<Params<'a>>,
    },
}

/// Members of `result` that are extracted.
#[derive(Debug, Clone, Default)]
pub struct ResultPart<'a> {
    /// Span of the object, braces included.
    pub span: Span,
    /// `resultType`. Absent means `complete`.
    pub result_type: Option<Text<'a>>,
    /// `isError`.
    pub is_error: bool,
    /// `nextCursor`.
    pub next_cursor: Option<Text<'a>>,
    /// Span of `structuredContent`, and `true` if it is an object.
    pub structured: Option<(Span, bool)>,
    /// `requestState`.
    pub request_state: Option<Text<'a>>,
    /// `inputRequests`, an object.
    pub input_requests: Option<Span>,
    /// `_meta`.
    pub meta: Option<Meta<'a>>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent.
    pub mistyped: Option<&'static str>,
}

/// Parses one message of a server.
pub fn scan<'a>(source: &'a [u8], limits: &Limits) -> Result<Answer<'a>, FrameError> {
    let mut parts = Parts::default();
    let mut scanner = Scanner::open(source, limits)?;
    let root = read(&mut scanner, &mut parts)?;
    let at = root.start;
    let id = parts.id;
    let id_span = id.map(|id| id.span).or(parts.null_id);
    let body = parts.judge().map_err(|reason| Fault { reason, at })?;
    Ok(Answer {
        source,
        body,
        id,
        id_span,
        root,
    })
}

#[derive(Default)]
struct Parts<'a> {
    version: bool,
    id: Option<Id<'a>>,
    null_id: Option<Span>,
    method: Option<Text<'a>>,
    params: Option<Params<'a>>,
    result: Option<ResultPart<'a>>,
    error: Option<Span>,
}

fn read<'a>(scanner: &mut Scanner<'a>, parts: &mut Parts<'a>) -> Result<Span, Fault> {
    let span = scanner.object(|scanner, name| {
        let at = scanner.pos();
        match name {
            "jsonrpc" => {
                let text = envelope::string(scanner, Reason::Version)?;
                parts.version = text.value == "2.0";
            }
            // An error response has a `null` id if the server could not read the request.
            "id" if scanner.peek() == Some(b'n') => parts.null_id = Some(scanner.value()?.0),
            "id" => {
                let id = envelope::id(scanner)?;
                parts.id = Some(id.ok_or(scanner.fault_at(Reason::Id, at))?);
            }
            "method" => parts.method = Some(envelope::string(scanner, Reason::Method)?),
            "params" if scanner.peek() == Some(b'{') => {
                parts.params = Some(envelope::params(scanner)?);
            }
            "params" => return Err(scanner.fault(Reason::Params)),
            "result" if scanner.peek() == Some(b'{') => parts.result = Some(result(scanner)?),
            "result" => return Err(scanner.fault(Reason::Shape)),
            "error" => {
                let (span, shape) = scanner.value()?;
                if shape != Shape::Object {
                    return Err(scanner.fault_at(Reason::Shape, at));
                }
                parts.error = Some(span);
            }
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok(span)
}

fn result<'a>(scanner: &mut Scanner<'a>) -> Result<ResultPart<'a>, Fault> {
    let mut part = ResultPart::default();
    let bad = &mut part.mistyped;
    part.span = scanner.object(|s, name| {
        use envelope::{keep, object, optional};
        match name {
            "nextCursor" | "requestState" | "inputRequests" | "isError"
                if s.peek() == Some(b'n') =>
            {
                // `null` is not allowed here, but some servers send it and its meaning is unambiguous.
                s.value()?;
            }
            "resultType" => keep(&mut part.result_type, optional(s)?, bad, "resultType"),
            "nextCursor" => keep(&mut part.next_cursor, optional(s)?, bad, "nextCursor"),
            "requestState" => keep(&mut part.request_state, optional(s)?, bad, "requestState"),
            "inputRequests" => keep(&mut part.input_requests, object(s)?, bad, "inputRequests"),
            "isError" => match s.value()?.1 {
                Shape::True => part.is_error = true,
                Shape::False => {}
                Shape::Object
                | Shape::Array
                | Shape::String
                | Shape::Integer
                | Shape::Float
                | Shape::Null => {
                    bad.get_or_insert("isError");
                }
            },
            "structuredContent" => {
                let (span, shape) = s.value()?;
                part.structured = Some((span, shape == Shape::Object));
            }
            "_meta" if s.peek() == Some(b'{') => part.meta = Some(envelope::meta(s)?),
            "_meta" => return Err(s.fault(Reason::Params)),
            _ => {
                s.value()?;
            }
        }
        Ok(())
    })?;
    Ok(part)
}

impl<'a> Parts<'a> {
    fn judge(self) -> Result<Body<'a>, Reason> {
        if !self.version {
            return Err(Reason::Version);
        }
        let id = self.id.is_some();
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                let params = self.params;
                Ok(if id {
                    Body::Request { method, params }
                } else {
                    Body::Notification { method, params }
                })
            }
            (None, Some(_), None) if !id => Err(Reason::Id),
            (None, Some(result), None) => Ok(Body::Result(result)),
            (None, None, Some(error)) => Ok(Body::Error(error)),
            (_, _, _) => Err(Reason::Shape),
        }
    }
}

impl<'a> Answer<'a> {
    /// Returns `true` if the message ends the request, that is, if it is a result or an error.
    pub fn is_final(&self) -> bool {
        matches!(self.body, Body::Result(_) | Body::Error(_))
    }

    /// Returns the bytes of a span.
    pub fn slice(&self, span: Span) -> &'a [u8] {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    /// Returns an edit that replaces the id by `literal`, or inserts it if the message has none.
    pub fn with_id<'e>(&self, literal: &'e str) -> Edit<'e> {
        match self.id_span {
            Some(span) => Edit::replace(span, literal.as_bytes()),
            None => object::insert(self.source, self.root, "id", literal.as_bytes()),
        }
    }
}

/// Returns the frame `source` with its id replaced by `literal`, or `None` if `source` is not a message with an id.
pub fn readdress(source: &Bytes, literal: &str, limits: &Limits) -> Option<Bytes> {
    let answer = scan(source, limits).ok()?;
    answer.id?;
    crate::splice(source, vec![answer.with_id(literal)]).ok()
}

#[cfg(test)]
mod tests;
