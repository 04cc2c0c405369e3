//! Names that render alike.

use std::sync::OnceLock;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::is_deceptive;
use crate::case_folding;

/// Returns the skeleton of a name (UTS #39, section 4): two names with the same skeleton are confusable, and so are names
/// that have the same normal form, compatibility forms included. It serves for comparison only and is not shown.
pub fn skeleton(name: &str) -> String {
    if !name.is_ascii() {
        let compatible: String = name.nfkc().collect();
        return unicode_security::skeleton(&compatible).collect();
    }
    // Most names are ASCII, which needs no normalization: the skeleton is that of each character.
    let prototypes = ascii_prototypes();
    let mut out = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        out.push_str(prototypes.get(usize::from(byte)).map_or("", String::as_str));
    }
    out
}

/// Returns the skeleton of a name regardless of case and of characters that show nothing. It serves for comparison only and
/// is not shown.
pub fn caseless_skeleton(name: &str) -> String {
    let compatible: String = visible(name).nfkc().collect();
    case_folding::folded(&skeleton(&case_folding::folded(&compatible)))
}

/// Returns the keys of a name: two names with a key in common are taken for one another by readers, or by programs that
/// normalize names.
pub fn look_alike_keys(name: &str) -> [String; 2] {
    let shown: String = visible(name).collect();
    [caseless_skeleton(name), skeleton(&shown)]
}

fn visible(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !is_deceptive(*c))
}

/// Returns a text in its compatibility form (NFKD) without marks and without characters that show nothing, for the
/// recognition of words.
pub fn plain_letters(text: &str) -> String {
    let decomposed = visible(text).nfkd();
    decomposed.filter(|c| !is_combining_mark(*c)).collect()
}

/// Returns the skeletons of the ASCII characters.
fn ascii_prototypes() -> &'static [String] {
    static PROTOTYPES: OnceLock<Vec<String>> = OnceLock::new();
    PROTOTYPES.get_or_init(|| {
        let skeleton = |c: char| unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).collect();
        ('\0'..='\u{7f}').map(skeleton).collect()
    })
}
