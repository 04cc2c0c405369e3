//! Message body as a list of segments. Shared bytes stay shared; only rewritten parts are allocated.

use bytes::{Bytes, BytesMut};

/// Maximum size, in bytes, of a body that is copied into one segment. Copying is cheaper than writing several segments
/// up to this size.
pub const COPY_LIMIT: usize = 8 * 1024;

/// Sequence of byte segments. No segment is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentedBytes(Vec<Bytes>);

impl SegmentedBytes {
    /// Joins the segments, into a single one if they are small.
    pub fn join<const N: usize>(pieces: [Bytes; N]) -> Self {
        Self::from_segments(pieces.into())
    }

    /// Joins the segments, into a single one if they are small.
    pub fn from_segments(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        let parts = Self(pieces);
        if parts.0.len() > 1 && parts.len() <= COPY_LIMIT {
            return Self(vec![parts.to_bytes()]);
        }
        parts
    }

    /// Total number of bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Returns `true` if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Segments, in order.
    pub fn segments(&self) -> &[Bytes] {
        &self.0
    }

    /// Returns the segments, in order.
    pub fn into_segments(self) -> Vec<Bytes> {
        self.0
    }

    /// Returns all bytes as one segment. Copies unless there is exactly one segment.
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

impl From<Bytes> for SegmentedBytes {
    fn from(bytes: Bytes) -> Self {
        Self::from_segments(vec![bytes])
    }
}

impl From<Vec<u8>> for SegmentedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl IntoIterator for SegmentedBytes {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
