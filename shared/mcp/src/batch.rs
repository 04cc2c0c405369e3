//! Several messages in one array: what the revision 2025-03-26 lets clients send, and no other. Taken apart only; each
//! member is then read for itself, as strictly as a message alone.

use crate::{
    error::{FrameError, Reason},
    limits::Limits,
    scan::{Fault, Scanner},
    splice::Span,
};

/// Messages in one array.
pub const MEMBERS: usize = 32;

/// Whether it can only be an array. Says nothing of what is in it.
pub fn is_array(source: &[u8]) -> bool {
    let mut significant = source.iter().filter(|byte| !byte.is_ascii_whitespace());
    significant.next() == Some(&b'[')
}

/// Where the members of an array stand: at least one, at most [`MEMBERS`]. They are values of JSON, of any type.
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
