//! Parser of JSON-RPC frames sent by clients. A frame is parsed once, strictly and without copying. The payload stays
//! raw; the fields that routing and policy need are extracted with their spans, so that exactly those bytes can be
//! replaced.
//!
//! Rejected are: anything but a single object; duplicate names in the root, `params` or `_meta`, however they are
//! escaped; ids that are neither string nor integer; and frames that exceed [`FrameLimits`].

mod access;

use crate::{
    case_folding::{self, META, PARAMS, REFERENCE, ROOT},
    error::{FrameError, FrameErrorKind},
    limits::FrameLimits,
    method,
    scan::{JsonScanner, ScanError, ValueType},
    splice::ByteSpan,
    text::{JsonRpcId, JsonString},
};

/// Kind of JSON-RPC message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
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
    pub kind: MessageKind,
    /// Id. Always present on requests and responses.
    pub id: Option<JsonRpcId<'a>>,
    /// Method. Always present on requests and notifications.
    pub method: Option<JsonString<'a>>,
    /// Parameters of a request or notification.
    pub params: Option<MessageParams<'a>>,
    /// Result of a successful response.
    pub result: Option<ByteSpan>,
    /// Error object of an error response.
    pub error: Option<ByteSpan>,
    /// Span of the root object, braces included.
    pub root: ByteSpan,
}

/// Members of `params` that are extracted. Members of the same names in nested objects, such as `arguments`, are not
/// considered.
#[derive(Debug, Clone, Default)]
pub struct MessageParams<'a> {
    /// Span of the object, braces included.
    pub span: ByteSpan,
    /// `name` of a tool or prompt.
    pub name: Option<JsonString<'a>>,
    /// `uri` of a resource.
    pub uri: Option<JsonString<'a>>,
    /// `taskId`.
    pub task_id: Option<JsonString<'a>>,
    /// `cursor`. An empty string is a valid cursor.
    pub cursor: Option<JsonString<'a>>,
    /// `arguments`, an object.
    pub arguments: Option<ByteSpan>,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<JsonString<'a>>,
    /// `capabilities` of `initialize`, an object.
    pub capabilities: Option<ByteSpan>,
    /// `clientInfo` of `initialize`, an object.
    pub client_info: Option<ByteSpan>,
    /// `level` of `logging/setLevel`.
    pub level: Option<JsonString<'a>>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<JsonRpcId<'a>>,
    /// `progressToken` of `notifications/progress`.
    pub progress_token: Option<JsonRpcId<'a>>,
    /// `notifications`, the filter of `subscriptions/listen`, an object.
    pub notifications: Option<ByteSpan>,
    /// `requestState` of a retried request.
    pub request_state: Option<JsonString<'a>>,
    /// `inputResponses` of a retried request, of any type.
    pub input_responses: Option<ByteSpan>,
    /// `ref` of `completion/complete`.
    pub reference: Option<CompletionReference<'a>>,
    /// `argument` of `completion/complete`, an object.
    pub argument: Option<ByteSpan>,
    /// `_meta`.
    pub meta: Option<MessageMeta<'a>>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent. The request is to
    /// be answered with `-32602` once its method is known to be supported.
    pub mistyped: Option<&'static str>,
}

/// Reference in `params.ref` of `completion/complete`.
#[derive(Debug, Clone, Default)]
pub struct CompletionReference<'a> {
    /// Span of the object, braces included.
    pub span: ByteSpan,
    /// `type`.
    pub kind: Option<JsonString<'a>>,
    /// `name` of a prompt.
    pub name: Option<JsonString<'a>>,
    /// `uri` of a resource, or a URI template.
    pub uri: Option<JsonString<'a>>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent.
    pub mistyped: Option<&'static str>,
}

