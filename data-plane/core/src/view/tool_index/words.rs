//! Splitting of text into search words. A word is a run of letters and digits in lower case. Names in camel case are
//! also split into their parts.

/// Maximum number of characters of a word; the rest is ignored.
const MAX_WORD_CHARS: usize = 64;
/// Minimum length, in bytes, of a query word that also matches longer words by prefix.
const MIN_PREFIX_LEN: usize = 3;

/// Iterator over the words of a text. A run in camel case yields the run and its parts.
pub(super) struct WordIterator<'a> {
    text: &'a str,
    parts: Vec<Box<str>>,
}

impl<'a> WordIterator<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let parts = Vec::new();
        Self { text, parts }
    }
}

/// Returns `true` if this query word also matches longer words by prefix.
pub(super) fn is_prefix(word: &str) -> bool {
    word.len() >= MIN_PREFIX_LEN
}

impl Iterator for WordIterator<'_> {
    type Item = Box<str>;

    fn next(&mut self) -> Option<Box<str>> {
        if let Some(part) = self.parts.pop() {
            return Some(part);
        }
        let text = self.text.trim_start_matches(|c: char| !c.is_alphanumeric());
        if text.is_empty() {
            return None;
        }
        let end = text.find(|c: char| !c.is_alphanumeric());
        let (run, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
        self.text = rest;
        self.parts = camel_case_parts(run);
        Some(lowercase(run))
    }
}

/// Parts of a run in camel case; empty if there is only one.
fn camel_case_parts(run: &str) -> Vec<Box<str>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let pairs = run.char_indices().zip(run.chars().skip(1));
    for ((at, one), next) in pairs {
        if one.is_lowercase() && next.is_uppercase() {
            let end = at + one.len_utf8();
            parts.extend(run.get(start..end).map(lowercase));
            start = end;
        }
    }
    if start > 0 {
        parts.extend(run.get(start..).map(lowercase));
    }
    parts
}

fn lowercase(run: &str) -> Box<str> {
    let letters = run
        .chars()
        .take(MAX_WORD_CHARS)
        .flat_map(char::to_lowercase);
    letters.collect::<String>().into()
}
