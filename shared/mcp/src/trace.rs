//! W3C Trace Context of a request, read from `_meta` (under the same names as the headers) or from headers.

use crate::{envelope::MessageMeta, headers::ReceivedHeader, text::JsonString};

/// Name of the `traceparent` header and `_meta` member.
pub const TRACEPARENT: &str = "traceparent";
/// Name of the `tracestate` header and `_meta` member.
pub const TRACESTATE: &str = "tracestate";

/// Maximum length of a forwarded `tracestate`.
const MAX_TRACESTATE: usize = 512;

/// Lengths of the parts of `<version>-<trace>-<span>-<flags>`.
const PART_LENGTHS: [usize; 4] = [2, 32, 16, 2];
const TRACEPARENT_LEN: usize = 55;

/// Trace context of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext<'a> {
    /// Valid `traceparent`.
    pub parent: &'a str,
    /// Valid `tracestate`.
    pub state: Option<&'a str>,
    /// True if the context comes from `_meta`, false if it comes from headers.
    pub in_meta: bool,
}

impl<'a> TraceContext<'a> {
    /// Reads the trace context. `_meta` takes precedence; `header` is only called if `_meta` has no valid
    /// `traceparent`. Invalid values are ignored.
    pub fn of(
        meta: Option<&'a MessageMeta<'_>>,
        header: impl Fn(&'static str) -> ReceivedHeader<'a>,
    ) -> Option<Self> {
        let value = |text: &'a Option<JsonString<'_>>| text.as_ref().map(JsonString::as_str);
        let valid = |text: Option<&'a str>| text.filter(|text| is_traceparent(text));
        if let Some(meta) = meta
            && let Some(parent) = valid(value(&meta.traceparent))
        {
            let state = value(&meta.tracestate).filter(|text| is_tracestate(text));
            return Some(Self {
                parent,
                state,
                in_meta: true,
            });
        }
        let value = |name| match header(name) {
            ReceivedHeader::Once(value) => std::str::from_utf8(value).ok(),
            ReceivedHeader::Absent | ReceivedHeader::Repeated => None,
        };
        let parent = valid(value(TRACEPARENT))?;
        let state = value(TRACESTATE).filter(|text| is_tracestate(text));
        Some(Self {
            parent,
            state,
            in_meta: false,
        })
    }
}

/// Returns `true` if `text` is a valid `traceparent`. Future versions may append further parts.
pub fn is_traceparent(text: &str) -> bool {
    let (known, more) = match text.split_at_checked(TRACEPARENT_LEN) {
        Some(halves) => halves,
        None => return false,
    };
    let mut parts = known.split('-');
    let read = PART_LENGTHS.map(|length| parts.next().filter(|part| is_hex(part, length)));
    let [Some(version), Some(trace), Some(span), Some(_flags)] = read else {
        return false;
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let ends = more.is_empty() || (version != "00" && more.starts_with('-'));
    version != "ff" && !zero(trace) && !zero(span) && ends
}

/// Returns `true` if `text` is a `tracestate` that is forwarded. Its content is opaque to the proxy.
pub fn is_tracestate(text: &str) -> bool {
    let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    printable && !text.trim().is_empty() && text.len() <= MAX_TRACESTATE
}

fn is_hex(part: &str, length: usize) -> bool {
    part.len() == length
        && part
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
