//! The JSON-RPC frame of a client: read once, strictly, and borrowed. The payload stays raw; what routing and policy
//! need is picked out with the place where it stands, so that exactly those bytes can be replaced.
//!
//! Refused: anything but one object, names written twice in the root, `params` or `_meta` (however escaped), ids that
//! are neither string nor integer, and all that [`Limits`] bounds.

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

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Wants an answer.
    Request,
    /// Wants none.
    Notification,
    /// An answer, good or bad.
    Response,
}

/// One frame.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// What was parsed; all spans point into it.
    pub source: &'a [u8],
    /// What it is.
    pub kind: Kind,
    /// Of requests and responses; never absent there.
    pub id: Option<Id<'a>>,
    /// Of requests and notifications; never absent there.
    pub method: Option<Text<'a>>,
    /// Of requests and notifications.
    pub params: Option<Params<'a>>,
    /// Of good responses.
    pub result: Option<Span>,
    /// Of bad responses.
    pub error: Option<Span>,
    /// The root object, braces included.
    pub root: Span,
}

/// What is known of `params`. Members of these names at other places (in `arguments`, say) are not looked at.
#[derive(Debug, Clone, Default)]
pub struct Params<'a> {
    /// The object, braces included.
    pub span: Span,
    /// `name`: of a tool or prompt.
    pub name: Option<Text<'a>>,
    /// `uri`: of a resource.
    pub uri: Option<Text<'a>>,
    /// `taskId`.
    pub task_id: Option<Text<'a>>,
    /// `cursor`. An empty one is a cursor.
    pub cursor: Option<Text<'a>>,
    /// `arguments`: an object.
    pub arguments: Option<Span>,
    /// `protocolVersion`: of `initialize`.
    pub protocol_version: Option<Text<'a>>,
    /// `capabilities`: of `initialize`, an object.
    pub capabilities: Option<Span>,
    /// `clientInfo`: of `initialize`, an object.
    pub client_info: Option<Span>,
    /// `level`: of `logging/setLevel`.
    pub level: Option<Text<'a>>,
    /// `requestId`: of `notifications/cancelled`.
    pub request_id: Option<Id<'a>>,
    /// `progressToken`: of `notifications/progress`.
    pub progress_token: Option<Id<'a>>,
    /// `notifications`: the filter of `subscriptions/listen`, an object.
    pub notifications: Option<Span>,
    /// `requestState`: of a retry.
    pub request_state: Option<Text<'a>>,
    /// `inputResponses`: of a retry, any shape.
    pub input_responses: Option<Span>,
    /// `ref`: of `completion/complete`.
    pub reference: Option<Reference<'a>>,
    /// `argument`: of `completion/complete`, an object.
    pub argument: Option<Span>,
    /// `_meta`.
    pub meta: Option<Meta<'a>>,
    /// The first member of the above that had the wrong JSON type; it reads as absent. The right answer is
    /// `-32602` once the method is known to be served.
    pub mistyped: Option<&'static str>,
}

/// What `params.ref` refers to.
#[derive(Debug, Clone, Default)]
pub struct Reference<'a> {
    /// The object, braces included.
    pub span: Span,
    /// `type`.
    pub kind: Option<Text<'a>>,
    /// `name`: of a prompt.
    pub name: Option<Text<'a>>,
    /// `uri`: of a resource, or a template of such.
    pub uri: Option<Text<'a>>,
    /// The first member of the above that had the wrong JSON type; it reads as absent.
    pub mistyped: Option<&'static str>,
}

/// What is known of `_meta`.
#[derive(Debug, Clone, Default)]
pub struct Meta<'a> {
    /// The object, braces included.
    pub span: Span,
    /// `io.modelcontextprotocol/protocolVersion`.
    pub protocol_version: Option<Text<'a>>,
    /// `io.modelcontextprotocol/clientCapabilities`: an object.
    pub client_capabilities: Option<Span>,
    /// `io.modelcontextprotocol/clientInfo`: an object.
    pub client_info: Option<Span>,
    /// `io.modelcontextprotocol/logLevel`.
    pub log_level: Option<Text<'a>>,
    /// `io.modelcontextprotocol/subscriptionId`: the literal of the listen request's id.
    pub subscription_id: Option<Id<'a>>,
    /// `progressToken`: string or integer, as written.
    pub progress_token: Option<Id<'a>>,
    /// `traceparent`.
    pub traceparent: Option<Text<'a>>,
    /// `tracestate`.
    pub tracestate: Option<Text<'a>>,
    /// `baggage`.
    pub baggage: Option<Text<'a>>,
    /// The first member of the above that had the wrong JSON type; it reads as absent.
    pub mistyped: Option<&'static str>,
}

/// Reads one frame.
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

/// Members of the root, as far as they have been read.
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

/// A string, or a fault of this reason.
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

/// A string or integer; nothing if the value is of another type or too long.
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

/// Crosses a member that we do not read, unless a reader who ignores case would take it for one that we do: then
/// what we decide on and what the server runs could be two things.
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

/// Keeps what was read, or notes that it had the wrong type.
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
    /// The method; empty for responses.
    pub fn method(&self) -> &str {
        self.method.as_ref().map_or("", Text::as_str)
    }

    /// The id as written.
    pub fn raw_id(&self) -> Option<&'a str> {
        self.id.map(|id| id.raw)
    }

    /// `params._meta`.
    pub fn meta(&self) -> Option<&Meta<'a>> {
        self.params.as_ref()?.meta.as_ref()
    }

    /// The bytes of a span.
    pub fn slice(&self, span: Span) -> &'a [u8] {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    /// The members of an object in it.
    pub fn members(&self, object: Span) -> Members<'a> {
        object::members(self.slice(object))
    }

    /// The value that a modern request of this method repeats in `Mcp-Name`.
    pub fn named(&self) -> Option<&Text<'a>> {
        let params = self.params.as_ref()?;
        match method::named_by(self.method())? {
            method::NamedBy::Name => params.name.as_ref(),
            method::NamedBy::Uri => params.uri.as_ref(),
            method::NamedBy::TaskId => params.task_id.as_ref(),
        }
    }

    /// Replaces the id by this literal.
    pub fn with_id(&self, literal: impl Into<Cow<'a, [u8]>>) -> Option<Edit<'a>> {
        self.id.map(|id| Edit::replace(id.span, literal))
    }

    /// Replaces `params._meta` by this object, or inserts it, with `params` if need be.
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
