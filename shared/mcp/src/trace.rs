//! The trace that a request belongs to, in the form of the W3C: in `_meta` under the same names as in headers.

use crate::{envelope::Meta, headers::Seen, text::Text};

/// The names, in `_meta` and of the headers.
pub const PARENT: &str = "traceparent";
/// What vendors add to it.
pub const STATE: &str = "tracestate";

/// The longest `tracestate` that is carried.
const LONGEST: usize = 512;

/// Lengths of `<version>-<trace>-<span>-<flags>`.
const PARTS: [usize; 4] = [2, 32, 16, 2];
const WHOLE: usize = 55;

/// The trace that a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace<'a> {
    /// `traceparent`, valid.
    pub parent: &'a str,
    /// `tracestate`, valid.
    pub state: Option<&'a str>,
    /// Whether its `_meta` says so, and not its headers.
    pub in_meta: bool,
}

impl<'a> Trace<'a> {
    /// What `_meta` says goes before the headers, of which this is asked by name only if need be. What is not valid says
    /// nothing.
    pub fn of(
        meta: Option<&'a Meta<'_>>,
        header: impl Fn(&'static str) -> Seen<'a>,
    ) -> Option<Self> {
        let told = |text: &'a Option<Text<'_>>| text.as_ref().map(Text::as_str);
        let valid = |text: Option<&'a str>| text.filter(|text| is_parent(text));
        if let Some(meta) = meta
            && let Some(parent) = valid(told(&meta.traceparent))
        {
            let state = told(&meta.tracestate).filter(|text| is_state(text));
            return Some(Self {
                parent,
                state,
                in_meta: true,
            });
        }
        let told = |name| match header(name) {
            Seen::Once(value) => std::str::from_utf8(value).ok(),
            Seen::Absent | Seen::Repeated => None,
        };
        let parent = valid(told(PARENT))?;
        let state = told(STATE).filter(|text| is_state(text));
        Some(Self {
            parent,
            state,
            in_meta: false,
        })
    }
}

/// Whether this is a `traceparent`. Versions to come may have more behind what is known of it.
pub fn is_parent(text: &str) -> bool {
    let (known, more) = match text.split_at_checked(WHOLE) {
        Some(halves) => halves,
        None => return false,
    };
    let mut parts = known.split('-');
    let read = PARTS.map(|length| parts.next().filter(|part| is_hex(part, length)));
    let [Some(version), Some(trace), Some(span), Some(_flags)] = read else {
        return false;
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let ends = more.is_empty() || (version != "00" && more.starts_with('-'));
    version != "ff" && !zero(trace) && !zero(span) && ends
}

/// Whether this is a `tracestate` that is carried: what it says is for those who wrote it.
pub fn is_state(text: &str) -> bool {
    let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    printable && !text.trim().is_empty() && text.len() <= LONGEST
}

fn is_hex(part: &str, length: usize) -> bool {
    part.len() == length
        && part
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