/// Members of `_meta` that are extracted.
#[derive(Debug, Clone, Default)]
pub struct MessageMeta<'a> {
    /// Span of the object, braces included.
    pub span: ByteSpan,
    /// `io.modelcontextprotocol/protocolVersion`.
    pub protocol_version: Option<JsonString<'a>>,
    /// `io.modelcontextprotocol/clientCapabilities`, an object.
    pub client_capabilities: Option<ByteSpan>,
    /// `io.modelcontextprotocol/clientInfo`, an object.
    pub client_info: Option<ByteSpan>,
    /// `io.modelcontextprotocol/logLevel`.
    pub log_level: Option<JsonString<'a>>,
    /// `io.modelcontextprotocol/subscriptionId`: the literal of the id of the listen request.
    pub subscription_id: Option<JsonRpcId<'a>>,
    /// `progressToken`, a string or an integer, as written.
    pub progress_token: Option<JsonRpcId<'a>>,
    /// `traceparent`.
    pub traceparent: Option<JsonString<'a>>,
    /// `tracestate`.
    pub tracestate: Option<JsonString<'a>>,
    /// `baggage`.
    pub baggage: Option<JsonString<'a>>,
    /// First of the members above that has the wrong JSON type. Such a member is treated as absent.
    pub mistyped: Option<&'static str>,
}

/// Parses one frame.
pub fn parse<'a>(source: &'a [u8], limits: &FrameLimits) -> Result<Envelope<'a>, FrameError> {
    let mut root = RootMembers::default();
    let mut scanner = JsonScanner::open(source, limits)?;
    read(&mut scanner, &mut root)
        .map_err(FrameError::from)
        .and_then(|span| root.validate(source, span))
        .map_err(|error| FrameError {
            id: root.id.map(|id| Box::from(id.raw)),
            ..error
        })
}

/// Members of the root object read so far.
#[derive(Default)]
struct RootMembers<'a> {
    version: bool,
    id: Option<JsonRpcId<'a>>,
    method: Option<JsonString<'a>>,
    params: Option<MessageParams<'a>>,
    result: Option<ByteSpan>,
    error: Option<ByteSpan>,
}

fn read<'a>(
    scanner: &mut JsonScanner<'a>,
    root: &mut RootMembers<'a>,
) -> Result<ByteSpan, ScanError> {
    let span = scanner.object(|scanner, name| {
        let at = scanner.pos();
        match name {
            "jsonrpc" => {
                let text = string(scanner, FrameErrorKind::Version)?;
                if text.value != "2.0" {
                    return Err(scanner.error_at(FrameErrorKind::Version, at));
                }
                root.version = true;
            }
            "id" => root.id = Some(message_id(scanner)?),
            "method" => root.method = Some(string(scanner, FrameErrorKind::Method)?),
            "params" => {
                if scanner.peek() != Some(b'{') {
                    return Err(scanner.error(FrameErrorKind::Params));
                }
                root.params = Some(params(scanner)?);
            }
            "result" => root.result = Some(scanner.value()?.0),
            "error" => {
                let (span, shape) = scanner.value()?;
                if shape != ValueType::Object {
                    return Err(scanner.error_at(FrameErrorKind::Shape, at));
                }
                root.error = Some(span);
            }
            _ => skip_unknown(scanner, name, ROOT)?,
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok(span)
}

impl<'a> RootMembers<'a> {
    fn validate(&mut self, source: &'a [u8], span: ByteSpan) -> Result<Envelope<'a>, FrameError> {
        let fault = |reason| {
            let at = span.start;
            FrameError::from(ScanError { reason, at })
        };
        if !self.version {
            return Err(fault(FrameErrorKind::Version));
        }
        let answered = self.result.is_some() || self.error.is_some();
        let kind = match (&self.method, self.id) {
            (Some(_), _) if answered => return Err(fault(FrameErrorKind::Shape)),
            (Some(_), Some(_)) => MessageKind::Request,
            (Some(_), None) => MessageKind::Notification,
            (None, None) if answered => return Err(fault(FrameErrorKind::Id)),
            (None, Some(_)) if self.result.is_some() != self.error.is_some() => {
                MessageKind::Response
            }
            (None, Some(_) | None) => return Err(fault(FrameErrorKind::Shape)),
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
pub(crate) fn string<'a>(
    scanner: &mut JsonScanner<'a>,
    reason: FrameErrorKind,
) -> Result<JsonString<'a>, ScanError> {
    let start = scanner.pos();
    if scanner.peek() != Some(b'"') {
        return Err(scanner.error(reason));
    }
    let escaped = scanner.string()?;
    let span = ByteSpan::new(start, scanner.pos());
    let value = scanner.unquote(span, escaped);
    Ok(JsonString { value, span })
}

/// Reads the `id` of a message.
pub(crate) fn message_id<'a>(scanner: &mut JsonScanner<'a>) -> Result<JsonRpcId<'a>, ScanError> {
    let at = scanner.pos();
    let (id, shape) = id_value(scanner)?;
    let reason = match shape {
        ValueType::String | ValueType::Integer if fits(scanner, &id) => return Ok(id),
        ValueType::String | ValueType::Integer => FrameErrorKind::IdTooLong,
        ValueType::Object
        | ValueType::Array
        | ValueType::Float
        | ValueType::True
        | ValueType::False
        | ValueType::Null => FrameErrorKind::Id,
    };
    Err(scanner.error_at(reason, at))
}

/// Reads a string or integer. Returns `None` if the value is of another type or too long.
pub(crate) fn id<'a>(scanner: &mut JsonScanner<'a>) -> Result<Option<JsonRpcId<'a>>, ScanError> {
    let (id, shape) = id_value(scanner)?;
    let is_id = matches!(shape, ValueType::String | ValueType::Integer) && fits(scanner, &id);
    Ok(is_id.then_some(id))
}

fn id_value<'a>(scanner: &mut JsonScanner<'a>) -> Result<(JsonRpcId<'a>, ValueType), ScanError> {
    let (span, shape) = scanner.value()?;
    let raw = scanner.text(span);
    Ok((JsonRpcId { raw, span }, shape))
}

