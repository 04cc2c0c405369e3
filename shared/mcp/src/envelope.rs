//! Parser of JSON-RPC frames sent by clients. A frame is parsed once, strictly and without copying. The payload stays
//! raw; the fields that routing and policy need are extracted with their spans, so that exactly those bytes can be
//! replaced.
//!
//! Rejected are: anything but a single object; duplicate names in the root, `params` or `_meta`, however they are
//! escaped; ids that are neither string nor integer; and frames that exceed [`FrameLimits`].

use std::borrow::Cow;

use crate::{
    error::{FrameError, Reason},
    limits::Limits,
    lookalike::{self, META, PARAMS, REFERENCE, ROOT},
    method,
    object::{self, Members},
    scan::{Fault, Scanner, Shape},
    splice::{Edit, Span},
    text::{Id, Text},
};

/// Kind of JSON-RPC message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Request, which expects a response.
    Request,
    /// Notification, which expects no response.
    Notification,
    /// Response, successful or not.
    Response,
}

/// Parsed JSON-RPC frame.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// Bytes that were parsed. All spans point into them.
    pub source: &'a [u8],
    /// Kind of the message.
    pub kind: Kind,
    /// Id. Always present on requests and responses.
    pub id: Option<Id<'a>>,
    /// Method. Always present on requests and notifications.
    pub method: Option<Text<'a>>,
    /// Parameters of a request or notification.
    pub params: Option<Params<'a>>,
    /// Result of a successful response.
    pub result: Option<Span>,
    /// Error object of an error response.
    pub error: Option<Span>,
    /// Span of the root object, braces included.
    pub root: Span,
}

/// Members of `params` that are extracted. Members of the same names in nested objects, such as `arguments`, are not
/// considered.
#[derive(Debug, Clone, Default)]
pub struct Params<'a> {
    /// Span of the object, braces included.
    pub span: Span,
    /// `name` of a tool or prompt.
    pub name: Option<Text<'a>>,
    /// `uri` of a resource.
    pub uri: Option<Text<'a>>,
    /// `taskId`.
    pub task_id: Option<Text<'a>>,
    /// `cursor`. An empty string is a valid cursor.
    pub cursor: Option<Text<'a>>,
    /// `arguments`, an object.
    pub arguments: Option<Span>,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<Text<'a>>,
    /// `capabilities` of `initialize`, an object.
    pub capabilities: Option<Span>,
    /// `clientInfo` of `initialize`, an object.
    pub client_info: Option<Span>,
    /// `level` of `logging/setLevel`.
    pub level: Option<Text<'a>>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<Id<'a>>,
    /// `progressToken` of `notifications/progress`.
    pub progress_token: Option<Id<'a>>,
    /// `notifications`, the filter of `subscriptions/listen`, an object.
    pub notifications: Option<Span>,
    /// `requestState` of a retried request.
    pub request_state: Option<Text<'a>>,
    /// `inputResponses` of a retried request, of any type.
    pub input_responses: Option<Span>,
    /// `ref` of `completion/complete`.
    pub reference: Option<Reference<'a>>,
    /// `argument` of `completion/complete`, an object.
    pub argument: Option<Span>,
    /// `_meta`.
    pub meta: Option<Meta<'a>>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent. The request is to
    /// be answered with `-32602` once its method is known to be supported.
    pub mistyped: Option<&'static str>,
}

/// Reference in `params.ref` of `completion/complete`.
#[derive(Debug, Clone, Default)]
pub struct Reference<'a> {
    /// Span of the object, braces included.
    pub span: Span,
    /// `type`.
    pub kind: Option<Text<'a>>,
    /// `name` of a prompt.
    pub name: Option<Text<'a>>,
    /// `uri` of a resource, or a URI template.
    pub uri: Option<Text<'a>>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent.
    pub mistyped: Option<&'static str>,
}

