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
pub enum Body<S> {
    /// No bytes, or none left.
    Empty,
    /// Single buffer.
    Full(Bytes),
    /// Several buffers in order, sent without being copied together.
    Parts(Parts),
    /// Stream of bytes, sent as they arrive.
    Stream(S),
    /// Stream that lasts as long as the client listens; it may take over its connection.
    Standing(S),
}

/// Remaining buffers of a [`ResponseBody::Chunks`].
#[derive(Debug)]
pub struct Parts {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
}

/// Stream type of handlers that never stream. Has no values.
#[derive(Debug)]
pub enum Never {}

impl<S> Body<S> {
    /// Returns a body of these buffers in order.
    pub fn parts(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        let pieces = pieces.into_iter();
        Self::Parts(Parts { pieces, left })
    }
}

impl<S> From<Bytes> for Body<S> {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }
}

impl<S> http_body::Body for Body<S>
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
            Self::Parts(parts) => parts.pieces.next().inspect(|piece| {
                parts.left -= piece.len() as u64;
            }),
            Self::Stream(stream) | Self::Standing(stream) => {
                return Pin::new(stream).poll_frame(cx);
            }
        };
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Parts(parts) => parts.pieces.len() == 0,
            Self::Stream(stream) | Self::Standing(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Parts(parts) => SizeHint::with_exact(parts.left),
            Self::Stream(stream) | Self::Standing(stream) => stream.size_hint(),
        }
    }
}

impl http_body::Body for Never {
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
