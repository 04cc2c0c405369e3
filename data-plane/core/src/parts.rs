//! A body in pieces: shared bytes stay shared, only what is ours is written anew.

use bytes::{Bytes, BytesMut};

/// Up to this many bytes, copying into one piece is cheaper than writing several.
pub const COPY_LIMIT: usize = 8 * 1024;

/// Bytes that follow one another. No piece is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts(Vec<Bytes>);

impl Parts {
    /// These pieces; in one if they are small.
    pub fn join<const N: usize>(pieces: [Bytes; N]) -> Self {
        Self::from_pieces(pieces.into())
    }

    /// These pieces; in one if they are small.
    pub fn from_pieces(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        let parts = Self(pieces);
        if parts.0.len() > 1 && parts.len() <= COPY_LIMIT {
            return Self(vec![parts.to_bytes()]);
        }
        parts
    }

    /// How many bytes altogether.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.0
    }

    /// The pieces, in order.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.0
    }

    /// All in one; copies unless there is one piece.
    pub fn to_bytes(&self) -> Bytes {
        if let [one] = self.0.as_slice() {
            return one.clone();
        }
        let mut all = BytesMut::with_capacity(self.len());
        for piece in &self.0 {
            all.extend_from_slice(piece);
        }
        all.freeze()
    }
}

impl From<Bytes> for Parts {
    fn from(bytes: Bytes) -> Self {
        Self::from_pieces(vec![bytes])
    }
}

impl From<Vec<u8>> for Parts {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl IntoIterator for Parts {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
