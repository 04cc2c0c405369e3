//! Whether a URI can come of a template (RFC 6570). Values are not recovered: it is only asked whose URI it is. The
//! answer takes time in proportion to URI and template, whatever both are.

/// Expressions in one template; one with more matches nothing.
const EXPRESSIONS: usize = 32;

/// Longest URI that is compared, in bytes.
const LONGEST: usize = 2 * 1024;

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pieces: Box<[Piece]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Stands there as it is.
    Literal(Box<str>),
    /// Becomes any number of characters, but none of these.
    Open(&'static [u8]),
}

impl Pattern {
    /// Of a template. None if it is not one that can be compared with.
    pub fn of(template: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = template;
        let mut expressions = 0;
        while let Some((literal, after)) = rest.split_once('{') {
            let (expression, after) = after.split_once('}')?;
            expressions += 1;
            if literal.contains('}') || expression.contains('{') || expressions > EXPRESSIONS {
                return None;
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.into()));
            }
            pieces.push(Piece::Open(excluded(expression)));
            rest = after;
        }
        if rest.contains('}') {
            return None;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.into()));
        }
        let pieces = pieces.into();
        Some(Self { pieces })
    }

    /// Whether `uri` can come of it.
    pub fn matches(&self, uri: &str) -> bool {
        if uri.len() > LONGEST {
            return false;
        }
        if let Some(Piece::Literal(first)) = self.pieces.first()
            && !uri.starts_with(&**first)
        {
            return false;
        }
        // Where a piece may begin, given all pieces before it.
        let mut starts = vec![false; uri.len() + 1];
        if let Some(first) = starts.first_mut() {
            *first = true;
        }
        for piece in &self.pieces {
            starts = piece.ends(uri.as_bytes(), &starts);
        }
        starts.last().copied().unwrap_or_default()
    }
}

impl Piece {
    /// Where it may end, if it may begin at `starts`.
    fn ends(&self, uri: &[u8], starts: &[bool]) -> Vec<bool> {
        let mut ends = vec![false; starts.len()];
        match self {
            Self::Literal(text) => {
                let begins = starts.iter().enumerate().filter(|(_, start)| **start);
                for (at, _) in begins {
                    let fits = uri
                        .get(at..)
                        .is_some_and(|rest| rest.starts_with(text.as_bytes()));
                    if fits && let Some(end) = ends.get_mut(at + text.len()) {
                        *end = true;
                    }
                }
            }
            Self::Open(excluded) => {
                let mut open = false;
                for (at, end) in ends.iter_mut().enumerate() {
                    let before = at.checked_sub(1).and_then(|before| uri.get(before));
                    open &= before.is_none_or(|byte| !excluded.contains(byte));
                    open |= starts.get(at).copied().unwrap_or_default();
                    *end = open;
                }
            }
        }
        ends
    }
}

/// What an expression never becomes, by its operator.
fn excluded(expression: &str) -> &'static [u8] {
    match expression.as_bytes().first() {
        // Reserved characters stay as they are: anything.
        Some(b'+' | b'#') => b"",
        Some(b'?' | b'&') => b"#",
        Some(b'/') => b"?#",
        _ => b"/?#",
    }
}
