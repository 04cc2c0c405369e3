//! Bodies of responses: bytes that are there, several of them in a row, or a stream that is still being made.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The body of a response. `S` is whatever streams behind the gate; it is not boxed.
#[derive(Debug)]
pub enum Body<S> {
    /// Nothing, or no more.
    Empty,
    /// These bytes.
    Full(Bytes),
    /// These, one after the other, without being copied together.
    Parts(Parts),
    /// What comes, as it comes.
    Stream(S),
    /// The same, for as long as the client listens.
    Standing(S),
}

/// Several pieces of one body.
#[derive(Debug)]
pub struct Parts {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
}

/// Nothing streams here.
#[derive(Debug)]
pub enum Never {}

impl<S> Body<S> {
    /// These pieces in a row.
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
