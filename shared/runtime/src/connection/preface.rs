//! Detection of HTTP/2 on a connection that negotiates no protocol.

use std::io;

use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, net::TcpStream};

/// First bytes of an HTTP/2 connection. No method of HTTP/1 begins with them.
const PREFACE: &[u8; 3] = b"PRI";

/// Peeks at the stream and returns `true` if it begins with the HTTP/2 preface. Waits for events only: part of a preface
/// costs nothing until more arrives.
pub async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let decided = stream.try_io(Interest::READABLE, || {
            let mut first = [0; PREFACE.len()];
            let (received, _length) = recv(stream, &mut first, RecvFlags::PEEK)?;
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first.get(..received) != PREFACE.get(..received) {
                return Ok(false);
            }
            if received == PREFACE.len() {
                return Ok(true);
            }
            // Clears the readiness, so that the next event is the arrival of more.
            Err(io::ErrorKind::WouldBlock.into())
        });
        match decided {
            // A peer that has closed its side sends no more, and its socket stays readable.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ready.is_read_closed() => {}
            decided => return decided,
        }
    }
}

#[cfg(test)]
mod tests;
