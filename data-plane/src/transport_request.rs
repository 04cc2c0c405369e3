//! HTTP requests of the MCP transport: the supported methods, the headers, and the body of a posted message.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use toolgate_data_core::Refusal;
use toolgate_ingress::RequestBody;
use toolgate_mcp::{
    Envelope, FrameLimits, MessageKind, batch,
    cdn_loop::{CDN_LOOP, CdnId, CdnLoopError},
    envelope,
    headers::{self as names, ReceivedHeader, StandardHeaders},
    method, object,
    trace::TraceContext,
};
use toolgate_runtime::budget::BudgetOwner;
use toolgate_sync::ClientName;

/// Request of the MCP transport, received completely.
#[derive(Debug)]
pub(crate) enum TransportRequest {
    /// Message of the client.
    Post(Bytes),
    /// Request to open a stream.
    Get,
    /// Request to terminate a session.
    Delete,
}

impl TransportRequest {
    /// Returns the posted message; empty if there is none.
    pub(crate) fn body(&self) -> Bytes {
        match self {
            Self::Post(body) => body.clone(),
            Self::Get | Self::Delete => Bytes::new(),
        }
    }

    /// Returns the size of the posted message in bytes.
    pub(crate) fn body_len(&self) -> usize {
        match self {
            Self::Post(body) => body.len(),
            Self::Get | Self::Delete => 0,
        }
    }

    /// Returns the JSON-RPC id as written, or `None` if the message is not a request. Parses the message again: meant
    /// for refusals, which are rare.
    pub(crate) fn id(&self) -> Option<Box<str>> {
        let Self::Post(bytes) = self else {
            return None;
        };
        let envelope = envelope::parse(bytes, &FrameLimits::REQUEST).ok()?;
        let id = envelope
            .raw_id()
            .filter(|_| envelope.kind == MessageKind::Request);
        id.map(Box::from)
    }

    /// Returns `true` if all messages end what waits: cancellations, and answers to requests of servers. They have a rate of
    /// their own beyond the limits, see `release_rate.rs`. Parses the message: meant for requests beyond a limit.
    pub(crate) fn releases_resources(&self) -> bool {
        let Self::Post(bytes) = self else {
            return false;
        };
        let releases = |message: &[u8]| {
            envelope::parse(message, &FrameLimits::REQUEST).is_ok_and(|it| match it.kind {
                MessageKind::Request => false,
                MessageKind::Notification => it.method() == method::CANCELLED,
                MessageKind::Response => true,
            })
        };
        if !batch::is_array(bytes) {
            return releases(bytes);
        }
        let members = batch::split(bytes, &FrameLimits::REQUEST).unwrap_or_default();
        !members.is_empty() && members.iter().all(|span| releases(span.of(bytes)))
    }
}

/// Kind of a request that may release resources, as far as its head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReleaseKind {
    /// Cancellation, which modern requests name in a header.
    Cancellation,
    /// Message in a session: only the body shows what it is.
    InSession,
}

impl ReleaseKind {
    /// Returns `None` if the head shows that the request does not release resources, see
    /// [`TransportRequest::releases_resources`].
    pub(crate) fn of(head: &Parts) -> Option<Self> {
        if head.method != Method::POST {
            return None;
        }
        match head.headers.get(METHOD) {
            // Modern requests name their method.
            Some(method) => {
                (method.as_bytes() == method::CANCELLED.as_bytes()).then_some(Self::Cancellation)
            }
            None => head
                .headers
                .contains_key(SESSION)
                .then_some(Self::InSession),
        }
    }
}

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
/// `Accept` value of nearly all clients.
const COMMON_ACCEPT: &[u8] = b"application/json, text/event-stream";
const VERSION: HeaderName = HeaderName::from_static(names::VERSION);
const METHOD: HeaderName = HeaderName::from_static(names::METHOD);
const NAME: HeaderName = HeaderName::from_static(names::NAME);
/// Number of members of `clientInfo` in which the name of the client is looked for.
const CLIENT_INFO_MEMBERS: usize = 16;
/// Header with the id of a legacy session.
pub(crate) const SESSION: HeaderName = HeaderName::from_static(names::SESSION);

