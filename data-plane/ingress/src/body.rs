//! Response bodies: bytes in memory, a sequence of chunks, or a stream.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Body of a response. `S` is the handler's stream type; it is not boxed.
#[derive(Debug)]
pub enum ResponseBody<S> {
    /// No bytes, or none left.
    Empty,
    /// Single buffer.
    Full(Bytes),
    /// Several buffers in order, sent without being copied together.
    Chunks(BodyChunks),
    /// Stream of bytes, sent as they arrive.
    Stream(S),
    /// Stream that lasts as long as the client listens; it may take over its connection.
    LongLived(S),
}

/// Remaining buffers of a [`ResponseBody::Chunks`].
#[derive(Debug)]
pub struct BodyChunks {
    chunks: std::vec::IntoIter<Bytes>,
    remaining: u64,
}

/// Stream type of handlers that never stream. Has no values.
#[derive(Debug)]
pub enum NeverBody {}

impl<S> ResponseBody<S> {
    /// Returns a body of these buffers in order.
    pub fn from_chunks(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        let pieces = pieces.into_iter();
        Self::Chunks(BodyChunks {
            chunks: pieces,
            remaining: left,
        })
    }
}

impl<S> From<Bytes> for ResponseBody<S> {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }
}

impl<S> http_body::Body for ResponseBody<S>
where
    S: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = S::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, S::Error>>> {
        let this = self.get_mut();
        let piece = match this {
            Self::Empty => None,
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Some(bytes)
            }
            Self::Chunks(parts) => parts.chunks.next().inspect(|piece| {
                parts.remaining -= piece.len() as u64;
            }),
            Self::Stream(stream) | Self::LongLived(stream) => {
                return Pin::new(stream).poll_frame(cx);
            }
        };
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Chunks(parts) => parts.chunks.len() == 0,
            Self::Stream(stream) | Self::LongLived(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Chunks(parts) => SizeHint::with_exact(parts.remaining),
            Self::Stream(stream) | Self::LongLived(stream) => stream.size_hint(),
        }
    }
}

impl http_body::Body for NeverBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {}
    }
}

#[cfg(test)]
mod tests;
