//! Answers that stand for as long as their client listens. hyper keeps two buffers of 8 KiB for each HTTP/1 connection,
//! whatever goes over it; a stream that says something once a minute would keep them for nothing. Such an answer takes
//! its connection out of hyper's hands and is carried here, chunk by chunk, with no more than it needs.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, header, response::Parts};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::timeout,
};
use toolgate_runtime::clock::{Clock as _, SystemClock};

/// What a client may send behind the request that it listens with, before it is taken for one that floods.
const STRAY: usize = 8 * 1024;

/// Where an answer lies that wants to be carried without hyper, until its connection is free of everything before it.
pub(crate) struct Handover<B> {
    offered: AtomicBool,
    answer: Mutex<Option<Response<B>>>,
}

/// A connection that carries one answer to its end.
struct Line<T, B> {
    io: T,
    body: B,
    /// How long the client may take nothing.
    stall: Duration,
    /// Bytes that came from a client that has nothing to say any more.
    stray: usize,
}

impl<B> Default for Handover<B> {
    fn default() -> Self {
        Self {
            offered: AtomicBool::new(false),
            answer: Mutex::new(None),
        }
    }
}

impl<B> Handover<B> {
    /// Lays an answer down.
    pub(crate) fn offer(&self, answer: Response<B>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.offered.store(true, Ordering::Release);
    }

    /// Whether there is one. Asked at every turn of a connection, so it takes no lock.
    pub(crate) fn is_offered(&self) -> bool {
        self.offered.load(Ordering::Acquire)
    }

    /// Takes it.
    pub(crate) fn take(&self) -> Option<Response<B>> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.take()
    }
}

/// Carries an answer until it ends, its client is gone, or takes nothing for as long as `stall`. Nothing may lie between
/// this answer and what was written to `io` before.
pub(crate) async fn carry<T, B>(io: T, answer: Response<B>, stall: Duration)
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, body) = answer.into_parts();
    let mut line = Line {
        io,
        body,
        stall,
        stray: 0,
    };
    // Whoever is gone need not be told anything.
    drop(line.speak(head).await);
}

impl<T, B> Line<T, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    async fn speak(&mut self, head: Parts) -> io::Result<()> {
        let begin = begin(head);
        self.write(begin).await?;
        while let Some(piece) = poll_fn(|cx| self.poll_piece(cx)).await? {
            self.write(chunk(&piece)).await?;
        }
        self.write(b"0\r\n\r\n".to_vec()).await?;
        timeout(self.stall, self.io.shutdown()).await?
    }

    /// The next piece that holds bytes, none at the end; an error as soon as the client is gone.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.listen(cx)?;
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                None => return Poll::Ready(Ok(None)),
                Some(Ok(Ok(piece))) if !piece.is_empty() => return Poll::Ready(Ok(Some(piece))),
                // An empty chunk would be the last one, and trailers mean nothing to an event stream.
                Some(Ok(Ok(_) | Err(_))) => {}
                // Without the last chunk, the client knows that this was not all.
                Some(Err(_broken)) => return Poll::Ready(Err(io::ErrorKind::Other.into())),
            }
        }
    }

    /// Whether the client is still there. What it says on this connection is not read as a request any more.
    fn listen(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let mut space = [0; 256];
            let mut space = ReadBuf::new(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut space) {
                Poll::Pending => return Ok(()),
                Poll::Ready(read) => read?,
            }
            let came = space.filled().len();
            self.stray += came;
            if came == 0 || self.stray > STRAY {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }

    async fn write(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let taken = timeout(self.stall, self.io.write(left)).await??;
            left = left
                .get(taken..)
                .filter(|_| taken > 0)
                .ok_or(io::ErrorKind::WriteZero)?;
        }
        timeout(self.stall, self.io.flush()).await?
    }
}

/// The head of an answer of unknown length (RFC 9112, 7.1), after which the connection is not used again.
fn begin(mut head: Parts) -> Vec<u8> {
    let put = |name, value| (name, HeaderValue::from_static(value));
    head.headers.extend([
        put(header::TRANSFER_ENCODING, "chunked"),
        put(header::CONNECTION, "close"),
    ]);
    let now = httpdate::fmt_http_date(SystemClock.now().into());
    if let Ok(now) = HeaderValue::try_from(now) {
        head.headers.insert(header::DATE, now);
    }
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn chunk(piece: &Bytes) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", piece.len()).into_bytes();
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

#[cfg(test)]
mod tests;