/// Reads the request, with a body of at most `limit` bytes. Requests that cannot be served are refused before their body is
/// read.
pub(crate) async fn receive(
    head: &Parts,
    body: RequestBody,
    caller: BudgetOwner,
    limit: usize,
) -> Result<TransportRequest, Refusal> {
    match head.method {
        Method::POST => {
            if !is_json(&head.headers) {
                return Err(Refusal::MediaType);
            }
            if !(accepts(&head.headers, JSON) && accepts(&head.headers, EVENT_STREAM)) {
                let both = "application/json and text/event-stream";
                return Err(Refusal::NotAcceptable(both));
            }
            body.read(caller, limit).await.map(TransportRequest::Post)
        }
        Method::GET => Ok(TransportRequest::Get),
        Method::DELETE => Ok(TransportRequest::Delete),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// Returns an error if the client does not accept an event stream.
pub(crate) fn accepts_events(headers: &HeaderMap) -> Result<(), Refusal> {
    if accepts(headers, EVENT_STREAM) {
        Ok(())
    } else {
        Err(Refusal::NotAcceptable(EVENT_STREAM))
    }
}

/// Returns MCP's standard headers.
pub(crate) fn standard_headers(headers: &HeaderMap) -> StandardHeaders<'_> {
    StandardHeaders {
        version: header_values(headers, &VERSION),
        method: header_values(headers, &METHOD),
        name: header_values(headers, &NAME),
    }
}

/// Returns the trace context of a message.
pub(crate) fn trace<'a>(
    headers: &'a HeaderMap,
    envelope: &'a Envelope<'_>,
) -> Option<TraceContext<'a>> {
    let header =
        |name| ReceivedHeader::of(headers.get_all(name).iter().map(|value| value.as_bytes()));
    TraceContext::of(envelope.meta(), header)
}

/// Checks that the request has not passed this deployment before, nor too many others.
pub(crate) fn check_loop(headers: &HeaderMap, own: &CdnId) -> Result<(), CdnLoopError> {
    let lines = headers.get_all(CDN_LOOP).iter();
    own.check(lines.map(HeaderValue::as_bytes))
}

/// Returns a copy of `CDN-Loop`, all lines in one. The header as received would keep the buffer of its connection.
pub(crate) fn cdn_loop(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(CDN_LOOP).iter();
    let mut joined = lines.next()?.as_bytes().to_vec();
    for line in lines {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_bytes(&joined).ok()
}

/// Returns the name of the client program in the `User-Agent` header: its first word, without the version.
pub(crate) fn user_agent(headers: &HeaderMap) -> ClientName {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    let product = agent.and_then(|agent| agent.split(['/', ' ']).next());
    product.map(ClientName::new).unwrap_or_default()
}

/// Returns the name of the client program in a message, if it has one: the first member `name` of `clientInfo`, as written. It
/// is a label, which the client chooses, and is found without an allocation.
pub(crate) fn client_name(envelope: &Envelope<'_>) -> Option<ClientName> {
    let of_request = envelope.meta().and_then(|meta| meta.client_info);
    let of_handshake = envelope.params.as_ref().and_then(|it| it.client_info);
    let info = envelope.slice(of_request.or(of_handshake)?);
    let name = object::first(info, "name", CLIENT_INFO_MEMBERS)?;
    let name = name.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    std::str::from_utf8(name).ok().map(ClientName::new)
}

/// Returns the protocol version header.
pub(crate) fn version_header(headers: &HeaderMap) -> ReceivedHeader<'_> {
    header_values(headers, &VERSION)
}

/// Returns all headers that mirror tool arguments.
pub(crate) fn param_headers(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    let named = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    named
        .filter(|(name, _)| name.starts_with(names::PARAM_PREFIX))
        .collect()
}

fn header_values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> ReceivedHeader<'a> {
    ReceivedHeader::of(headers.get_all(name).iter().map(|value| value.as_bytes()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = only.as_bytes().split(|byte| *byte == b';').next();
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes()))
}

/// Returns `true` if `Accept` contains the media type, literally or by wildcard. Without the header every type is
/// accepted; a type with weight zero is not.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut lists = headers.get_all(header::ACCEPT).iter().peekable();
    match lists.peek() {
        None => return true,
        Some(list) if list.as_bytes() == COMMON_ACCEPT => return true,
        Some(_) => {}
    }
    let family = media_type.split('/').next().unwrap_or_default();
    lists.any(|list| {
        let Ok(list) = list.to_str() else {
            return false;
        };
        list.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default();
            let named = range.eq_ignore_ascii_case(media_type)
                || range == "*/*"
                || range
                    .strip_suffix("/*")
                    .is_some_and(|f| f.eq_ignore_ascii_case(family));
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.and_then(|weight| weight.parse::<f32>().ok());
            named && weight != Some(0.0)
        })
    })
}

#[cfg(test)]
mod tests;
