//! Long-lived streams outside of hyper.
//!
//! hyper keeps two buffers of 8 KiB per HTTP/1 connection for as long as it is open, far more than a rarely used stream
//! needs. A long-lived stream therefore takes its connection over from hyper; this module writes it as chunked response
//! with only the memory of the current chunk.

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
use toolgate_runtime::clock::{Clock as _, SystemClock, to_system_time};

/// Maximum number of bytes that a client may send behind the request of its stream; beyond it the connection is closed.
const UNEXPECTED_INPUT_LIMIT: usize = 8 * 1024;

/// Slot in which a response waits until everything before it on the connection has been written.
pub(crate) struct StreamHandoff<B> {
    offered: AtomicBool,
    answer: Mutex<Option<Response<B>>>,
}

/// Connection that is dedicated to one streamed response.
struct LongLivedStream<T, B> {
    io: T,
    body: B,
    /// Timeout while the client accepts no bytes.
    write_stall_timeout: Duration,
    /// Number of bytes received after the request.
    unexpected_input: usize,
}

impl<B> Default for StreamHandoff<B> {
    fn default() -> Self {
        Self {
            offered: AtomicBool::new(false),
            answer: Mutex::new(None),
        }
    }
}

impl<B> StreamHandoff<B> {
    /// Stores the response.
    pub(crate) fn offer(&self, answer: Response<B>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.offered.store(true, Ordering::Release);
    }

    /// Returns `true` if a response waits. Called at every poll of a connection, so it takes no lock.
    pub(crate) fn is_offered(&self) -> bool {
        self.offered.load(Ordering::Acquire)
    }

    /// Takes the response out.
    pub(crate) fn take(&self) -> Option<Response<B>> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.take()
    }
}

/// Writes the response until its body ends, the client disconnects, or the client accepts no bytes for `stall`.
/// Everything written to `io` before must have been flushed.
pub(crate) async fn serve_long_lived<T, B>(io: T, answer: Response<B>, stall: Duration)
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, body) = answer.into_parts();
    let mut stream = LongLivedStream {
        io,
        body,
        write_stall_timeout: stall,
        unexpected_input: 0,
    };
    // An error means that the client is gone: there is nothing to report.
    drop(stream.write_response(head).await);
}

impl<T, B> LongLivedStream<T, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    async fn write_response(&mut self, head: Parts) -> io::Result<()> {
        let begin = encode_head(head);
        self.write(begin).await?;
        while let Some(piece) = poll_fn(|cx| self.poll_chunk(cx)).await? {
            self.write(encode_chunk(&piece)).await?;
        }
        self.write(b"0\r\n\r\n".to_vec()).await?;
        timeout(self.write_stall_timeout, self.io.shutdown()).await?
    }

    /// Returns the next chunk that is not empty, `None` at the end, or an error as soon as the client has disconnected.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.check_client(cx)?;
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                None => return Poll::Ready(Ok(None)),
                Some(Ok(Ok(piece))) if !piece.is_empty() => return Poll::Ready(Ok(Some(piece))),
                // An empty chunk would end the response, and event streams have no trailers.
                Some(Ok(Ok(_) | Err(_))) => {}
                // The last chunk is omitted, so the client sees that the response is incomplete.
                Some(Err(_broken)) => return Poll::Ready(Err(io::ErrorKind::Other.into())),
            }
        }
    }

    /// Returns an error if the client has disconnected or sent too much. Input on this connection is discarded, not
    /// parsed as a request.
    fn check_client(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let mut buffer = [0; 256];
            let mut buffer = ReadBuf::new(&mut buffer);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(read) => read?,
            }
            let received = buffer.filled().len();
            self.unexpected_input += received;
            if received == 0 || self.unexpected_input > UNEXPECTED_INPUT_LIMIT {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }

    async fn write(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let taken = timeout(self.write_stall_timeout, self.io.write(left)).await??;
            left = left
                .get(taken..)
                .filter(|_| taken > 0)
                .ok_or(io::ErrorKind::WriteZero)?;
        }
        timeout(self.write_stall_timeout, self.io.flush()).await?
    }
}

/// Encodes the head of a response of unknown length (RFC 9112, section 7.1); the connection closes after it.
fn encode_head(mut head: Parts) -> Vec<u8> {
    let put = |name, value| (name, HeaderValue::from_static(value));
    head.headers.extend([
        put(header::TRANSFER_ENCODING, "chunked"),
        put(header::CONNECTION, "close"),
    ]);
    let now = httpdate::fmt_http_date(to_system_time(SystemClock.now()));
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

fn encode_chunk(piece: &Bytes) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", piece.len()).into_bytes();
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

#[cfg(test)]
mod tests;
