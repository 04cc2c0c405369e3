//! Name that was probably meant by a word.

/// Maximum length in bytes of a word whose edit distance is computed.
const MAX_WORD_BYTES: usize = 128;

/// Returns the name closest to `word`, with or without the prefix of its server. The edit distance may be at most a
/// third of the word's length, but is always allowed to be 1.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    let close = |name: &'a str| {
        let distance = edit_distance(word, name);
        let bare = name.rsplit("__").next().unwrap_or(name);
        let distance = distance.min(edit_distance(word, bare));
        (distance <= allowed).then_some((distance, name))
    };
    let best = known.into_iter().filter_map(close).min();
    best.map(|(_, name)| name)
}

/// Edit distance: the number of characters to change, add or remove.
fn edit_distance(a: &str, b: &str) -> usize {
    if a.len().max(b.len()) > MAX_WORD_BYTES {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (other, above) in b.iter().zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(letter != *other);
            left = changed.min(left + 1).min(above + 1);
            next.push(left);
            diagonal = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}
