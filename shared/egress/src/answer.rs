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

use crate::{line::Line, pool::Host};

/// Body of a response.
pub struct Answer {
    body: Incoming,
    line: Option<(Box<Line>, Arc<Host>)>,
}

impl Answer {
    /// Wraps the body of a response on a shared (HTTP/2) connection.
    pub(crate) fn shared(body: Incoming) -> Self {
        Self { body, line: None }
    }

    /// Wraps the body of a response on a connection used by this request alone (HTTP/1.1).
    pub(crate) fn own(body: Incoming, line: Box<Line>, host: Arc<Host>) -> Self {
        let line = Some((line, host));
        let mut answer = Self { body, line };
        answer.let_go_at_end();
        answer
    }

    fn let_go_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        if let Some((line, host)) = self.line.take() {
            host.put(line);
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some((line, _host)) = &mut this.line else {
            return Pin::new(&mut this.body).poll_frame(cx);
        };
        let frame = std::task::ready!(line.poll_body(cx, &mut this.body));
        match &frame {
            Some(Ok(_)) => this.let_go_at_end(),
            None => this.let_go(),
            Some(Err(_broken)) => this.line = None,
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

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}