/// Members of `_meta` that are extracted.
#[derive(Debug, Clone, Default)]
pub struct Meta<'a> {
    /// Span of the object, braces included.
    pub span: Span,
    /// `io.modelcontextprotocol/protocolVersion`.
    pub protocol_version: Option<Text<'a>>,
    /// `io.modelcontextprotocol/clientCapabilities`, an object.
    pub client_capabilities: Option<Span>,
    /// `io.modelcontextprotocol/clientInfo`, an object.
    pub client_info: Option<Span>,
    /// `io.modelcontextprotocol/logLevel`.
    pub log_level: Option<Text<'a>>,
    /// `io.modelcontextprotocol/subscriptionId`: the literal of the id of the listen request.
    pub subscription_id: Option<Id<'a>>,
    /// `progressToken`, a string or an integer, as written.
    pub progress_token: Option<Id<'a>>,
    /// `traceparent`.
    pub traceparent: Option<Text<'a>>,
    /// `tracestate`.
    pub tracestate: Option<Text<'a>>,
    /// `baggage`.
    pub baggage: Option<Text<'a>>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent.
    pub mistyped: Option<&'static str>,
}

/// Parses one frame.
pub fn parse<'a>(source: &'a [u8], limits: &Limits) -> Result<Envelope<'a>, FrameError> {
    let mut root = Root::default();
    let mut scanner = Scanner::open(source, limits)?;
    read(&mut scanner, &mut root)
        .map_err(FrameError::from)
        .and_then(|span| root.judge(source, span))
        .map_err(|error| FrameError {
            id: root.id.map(|id| Box::from(id.raw)),
            ..error
        })
}

/// Members of the root object read so far.
#[derive(Default)]
struct Root<'a> {
    version: bool,
    id: Option<Id<'a>>,
    method: Option<Text<'a>>,
    params: Option<Params<'a>>,
    result: Option<Span>,
    error: Option<Span>,
}

fn read<'a>(scanner: &mut Scanner<'a>, root: &mut Root<'a>) -> Result<Span, Fault> {
    let span = scanner.object(|scanner, name| {
        let at = scanner.pos();
        match name {
            "jsonrpc" => {
                let text = string(scanner, Reason::Version)?;
                if text.value != "2.0" {
                    return Err(scanner.fault_at(Reason::Version, at));
                }
                root.version = true;
            }
            "id" => root.id = Some(id(scanner)?.ok_or(scanner.fault_at(Reason::Id, at))?),
            "method" => root.method = Some(string(scanner, Reason::Method)?),
            "params" => {
                if scanner.peek() != Some(b'{') {
                    return Err(scanner.fault(Reason::Params));
                }
                root.params = Some(params(scanner)?);
            }
            "result" => root.result = Some(scanner.value()?.0),
            "error" => {
                let (span, shape) = scanner.value()?;
                if shape != Shape::Object {
                    return Err(scanner.fault_at(Reason::Shape, at));
                }
                root.error = Some(span);
            }
            _ => unknown(scanner, name, ROOT)?,
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok(span)
}

impl<'a> Root<'a> {
    fn judge(&mut self, source: &'a [u8], span: Span) -> Result<Envelope<'a>, FrameError> {
        let fault = |reason| {
            let at = span.start;
            FrameError::from(Fault { reason, at })
        };
        if !self.version {
            return Err(fault(Reason::Version));
        }
        let answered = self.result.is_some() || self.error.is_some();
        let kind = match (&self.method, self.id) {
            (Some(_), _) if answered => return Err(fault(Reason::Shape)),
            (Some(_), Some(_)) => Kind::Request,
            (Some(_), None) => Kind::Notification,
            (None, None) if answered => return Err(fault(Reason::Id)),
            (None, Some(_)) if self.result.is_some() != self.error.is_some() => Kind::Response,
            (None, Some(_) | None) => return Err(fault(Reason::Shape)),
        };
        Ok(Envelope {
            source,
            kind,
            id: self.id,
            method: self.method.take(),
            params: self.params.take(),
            result: self.result,
            error: self.error,
            root: span,
        })
    }
}

/// Reads a string. Fails with `reason` if the value is not a string.
pub(crate) fn string<'a>(scanner: &mut Scanner<'a>, reason: Reason) -> Result<Text<'a>, Fault> {
    let start = scanner.pos();
    if scanner.peek() != Some(b'"') {
        return Err(scanner.fault(reason));
    }
    let escaped = scanner.string()?;
    let span = Span::new(start, scanner.pos());
    let value = scanner.unquote(span, escaped);
    Ok(Text { value, span })
}

/// Reads a string or integer. Returns `None` if the value is of another type or too long.
pub(crate) fn id<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Id<'a>>, Fault> {
    let (span, shape) = scanner.value()?;
    let fits = span.len() <= scanner.limits().id;
    let raw = scanner.text(span);
    let id = Id { raw, span };
    Ok((fits && matches!(shape, Shape::String | Shape::Integer)).then_some(id))
}

