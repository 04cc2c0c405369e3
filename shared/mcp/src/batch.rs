//! JSON-RPC batches: several messages in one array, which revision 2025-03-26 allows clients to send and no other
//! revision does. This module only splits the array; each member is then parsed as strictly as a single message.

use crate::{
    error::{FrameError, FrameErrorKind},
    limits::FrameLimits,
    scan::{JsonScanner, ScanError},
    splice::ByteSpan,
};

/// Maximum number of messages in a batch.
pub const MAX_MESSAGES: usize = 32;

/// Returns `true` if the first significant byte opens an array. The contents are not checked.
pub fn is_array(source: &[u8]) -> bool {
    let mut significant = source.iter().filter(|byte| !byte.is_ascii_whitespace());
    significant.next() == Some(&b'[')
}

/// Returns the spans of the members of an array: at least one, at most [`MAX_MESSAGES`]. A member is a JSON value of
/// any type.
pub fn split(source: &[u8], limits: &FrameLimits) -> Result<Vec<ByteSpan>, FrameError> {
    read(source, limits).map_err(FrameError::from)
}

fn read(source: &[u8], limits: &FrameLimits) -> Result<Vec<ByteSpan>, ScanError> {
    let mut scanner = JsonScanner::array_of(source, limits)?;
    let start = scanner.pos();
    let mut members = Vec::new();
    scanner.array(|scanner| {
        if members.len() == MAX_MESSAGES {
            return Err(scanner.error(FrameErrorKind::TooManyMembers));
        }
        members.push(scanner.value()?.0);
        Ok(())
    })?;
    scanner.end()?;
    if members.is_empty() {
        return Err(scanner.error_at(FrameErrorKind::Shape, start));
    }
    Ok(members)
}

#[cfg(test)]
mod tests;
