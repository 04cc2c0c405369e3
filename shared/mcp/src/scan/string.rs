//! Scanning of string contents and decoding of escapes.

use memchr::memchr2;

/// Returns the number of bytes before the first quote, backslash or control character.
pub(crate) fn plain_prefix_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    /// Number of bytes that are scanned word by word. Most strings are either shorter or very long; for the rest of a
    /// long string, vector code is faster.
    const SHORT: usize = 64;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(SHORT / 8).enumerate() {
        let word = u64::from_le_bytes(*word);
        let equal = |byte: u64| {
            let off = word ^ (ONES * byte);
            off.wrapping_sub(ONES) & !off & HIGH
        };
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        // The lowest mark is exact; higher marks may be caused by its borrow.
        let marks = equal(0x22) | equal(0x5c) | control;
        if marks != 0 {
            return index * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let done = words.len().min(SHORT / 8) * 8;
    let rest = bytes.get(done..).unwrap_or_default();
    let run = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let run = rest.get(..run).unwrap_or_default();
    // No early exit, so that the loop is vectorized.
    let clean = !run.iter().fold(false, |bad, byte| bad | (*byte < 0x20));
    let control = |byte: &u8| *byte < 0x20;
    let end = if clean {
        None
    } else {
        run.iter().position(control)
    };
    done + end.unwrap_or(run.len())
}

/// Returns the value of a string literal without its quotes. The literal was already scanned, so every escape is valid.
pub(super) fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = tail.chars();
        let unit = |from: usize| {
            let digits = tail.get(from..from + 4);
            digits.and_then(|d| u32::from_str_radix(d, 16).ok())
        };
        let mut used = 1;
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                used = 5;
                let mut code = unit(1).unwrap_or_default();
                let low = unit(7).filter(|low| (0xdc00..0xe000).contains(low));
                let low = low.filter(|_| tail.get(5..7) == Some("\\u"));
                // An unpaired surrogate is not a character and is replaced.
                if let (0xd800..0xdc00, Some(low)) = (code, low) {
                    used = 11;
                    code = 0x10000 + ((code - 0xd800) << 10) + (low & 0x3ff);
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => break,
        }
        rest = tail.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}