fn fits(scanner: &JsonScanner<'_>, id: &JsonRpcId<'_>) -> bool {
    id.span.len() <= scanner.limits().id
}

pub(crate) fn optional_string<'a>(
    scanner: &mut JsonScanner<'a>,
) -> Result<Option<JsonString<'a>>, ScanError> {
    if scanner.peek() == Some(b'"') {
        return string(scanner, FrameErrorKind::Syntax).map(Some);
    }
    scanner.value()?;
    Ok(None)
}

pub(crate) fn optional_object<'a>(
    scanner: &mut JsonScanner<'a>,
) -> Result<Option<ByteSpan>, ScanError> {
    let (span, shape) = scanner.value()?;
    Ok((shape == ValueType::Object).then_some(span))
}

/// Skips a member that is not extracted. Fails if its name equals an extracted name up to case: a parser that ignores
/// case would then read a different message from the one checked here.
pub(crate) fn skip_unknown(
    scanner: &mut JsonScanner<'_>,
    name: &str,
    known: &[&str],
) -> Result<(), ScanError> {
    if case_folding::is_case_variant(name, known.iter().copied()) {
        return Err(scanner.error(FrameErrorKind::CaseVariant));
    }
    scanner.value()?;
    Ok(())
}

/// Stores a value, or records that the member has the wrong type.
pub(crate) fn assign_member<T>(
    slot: &mut Option<T>,
    read: Option<T>,
    mistyped: &mut Option<&'static str>,
    name: &'static str,
) {
    if read.is_none() {
        mistyped.get_or_insert(name);
    }
    *slot = read;
}

