//! Replacement of parts of a frame. All other bytes stay as received.

use std::borrow::Cow;

use bytes::Bytes;

/// Offsets into the parsed bytes: `start` inclusive, `end` exclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSpan {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

/// Replacement of one span. An empty span inserts; an empty `with` deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteEdit<'a> {
    /// Replaced span.
    pub span: ByteSpan,
    /// Replacement bytes.
    pub with: Cow<'a, [u8]>,
}

/// Error of edits that overlap or lie outside of the source. Caused by the caller of [`splice`], never by a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("edits overlap or lie outside of the frame, at byte {0}")]
pub struct InvalidEdit(pub usize);

impl ByteSpan {
    /// Creates a span from `start` to before `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Returns the length in bytes.
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Returns `true` if the span is empty.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Returns these bytes of `source`, or nothing if the span lies outside.
    pub fn of(self, source: &[u8]) -> &[u8] {
        source.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns these bytes of `source` without copying; empty if the span lies outside.
    pub fn slice_bytes(self, source: &Bytes) -> Bytes {
        if self.start <= self.end && self.end <= source.len() {
            source.slice(self.start..self.end)
        } else {
            Bytes::new()
        }
    }
}

impl<'a> ByteEdit<'a> {
    /// Creates an edit that replaces `span` by `with`.
    pub fn replace(span: ByteSpan, with: impl Into<Cow<'a, [u8]>>) -> Self {
        let with = with.into();
        Self { span, with }
    }

    /// Creates an edit that inserts `with` before byte `at`.
    pub fn insert(at: usize, with: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::replace(ByteSpan::new(at, at), with)
    }
}

/// Returns `source` with all `edits` applied. They may be given in any order; insertions at the same position keep
/// their order.
pub fn splice(source: &[u8], mut edits: Vec<ByteEdit<'_>>) -> Result<Bytes, InvalidEdit> {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut out = Vec::with_capacity(source.len() + added);
    let mut done = 0;
    for edit in &edits {
        let kept = source.get(done..edit.span.start);
        out.extend_from_slice(kept.ok_or(InvalidEdit(edit.span.start))?);
        out.extend_from_slice(&edit.with);
        if edit.span.end < edit.span.start {
            return Err(InvalidEdit(edit.span.end));
        }
        done = edit.span.end;
    }
    out.extend_from_slice(source.get(done..).ok_or(InvalidEdit(done))?);
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests;
