//! Response bodies. A body holds its connection until the last frame was read and then returns it to the pool. A body
//! dropped earlier closes the connection.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{http1_connection::Http1Connection, pool::HostPool};

/// Maximum size, in bytes, of a last frame that is copied, so that it does not keep the read buffer of its connection.
const COPY_LIMIT: usize = 4 * 1024;

/// Body of a response.
pub struct EgressResponseBody {
    body: Incoming,
    connection: Option<(Box<Http1Connection>, Arc<HostPool>)>,
}

impl EgressResponseBody {
    /// Wraps the body of a response on a shared (HTTP/2) connection.
    pub(crate) fn shared(body: Incoming) -> Self {
        Self {
            body,
            connection: None,
        }
    }

    /// Wraps the body of a response on a connection used by this request alone (HTTP/1.1).
    pub(crate) fn own(
        body: Incoming,
        connection: Box<Http1Connection>,
        host: Arc<HostPool>,
    ) -> Self {
        let connection = Some((connection, host));
        let mut answer = Self { body, connection };
        answer.release_if_ended();
        answer
    }

    fn release_if_ended(&mut self) {
        if self.body.is_end_stream() {
            self.release_connection();
        }
    }

    fn release_connection(&mut self) {
        if let Some((connection, host)) = self.connection.take() {
            host.release(connection);
        }
    }
}

impl http_body::Body for EgressResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some((connection, _host)) = &mut this.connection else {
            return Pin::new(&mut this.body).poll_frame(cx);
        };
        let mut frame = std::task::ready!(connection.poll_body(cx, &mut this.body));
        match &mut frame {
            Some(Ok(last)) if this.body.is_end_stream() => {
                detach_from_read_buffer(last);
                this.release_connection();
            }
            Some(Ok(_)) => {}
            None => this.release_connection(),
            Some(Err(_broken)) => this.connection = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Copies a small frame: as long as a slice of the read buffer exists, the next read of the connection allocates another
/// buffer.
fn detach_from_read_buffer(frame: &mut Frame<Bytes>) {
    if let Some(bytes) = frame.data_mut()
        && bytes.len() <= COPY_LIMIT
    {
        *bytes = Bytes::copy_from_slice(bytes);
    }
}

impl fmt::Debug for EgressResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}
