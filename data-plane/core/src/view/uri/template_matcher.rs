//! Matching of URIs against URI templates (RFC 6570). Values are not extracted; matching only determines the server of
//! a URI. The running time is proportional to the product of the lengths of URI and template.

/// Maximum number of expressions in a template. A template with more cannot be matched.
const MAX_EXPRESSIONS: usize = 32;

/// Maximum length of a URI to match, in bytes.
const MAX_URI_LEN: usize = 2 * 1024;

/// Parsed URI template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriTemplateMatcher {
    parts: Box<[TemplatePart]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    /// Literal text.
    Literal(Box<str>),
    /// Expression that expands to any number of bytes except these.
    Expression(&'static [u8]),
}

impl UriTemplateMatcher {
    /// Parses a template. Returns `None` if it is malformed or exceeds a limit.
    pub fn parse(template: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = template;
        let mut expressions = 0;
        while let Some((literal, after)) = rest.split_once('{') {
            let (expression, after) = after.split_once('}')?;
            expressions += 1;
            if literal.contains('}') || expression.contains('{') || expressions > MAX_EXPRESSIONS {
                return None;
            }
            if !literal.is_empty() {
                pieces.push(TemplatePart::Literal(literal.into()));
            }
            pieces.push(TemplatePart::Expression(excluded_bytes(expression)));
            rest = after;
        }
        if rest.contains('}') {
            return None;
        }
        if !rest.is_empty() {
            pieces.push(TemplatePart::Literal(rest.into()));
        }
        let pieces = pieces.into();
        Some(Self { parts: pieces })
    }

    /// Returns `true` if `uri` can be an expansion of the template.
    pub fn matches(&self, uri: &str) -> bool {
        if uri.len() > MAX_URI_LEN {
            return false;
        }
        if let Some(TemplatePart::Literal(first)) = self.parts.first()
            && !uri.starts_with(&**first)
        {
            return false;
        }
        // Positions at which the next part may begin, given all parts before it.
        let mut starts = vec![false; uri.len() + 1];
        if let Some(first) = starts.first_mut() {
            *first = true;
        }
        for piece in &self.parts {
            starts = piece.ends(uri.as_bytes(), &starts);
        }
        starts.last().copied().unwrap_or_default()
    }
}

impl TemplatePart {
    /// Positions at which the part may end, if it may begin at `starts`.
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
            Self::Expression(excluded) => {
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

/// Bytes that an expansion of the expression cannot contain, by its operator.
fn excluded_bytes(expression: &str) -> &'static [u8] {
    match expression.as_bytes().first() {
        // Reserved characters are kept, so any byte may occur.
        Some(b'+' | b'#') => b"",
        Some(b'?' | b'&') => b"#",
        Some(b'/') => b"?#",
        _ => b"/?#",
    }
}
