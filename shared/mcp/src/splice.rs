//! Changing some bytes of a frame and leaving all others as they came.

use std::borrow::Cow;

use bytes::Bytes;

/// Offsets into the bytes that were parsed: `start` inclusive, `end` exclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Replaces one span. An empty span inserts; empty `with` deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit<'a> {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub with: Cow<'a, [u8]>,
}

/// Edits that overlap, or lie outside of the bytes. A fault of the caller, never of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("edits overlap or lie outside of the frame, at byte {0}")]
pub struct InvalidEdit(pub usize);

impl Span {
    /// From `start` to before `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// How many bytes.
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds nothing.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// These bytes of `source`; nothing if it lies outside.
    pub fn of(self, source: &[u8]) -> &[u8] {
        source.get(self.start..self.end).unwrap_or_default()
    }

    /// These bytes of `source`, sharing its memory.
    pub fn share(self, source: &Bytes) -> Bytes {
        if self.start <= self.end && self.end <= source.len() {
            source.slice(self.start..self.end)
        } else {
            Bytes::new()
        }
    }
}

impl<'a> Edit<'a> {
    /// Replaces `span` by `with`.
    pub fn replace(span: Span, with: impl Into<Cow<'a, [u8]>>) -> Self {
        let with = with.into();
        Self { span, with }
    }

    /// Inserts `with` before the byte `at`.
    pub fn insert(at: usize, with: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::replace(Span::new(at, at), with)
    }
}

/// `source` with all `edits` made. They may come in any order; insertions at one place keep theirs.
pub fn splice(source: &[u8], mut edits: Vec<Edit<'_>>) -> Result<Bytes, InvalidEdit> {
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