pub(crate) fn optional<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Text<'a>>, Fault> {
    if scanner.peek() == Some(b'"') {
        return string(scanner, Reason::Syntax).map(Some);
    }
    scanner.value()?;
    Ok(None)
}

pub(crate) fn object<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Span>, Fault> {
    let (span, shape) = scanner.value()?;
    Ok((shape == Shape::Object).then_some(span))
}

/// Skips a member that is not extracted. Fails if its name equals an extracted name up to case: a parser that ignores
/// case would then read a different message from the one checked here.
fn unknown(scanner: &mut Scanner<'_>, name: &str, known: &[&str]) -> Result<(), Fault> {
    if known
        .iter()
        .any(|known| lookalike::same_but_for_case(name, known))
    {
        return Err(scanner.fault(Reason::LookAlike));
    }
    scanner.value()?;
    Ok(())
}

/// Stores a value, or records that the member has the wrong type.
pub(crate) fn keep<T>(
    place: &mut Option<T>,
    read: Option<T>,
    mistyped: &mut Option<&'static str>,
    name: &'static str,
) {
    if read.is_none() {
        mistyped.get_or_insert(name);
    }
    *place = read;
}

pub(crate) fn params<'a>(scanner: &mut Scanner<'a>) -> Result<Params<'a>, Fault> {
    let mut p = Params::default();
    let bad = &mut p.mistyped;
    p.span = scanner.object(|s, name| {
        match name {
            "name" => keep(&mut p.name, optional(s)?, bad, "name"),
            "uri" => keep(&mut p.uri, optional(s)?, bad, "uri"),
            "taskId" => keep(&mut p.task_id, optional(s)?, bad, "taskId"),
            "cursor" => keep(&mut p.cursor, optional(s)?, bad, "cursor"),
            "arguments" => keep(&mut p.arguments, object(s)?, bad, "arguments"),
            "protocolVersion" => {
                keep(
                    &mut p.protocol_version,
                    optional(s)?,
                    bad,
                    "protocolVersion",
                );
            }
            "capabilities" => keep(&mut p.capabilities, object(s)?, bad, "capabilities"),
            "clientInfo" => keep(&mut p.client_info, object(s)?, bad, "clientInfo"),
            "level" => keep(&mut p.level, optional(s)?, bad, "level"),
            "requestId" => keep(&mut p.request_id, id(s)?, bad, "requestId"),
            "progressToken" => keep(&mut p.progress_token, id(s)?, bad, "progressToken"),
            "notifications" => keep(&mut p.notifications, object(s)?, bad, "notifications"),
            "requestState" => keep(&mut p.request_state, optional(s)?, bad, "requestState"),
            "inputResponses" => p.input_responses = Some(s.value()?.0),
            "ref" if s.peek() == Some(b'{') => p.reference = Some(reference(s)?),
            "ref" => keep(
                &mut p.reference,
                s.value().map(|_crossed| None)?,
                bad,
                "ref",
            ),
            "argument" => keep(&mut p.argument, object(s)?, bad, "argument"),
            "_meta" => {
                if s.peek() != Some(b'{') {
                    return Err(s.fault(Reason::Params));
                }
                p.meta = Some(meta(s)?);
            }
            _ => unknown(s, name, PARAMS)?,
        }
        Ok(())
    })?;
    Ok(p)
}

