//! Members of the objects of servers whose names differ from those of the protocol by case only. A client that ignores case
//! reads their values in place of the values that were checked, so they are not passed on. Other members that the protocol
//! does not define are.

use std::borrow::Cow;

use crate::{
    error::FrameErrorKind,
    limits::FrameLimits,
    object,
    protocol_members::{MemberValue, NameMatch, ProtocolObject},
    scan::JsonScanner,
};

/// Returns `true` if an object of this kind, or an object of the protocol in it, has a case variant. Also returns `true` if it
/// cannot be read. `json` is an object, or a list of objects, that was parsed before.
pub fn contained_in(json: &[u8], kind: &'static ProtocolObject) -> bool {
    let Ok(text) = std::str::from_utf8(json) else {
        return true;
    };
    let mut found = false;
    let mut scanner = JsonScanner::within(text, 0, &FrameLimits::LENIENT);
    let scanned = scanner.protocol_value(MemberValue::Objects(kind), &mut found);
    found || scanned.is_err()
}

/// Returns an object of this kind without its case variants, unchanged if it has none. Fails if an object with a case variant
/// has another member twice.
pub fn removed<'a>(
    json: &'a [u8],
    kind: &'static ProtocolObject,
) -> Result<Cow<'a, [u8]>, FrameErrorKind> {
    if !contained_in(json, kind) {
        return Ok(Cow::Borrowed(json));
    }
    without(json, MemberValue::Objects(kind)).map(Cow::Owned)
}

fn without(json: &[u8], value: MemberValue) -> Result<Vec<u8>, FrameErrorKind> {
    match (value, json.first()) {
        (MemberValue::Objects(_) | MemberValue::Named(_), Some(b'{')) => {
            let mut out = vec![b'{'];
            let members = object::unambiguous_members(json).ok_or(FrameErrorKind::Duplicate)?;
            for member in members {
                let value = match value {
                    MemberValue::Objects(kind) => match kind.find(&member.name) {
                        NameMatch::Member(value) => value,
                        NameMatch::Unknown => MemberValue::Any,
                        NameMatch::CaseVariant => continue,
                    },
                    MemberValue::Named(kind) => MemberValue::Objects(kind),
                    MemberValue::Any => MemberValue::Any,
                };
                separate(&mut out);
                out.extend_from_slice(member.key);
                out.push(b':');
                out.extend_from_slice(&without(member.value, value)?);
            }
            out.push(b'}');
            Ok(out)
        }
        (MemberValue::Objects(_), Some(b'[')) => {
            let mut out = vec![b'['];
            for item in object::elements(json) {
                separate(&mut out);
                out.extend_from_slice(&without(item.of(json), value)?);
            }
            out.push(b']');
            Ok(out)
        }
        _ => Ok(json.to_vec()),
    }
}

/// Appends a comma, unless an object or a list has just begun.
fn separate(out: &mut Vec<u8>) {
    if out.len() > 1 {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests;
