//! The name under which clients see a tool or prompt. It is looked up in a table, never split apart again, so a server's own
//! name may contain anything, also `__`.

use toolgate_model::{Digest, PrefixMode, Slug};

use crate::limits;

/// Between the server and its own name.
const SEPARATOR: &str = "__";
/// Hexadecimal digits that keep a shortened name unique.
const HASH: usize = 8;

/// The exposed name of the tool or prompt `own` of `server`. With prefixes it is at most 64 characters of `A-Za-z0-9_.-`, as the
/// strictest clients want it: what does not fit is replaced and cut, and a short hash of the whole keeps it unique.
/// Without prefixes it is the server's own name, untouched.
pub fn exposed_name(mode: PrefixMode, server: &Slug, own: &str) -> String {
    match mode {
        PrefixMode::Single | PrefixMode::Never => own.to_owned(),
        PrefixMode::Always => {
            let whole = format!("{server}{SEPARATOR}{own}");
            if whole.len() <= limits::EXPOSED_NAME && whole.chars().all(is_safe) {
                whole
            } else {
                shortened(&whole)
            }
        }
    }
}

/// Whether an operator may choose this name: one that we could have made.
pub(crate) fn is_exposed_name(name: &str) -> bool {
    (1..=limits::EXPOSED_NAME).contains(&name.len()) && name.chars().all(is_safe)
}

fn shortened(whole: &str) -> String {
    let safe = |c| if is_safe(c) { c } else { '_' };
    let room = limits::EXPOSED_NAME - HASH - 1;
    let mut name: String = whole.chars().map(safe).take(room).collect();
    name.push('_');
    name.extend(
        Digest::of_bytes(whole.as_bytes())
            .to_hex()
            .chars()
            .take(HASH),
    );
    name
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}
