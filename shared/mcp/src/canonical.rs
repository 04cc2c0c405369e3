//! Canonical form of JSON: members sorted by name, no insignificant white space, one way of escaping strings. Numbers
//! are kept as written, so two spellings of the same number yield two different definitions: an unchanged value may be
//! reported as changed, but never the reverse.

use sha2::{Digest as _, Sha256};

use crate::{
    error::{FrameError, FrameErrorKind},
    limits::FrameLimits,
    scan::{JsonScanner, ScanError, ValueType},
    text::quote,
};

/// Returns the canonical form of a JSON object.
pub fn canonical(object: &[u8], limits: &FrameLimits) -> Result<String, FrameError> {
    let mut scanner = JsonScanner::open(object, limits)?;
    let mut out = String::with_capacity(object.len());
    write(&mut scanner, &mut out)?;
    scanner.end()?;
    Ok(out)
}

/// Returns the SHA-256 of the canonical form of a JSON object.
pub fn digest(object: &[u8], limits: &FrameLimits) -> Result<[u8; 32], FrameError> {
    Ok(Sha256::digest(canonical(object, limits)?).into())
}

fn write(scanner: &mut JsonScanner<'_>, out: &mut String) -> Result<(), ScanError> {
    match scanner.peek() {
        Some(b'{') => {
            let mut members = Vec::new();
            scanner.object_members(|scanner, name, _| {
                let mut value = String::new();
                write(scanner, &mut value)?;
                members.push((name, value));
                Ok(())
            })?;
            members.sort();
            separated(out, '{', '}', &members, |out, (name, value)| {
                out.push_str(&quote(name));
                out.push(':');
                out.push_str(value);
            });
        }
        Some(b'[') => {
            let mut items = Vec::new();
            scanner.array(|scanner| {
                let mut value = String::new();
                write(scanner, &mut value)?;
                items.push(value);
                Ok(())
            })?;
            separated(out, '[', ']', &items, |out, value| out.push_str(value));
        }
        Some(_) => {
            let (span, shape) = scanner.value()?;
            if shape == ValueType::String {
                out.push_str(&quote(&scanner.unquote(span, true)));
            } else {
                out.push_str(scanner.text(span));
            }
        }
        None => return Err(scanner.error(FrameErrorKind::Syntax)),
    }
    Ok(())
}

fn separated<T>(
    out: &mut String,
    open: char,
    close: char,
    items: &[T],
    write: impl Fn(&mut String, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests;
