//! What came: the kinds of HTTP request that are served at all, and the bytes of a posted message.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header, request::Parts};
use toolgate_data_core::Refusal;
use toolgate_ingress::RequestBody;
use toolgate_mcp::{
    Envelope, Kind, Limits, envelope,
    headers::{self as names, Seen, Standard},
    trace::Trace,
};
use toolgate_runtime::budget::Holder;

/// A request, received.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message.
    Post(Bytes),
    /// A stream is wanted.
    Get,
    /// A session is to end.
    Delete,
}

impl Received {
    /// The message; nothing if there was none.
    pub(crate) fn posted(&self) -> Bytes {
        match self {
            Self::Post(body) => body.clone(),
            Self::Get | Self::Delete => Bytes::new(),
        }
    }

    /// The id of the request, as written; none of what is no request. For refusals, which may cost a second look.
    pub(crate) fn id(&self) -> Option<Box<str>> {
        let Self::Post(bytes) = self else {
            return None;
        };
        let envelope = envelope::parse(bytes, &Limits::REQUEST).ok()?;
        let id = envelope.raw_id().filter(|_| envelope.kind == Kind::Request);
        id.map(Box::from)
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
/// What nearly every client sends.
const USUAL: &[u8] = b"application/json, text/event-stream";
const VERSION: HeaderName = HeaderName::from_static(names::VERSION);
const METHOD: HeaderName = HeaderName::from_static(names::METHOD);
const NAME: HeaderName = HeaderName::from_static(names::NAME);
/// Names a legacy session.
pub(crate) const SESSION: HeaderName = HeaderName::from_static(names::SESSION);

/// Reads the request of this caller. What cannot be served is refused before its body is read.
pub(crate) async fn receive(
    head: &Parts,
    body: RequestBody,
    caller: Holder,
) -> Result<Received, Refusal> {
    match head.method {
        Method::POST => {
            if !is_json(&head.headers) {
                return Err(Refusal::MediaType);
            }
            if !(accepts(&head.headers, JSON) && accepts(&head.headers, EVENTS)) {
                let both = "application/json and text/event-stream";
                return Err(Refusal::NotAcceptable(both));
            }
            body.read(caller).await.map(Received::Post)
        }
        Method::GET => Ok(Received::Get),
        Method::DELETE => Ok(Received::Delete),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// Whether a stream can be sent.
pub(crate) fn accepts_events(headers: &HeaderMap) -> Result<(), Refusal> {
    if accepts(headers, EVENTS) {
        Ok(())
    } else {
        Err(Refusal::NotAcceptable(EVENTS))
    }
}

/// MCP's own headers.
pub(crate) fn standard(headers: &HeaderMap) -> Standard<'_> {
    Standard {
        version: seen(headers, &VERSION),
        method: seen(headers, &METHOD),
        name: seen(headers, &NAME),
    }
}

/// The trace that a message belongs to.
pub(crate) fn trace<'a>(headers: &'a HeaderMap, envelope: &'a Envelope<'_>) -> Option<Trace<'a>> {
    let header = |name| Seen::of(headers.get_all(name).iter().map(|value| value.as_bytes()));
    Trace::of(envelope.meta(), header)
}

/// The version header alone.
pub(crate) fn version(headers: &HeaderMap) -> Seen<'_> {
    seen(headers, &VERSION)
}

/// All headers that repeat arguments.
pub(crate) fn mirrored(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    let named = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    named
        .filter(|(name, _)| name.starts_with(names::PARAM_PREFIX))
        .collect()
}

fn seen<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Seen<'a> {
    Seen::of(headers.get_all(name).iter().map(|value| value.as_bytes()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = only.as_bytes().split(|byte| *byte == b';').next();
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes()))
}

/// Whether `Accept` lists a media type, itself or by wildcard. Without the header anything goes; one that is listed
/// with weight zero does not.
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let mut lists = headers.get_all(header::ACCEPT).iter().peekable();
    if lists.peek().is_none() {
        return true;
    }
    if headers
        .get(header::ACCEPT)
        .is_some_and(|list| list.as_bytes() == USUAL)
    {
        return true;
    }
    let family = wanted.split('/').next().unwrap_or_default();
    lists.any(|list| {
        let Ok(list) = list.to_str() else {
            return false;
        };
        list.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default();
            let named = range.eq_ignore_ascii_case(wanted)
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
