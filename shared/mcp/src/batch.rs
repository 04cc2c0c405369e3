//! JSON-RPC batches: several messages in one array, which revision 2025-03-26 allows clients to send and no other
//! revision does. This module only splits the array; each member is then parsed as strictly as a single message.

use crate::{
    error::{FrameError, Reason},
    limits::Limits,
    scan::{Fault, Scanner},
    splice::Span,
};

/// Maximum number of messages in a batch.
pub const MEMBERS: usize = 32;

/// Returns `true` if the first significant byte opens an array. The contents are not checked.
pub fn is_array(source: &[u8]) -> bool {
    let mut significant = source.iter().filter(|byte| !byte.is_ascii_whitespace());
    significant.next() == Some(&b'[')
}

/// Returns the spans of the members of an array: at least one, at most [`MAX_MESSAGES`]. A member is a JSON value of
/// any type.
pub fn split(source: &[u8], limits: &Limits) -> Result<Vec<Span>, FrameError> {
    read(source, limits).map_err(FrameError::from)
}

fn read(source: &[u8], limits: &Limits) -> Result<Vec<Span>, Fault> {
    let mut scanner = Scanner::array_of(source, limits)?;
    let start = scanner.pos();
    let mut members = Vec::new();
    scanner.array(|scanner| {
        if members.len() == MEMBERS {
            return Err(scanner.fault(Reason::TooManyMembers));
        }
        members.push(scanner.value()?.0);
        Ok(())
    })?;
    scanner.end()?;
    if members.is_empty() {
        return Err(scanner.fault_at(Reason::Shape, start));
    }
    Ok(members)
}

#[cfg(test)]
mod tests;
