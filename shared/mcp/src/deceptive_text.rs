//! Detection and display of characters that deceive a reader: invisible ones, ones that change the reading direction,
//! ones that control a terminal, and ones without a common meaning (noncharacters and private use). Text written with them
//! reaches the model but is invisible in a review. The sets are those of UAX #9 (`Bidi_Control`), of
//! `DerivedCoreProperties.txt` (`Default_Ignorable_Code_Point`) and of `PropList.txt` (`Noncharacter_Code_Point`), which UTS
//! #39 restricts in identifiers. The exceptions for joiners follow UAX #31 (contexts A1, A2 and B), those for emoji UTS #51.

mod character;
pub mod confusable;
mod display;

use std::borrow::Cow;

pub use character::is_deceptive;
pub use display::{escaped_display_members, is_displayable};

/// Returns the characters of a text, each with `true` if it deceives at its position. A joiner in a script that needs
/// it and the parts of an emoji sequence do not.
pub fn classified(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    let mut before: Option<char> = None;
    let mut chars = text.chars().peekable();
    std::iter::from_fn(move || {
        let c = chars.next()?;
        let after = chars.peek().copied();
        let deceives = is_deceptive(c) && !character::is_legitimate(before, c, after);
        // Next to a character that deceives, nothing invisible is legitimate.
        before = (!deceives).then_some(c);
        Some((c, deceives))
    })
}

/// Returns `true` if a text contains a character that deceives at its position.
pub fn contained_in(text: &str) -> bool {
    classified(text).any(|(_, deceives)| deceives)
}

/// Returns `true` if a name or URI contains a character that deceives. Names have no joiners at all (UTS #39, section
/// 3.1).
pub fn contained_in_name(name: &str) -> bool {
    name.contains(character::is_joiner) || contained_in(name)
}

/// Returns `true` if any string of a JSON value, member names included, contains a character that deceives, or cannot be
/// decoded. The value was parsed before; its depth, its numbers and repeated names make no difference.
pub fn contained_in_json(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(start) = memchr::memchr(b'"', rest) {
        let string = &rest[start..];
        let mut end = 1;
        loop {
            match string[end.min(string.len())..].first() {
                Some(b'\\') => end += 2,
                Some(b'"') => break,
                Some(_) => end += 1,
                None => return true,
            }
        }
        let (string, after) = string.split_at(end + 1);
        match serde_json::from_slice::<Cow<'_, str>>(string) {
            Ok(text) if !contained_in(&text) => rest = after,
            Ok(_) | Err(_) => return true,
        }
    }
    false
}

/// Returns a text with each character that deceives shown as `\u{…}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_with(text, |_| false, |c| c.escape_unicode().to_string())
}

/// Returns a text with each character that deceives, or that `also` selects, written by `write`.
pub fn escaped_with(
    text: &str,
    also: impl Fn(char) -> bool,
    write: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if !text.contains(|c| is_deceptive(c) || also(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (c, deceives) in classified(text) {
        if deceives || also(c) {
            out.push_str(&write(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Quotes text of a server for a place that it shares with text of others. Characters that deceive are shown, and each
/// line after the first begins with `> `, so that no line can pass for a heading or a label of another author. The
/// caller writes the mark or the label in front of the first line.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    for (index, line) in escaped(&unified).split('\n').enumerate() {
        if index > 0 {
            out.push_str(QUOTED_LINE);
        }
        out.push_str(line);
    }
    out
}

/// Start of a quoted line after the first one.
const QUOTED_LINE: &str = "\n> ";

#[cfg(test)]
mod tests;
