//! Edits of a large message without copying it.

use bytes::Bytes;
use toolgate_mcp::{ByteEdit, splice, splice::InvalidEdit};

use crate::segmented_bytes::{COPY_LIMIT, SegmentedBytes};

/// Applies the edits to `source`. Unchanged parts stay shared.
pub(super) fn segmented_splice(
    source: &Bytes,
    mut edits: Vec<ByteEdit<'_>>,
) -> Result<SegmentedBytes, InvalidEdit> {
    // A small result is copied into one segment anyway, so it is built in one step.
    if source.len() <= COPY_LIMIT / 2 {
        return Ok(SegmentedBytes::from(splice(source, edits)?));
    }
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut pieces = Vec::with_capacity(edits.len() * 2 + 1);
    let mut done = 0;
    for edit in edits {
        let span = edit.span;
        if span.start < done || span.end < span.start || span.end > source.len() {
            return Err(InvalidEdit(span.start));
        }
        pieces.push(source.slice(done..span.start));
        pieces.push(Bytes::from(edit.with.into_owned()));
        done = span.end;
    }
    pieces.push(source.slice(done..));
    Ok(SegmentedBytes::from_segments(pieces))
}