pub(crate) fn params<'a>(scanner: &mut JsonScanner<'a>) -> Result<MessageParams<'a>, ScanError> {
    let mut p = MessageParams::default();
    let bad = &mut p.mistyped;
    p.span = scanner.object(|s, name| {
        match name {
            "name" => assign_member(&mut p.name, optional_string(s)?, bad, "name"),
            "uri" => assign_member(&mut p.uri, optional_string(s)?, bad, "uri"),
            "taskId" => assign_member(&mut p.task_id, optional_string(s)?, bad, "taskId"),
            "cursor" => assign_member(&mut p.cursor, optional_string(s)?, bad, "cursor"),
            "arguments" => assign_member(&mut p.arguments, optional_object(s)?, bad, "arguments"),
            "protocolVersion" => {
                assign_member(
                    &mut p.protocol_version,
                    optional_string(s)?,
                    bad,
                    "protocolVersion",
                );
            }
            "capabilities" => assign_member(
                &mut p.capabilities,
                optional_object(s)?,
                bad,
                "capabilities",
            ),
            "clientInfo" => {
                assign_member(&mut p.client_info, optional_object(s)?, bad, "clientInfo")
            }
            "level" => assign_member(&mut p.level, optional_string(s)?, bad, "level"),
            "requestId" => assign_member(&mut p.request_id, id(s)?, bad, "requestId"),
            "progressToken" => assign_member(&mut p.progress_token, id(s)?, bad, "progressToken"),
            "notifications" => assign_member(
                &mut p.notifications,
                optional_object(s)?,
                bad,
                "notifications",
            ),
            "requestState" => assign_member(
                &mut p.request_state,
                optional_string(s)?,
                bad,
                "requestState",
            ),
            "inputResponses" => p.input_responses = Some(s.value()?.0),
            "ref" if s.peek() == Some(b'{') => p.reference = Some(reference(s)?),
            "ref" => assign_member(
                &mut p.reference,
                s.value().map(|_crossed| None)?,
                bad,
                "ref",
            ),
            "argument" => assign_member(&mut p.argument, optional_object(s)?, bad, "argument"),
            "_meta" if s.limits().null_members && s.peek() == Some(b'n') => {
                s.value()?;
            }
            "_meta" => {
                if s.peek() != Some(b'{') {
                    return Err(s.error(FrameErrorKind::Params));
                }
                p.meta = Some(meta(s)?);
            }
            _ => skip_unknown(s, name, PARAMS)?,
        }
        Ok(())
    })?;
    Ok(p)
}

fn reference<'a>(scanner: &mut JsonScanner<'a>) -> Result<CompletionReference<'a>, ScanError> {
    let mut r = CompletionReference::default();
    let bad = &mut r.mistyped;
    r.span = scanner.object(|s, name| {
        match name {
            "type" => assign_member(&mut r.kind, optional_string(s)?, bad, "ref.type"),
            "name" => assign_member(&mut r.name, optional_string(s)?, bad, "ref.name"),
            "uri" => assign_member(&mut r.uri, optional_string(s)?, bad, "ref.uri"),
            _ => skip_unknown(s, name, REFERENCE)?,
        }
        Ok(())
    })?;
    Ok(r)
}

pub(crate) fn meta<'a>(scanner: &mut JsonScanner<'a>) -> Result<MessageMeta<'a>, ScanError> {
    let mut m = MessageMeta::default();
    let bad = &mut m.mistyped;
    m.span = scanner.object(|s, name| {
        match name {
            method::META_VERSION => {
                assign_member(
                    &mut m.protocol_version,
                    optional_string(s)?,
                    bad,
                    method::META_VERSION,
                );
            }
            method::META_CAPABILITIES => {
                let read = optional_object(s)?;
                assign_member(
                    &mut m.client_capabilities,
                    read,
                    bad,
                    method::META_CAPABILITIES,
                );
            }
            method::META_CLIENT => {
                assign_member(
                    &mut m.client_info,
                    optional_object(s)?,
                    bad,
                    method::META_CLIENT,
                );
            }
            method::META_LOG_LEVEL => {
                assign_member(
                    &mut m.log_level,
                    optional_string(s)?,
                    bad,
                    method::META_LOG_LEVEL,
                );
            }
            method::META_SUBSCRIPTION => {
                assign_member(
                    &mut m.subscription_id,
                    id(s)?,
                    bad,
                    method::META_SUBSCRIPTION,
                );
            }
            method::META_PROGRESS => {
                assign_member(&mut m.progress_token, id(s)?, bad, method::META_PROGRESS);
            }
            "traceparent" => {
                assign_member(&mut m.traceparent, optional_string(s)?, bad, "traceparent")
            }
            "tracestate" => {
                assign_member(&mut m.tracestate, optional_string(s)?, bad, "tracestate")
            }
            "baggage" => assign_member(&mut m.baggage, optional_string(s)?, bad, "baggage"),
            _ => skip_unknown(s, name, META)?,
        }
        Ok(())
    })?;
    Ok(m)
}

#[cfg(test)]
mod tests;
