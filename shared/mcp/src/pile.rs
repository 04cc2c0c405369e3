//! Bytes that come in pieces until something is whole. What is small is kept in one block, which costs what it did; what
//! grows is kept in many, so that it is neither copied again and again nor held twice while it is incomplete.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of a block.
const BLOCK: usize = 64 * 1024;

/// What has come so far.
#[derive(Debug, Default)]
pub struct Pile {
    first: BytesMut,
    more: Vec<BytesMut>,
    len: usize,
}

impl Pile {
    /// How many bytes have come.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none have.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// These bytes come next.
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

    /// Another pile comes next, from its byte `from` on, which lies in its first block.
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

    /// The first block, which is all as long as that is small.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Whether there is more than the first block.
    pub fn is_long(&self) -> bool {
        !self.more.is_empty()
    }

    /// Forgets all but the memory of a first block.
    pub fn clear(&mut self) {
        self.first.clear();
        self.more.clear();
        self.len = 0;
    }

    /// All of it, whole; nothing is left.
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
