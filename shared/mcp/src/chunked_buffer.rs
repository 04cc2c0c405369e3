//! Buffer for bytes that arrive in chunks. Small content is kept in a single block. Larger content is kept in several
//! blocks, so that it is not copied repeatedly while it grows and is not held twice while it is incomplete.

use bytes::{Buf as _, Bytes, BytesMut};

/// Size of a block in bytes.
const BLOCK: usize = 64 * 1024;

/// Buffered bytes.
#[derive(Debug, Default)]
pub struct ChunkedBuffer {
    first: BytesMut,
    more: Vec<BytesMut>,
    len: usize,
}

impl ChunkedBuffer {
    /// Returns the number of buffered bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        if self.more.is_empty() {
            let room = BLOCK.saturating_sub(self.first.len());
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.first.extend_from_slice(fits);
            bytes = rest;
        }
        while !bytes.is_empty() {
            let room = self
                .more
                .last()
                .map_or(0, |last| BLOCK - last.len().min(BLOCK));
            if room == 0 {
                self.more.push(BytesMut::with_capacity(BLOCK));
                continue;
            }
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            if let Some(last) = self.more.last_mut() {
                last.extend_from_slice(fits);
            }
            bytes = rest;
        }
    }

    /// Appends another buffer from byte `from` on, which must lie in its first block.
    pub fn append(&mut self, mut other: Self, from: usize) {
        let from = from.min(other.first.len());
        other.first.advance(from);
        self.len += other.len - from;
        if self.first.is_empty() && self.more.is_empty() {
            self.first = other.first;
        } else {
            self.more.push(other.first);
        }
        self.more.append(&mut other.more);
    }

    /// Returns the first block. It holds the whole content unless [`is_long`](Self::is_long) returns `true`.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Returns `true` if there are blocks after the first one.
    pub fn is_long(&self) -> bool {
        !self.more.is_empty()
    }

    /// Clears the buffer and keeps the memory of the first block.
    pub fn clear(&mut self) {
        self.first.clear();
        self.more.clear();
        self.len = 0;
    }

    /// Returns the whole content as contiguous bytes and empties the buffer.
    pub fn take(&mut self) -> Bytes {
        let len = std::mem::take(&mut self.len);
        if self.more.is_empty() {
            return self.first.split().freeze();
        }
        let mut whole = BytesMut::with_capacity(len);
        whole.extend_from_slice(&std::mem::take(&mut self.first));
        for block in std::mem::take(&mut self.more) {
            whole.extend_from_slice(&block);
        }
        whole.freeze()
    }
}

#[cfg(test)]
mod tests;