fn reference<'a>(scanner: &mut Scanner<'a>) -> Result<Reference<'a>, Fault> {
    let mut r = Reference::default();
    let bad = &mut r.mistyped;
    r.span = scanner.object(|s, name| {
        match name {
            "type" => keep(&mut r.kind, optional(s)?, bad, "ref.type"),
            "name" => keep(&mut r.name, optional(s)?, bad, "ref.name"),
            "uri" => keep(&mut r.uri, optional(s)?, bad, "ref.uri"),
            _ => unknown(s, name, REFERENCE)?,
        }
        Ok(())
    })?;
    Ok(r)
}

pub(crate) fn meta<'a>(scanner: &mut Scanner<'a>) -> Result<Meta<'a>, Fault> {
    let mut m = Meta::default();
    let bad = &mut m.mistyped;
    m.span = scanner.object(|s, name| {
        match name {
            method::META_VERSION => {
                keep(
                    &mut m.protocol_version,
                    optional(s)?,
                    bad,
                    method::META_VERSION,
                );
            }
            method::META_CAPABILITIES => {
                let read = object(s)?;
                keep(
                    &mut m.client_capabilities,
                    read,
                    bad,
                    method::META_CAPABILITIES,
                );
            }
            method::META_CLIENT => {
                keep(&mut m.client_info, object(s)?, bad, method::META_CLIENT);
            }
            method::META_LOG_LEVEL => {
                keep(&mut m.log_level, optional(s)?, bad, method::META_LOG_LEVEL);
            }
            method::META_SUBSCRIPTION => {
                keep(
                    &mut m.subscription_id,
                    id(s)?,
                    bad,
                    method::META_SUBSCRIPTION,
                );
            }
            method::META_PROGRESS => {
                keep(&mut m.progress_token, id(s)?, bad, method::META_PROGRESS);
            }
            "traceparent" => keep(&mut m.traceparent, optional(s)?, bad, "traceparent"),
            "tracestate" => keep(&mut m.tracestate, optional(s)?, bad, "tracestate"),
            "baggage" => keep(&mut m.baggage, optional(s)?, bad, "baggage"),
            _ => unknown(s, name, META)?,
        }
        Ok(())
    })?;
    Ok(m)
}

impl<'a> Envelope<'a> {
    /// Returns the method, or an empty string for responses.
    pub fn method(&self) -> &str {
        self.method.as_ref().map_or("", Text::as_str)
    }

    /// Returns the id as written.
    pub fn raw_id(&self) -> Option<&'a str> {
        self.id.map(|id| id.raw)
    }

    /// Returns `params._meta`.
    pub fn meta(&self) -> Option<&Meta<'a>> {
        self.params.as_ref()?.meta.as_ref()
    }

    /// Returns the bytes of a span.
    pub fn slice(&self, span: Span) -> &'a [u8] {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    /// Returns the members of an object in the frame.
    pub fn members(&self, object: Span) -> Members<'a> {
        object::members(self.slice(object))
    }

    /// Returns the value that a modern request of this method repeats in the `Mcp-Name` header.
    pub fn named(&self) -> Option<&Text<'a>> {
        let params = self.params.as_ref()?;
        match method::named_by(self.method())? {
            method::NamedBy::Name => params.name.as_ref(),
            method::NamedBy::Uri => params.uri.as_ref(),
            method::NamedBy::TaskId => params.task_id.as_ref(),
        }
    }

    /// Returns an edit that replaces the id by `literal`.
    pub fn with_id(&self, literal: impl Into<Cow<'a, [u8]>>) -> Option<Edit<'a>> {
        self.id.map(|id| Edit::replace(id.span, literal))
    }

    /// Returns an edit that replaces `params._meta` by `object`, or inserts it together with `params` if that is
    /// missing.
    pub fn with_meta(&self, object: &[u8]) -> Edit<'a> {
        match (&self.params, self.meta()) {
            (_, Some(meta)) => Edit::replace(meta.span, object.to_vec()),
            (Some(params), None) => object::insert(self.source, params.span, "_meta", object),
            (None, None) => {
                let params = [b"{\"_meta\":", object, b"}"].concat();
                object::insert(self.source, self.root, "params", &params)
            }
        }
    }
}

#[cfg(test)]
mod tests;
