//! Cursors of our own lists: sealed, stable, and good for one list as it stood, for one principal.

use toolgate_model::Digest;

use crate::{
    Sealer,
    seal::{Binding, Purpose},
};

/// Kinds of list that are paged.
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

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Of which list.
    pub kind: ListKind,
    /// The page, counted from zero.
    pub page: u32,
    /// Of the list as it stood: another list, or the same one changed, makes the cursor invalid.
    pub digest: Digest,
}

const FORMAT: u8 = 1;
const DIGEST: usize = 16;

/// The text of a cursor.
pub fn seal(sealer: &Sealer, binding: Binding<'_>, cursor: &Cursor) -> String {
    let mut plain = Vec::with_capacity(2 + 4 + DIGEST);
    plain.extend_from_slice(&[FORMAT, cursor.kind.number()]);
    plain.extend_from_slice(&cursor.page.to_be_bytes());
    plain.extend_from_slice(&cursor.digest.0[..DIGEST]);
    sealer.seal_stable(Purpose::Cursor, binding, &plain)
}

/// The page that a text names, if it is a cursor of this kind over a list of this digest for this principal.
pub fn open(
    sealer: &Sealer,
    binding: Binding<'_>,
    text: &str,
    kind: ListKind,
    digest: &Digest,
) -> Option<u32> {
    let plain = sealer.open(Purpose::Cursor, binding, text)?;
    let (&[format, number], rest) = plain.split_first_chunk()?;
    let (page, of) = rest.split_first_chunk()?;
    let fits = format == FORMAT && number == kind.number() && of == &digest.0[..DIGEST];
    fits.then(|| u32::from_be_bytes(*page))
}

impl ListKind {
    /// The member of a result that holds the list.
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
