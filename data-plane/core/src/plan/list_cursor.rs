//! Cursors of the gateway's lists. A cursor is encrypted and deterministic, and is valid for one state of one list and
//! one principal.

use toolgate_model::Digest;

use crate::{
    ClientStateCipher,
    client_state::{StateContext, StatePurpose},
};

/// Kinds of paged lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}

/// Position in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCursor {
    /// List that the cursor belongs to.
    pub kind: ListKind,
    /// Page number, counted from zero.
    pub page: u32,
    /// Digest of the list. A cursor is invalid for another list and for a changed one.
    pub digest: Digest,
}

const FORMAT: u8 = 1;
const DIGEST_LEN: usize = 16;

/// Encrypts a cursor as text.
pub fn encrypt(
    cipher: &ClientStateCipher,
    context: StateContext<'_>,
    cursor: &ListCursor,
) -> String {
    let mut plain = Vec::with_capacity(2 + 4 + DIGEST_LEN);
    plain.extend_from_slice(&[FORMAT, cursor.kind.number()]);
    plain.extend_from_slice(&cursor.page.to_be_bytes());
    plain.extend_from_slice(&cursor.digest.0[..DIGEST_LEN]);
    cipher.encrypt_stable(StatePurpose::Cursor, context, &plain)
}

/// Opens a cursor and returns its page number. Returns `None` unless the text is a cursor of this kind, list digest
/// and context.
pub fn decrypt(
    cipher: &ClientStateCipher,
    context: StateContext<'_>,
    text: &str,
    kind: ListKind,
    digest: &Digest,
) -> Option<u32> {
    let plain = cipher.decrypt(StatePurpose::Cursor, context, text)?;
    let (&[format, number], rest) = plain.split_first_chunk()?;
    let (page, of) = rest.split_first_chunk()?;
    let fits = format == FORMAT && number == kind.number() && of == &digest.0[..DIGEST_LEN];
    fits.then(|| u32::from_be_bytes(*page))
}

impl ListKind {
    /// Member of the list result that holds the items.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Tools => 1,
            Self::Prompts => 2,
            Self::Resources => 3,
            Self::Templates => 4,
        }
    }
}

#[cfg(test)]
mod tests;
