//! Where a server is, and what may be spent on it.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use toolgate_mcp::sse::SseLimits;
use toolgate_model::{MaxAnswer, Timeouts};
use toolgate_runtime::Budget;
use url::Url;

use crate::{error::ClientError, old::OldStream};

/// One server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its Streamable HTTP endpoint.
    pub uri: Uri,
    /// What is presented to it; the value is marked sensitive and is never shown.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// Limits of one call. `connect` is a matter of the pool that the client was made with.
    pub timeouts: Timeouts,
    /// How much of an answer is read.
    pub limits: ReadLimits,
    /// Where answers are counted as long as they are held.
    pub answers: Option<Arc<Budget>>,
    /// With a server of old: the stream on which it answers.
    pub old: Option<Arc<OldStream>>,
}

/// How much of an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of one message, be it a JSON document or an event of a stream.
    pub message: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            message: MaxAnswer::default().bytes(),
        }
    }
}

impl ReadLimits {
    /// For answers of which little is expected.
    pub const SMALL: Self = Self {
        message: 1024 * 1024,
    };

    /// Of a stream: a line may hold a message and its field's name, an event a message and the break after it.
    pub(crate) fn sse(self) -> SseLimits {
        SseLimits {
            line: self.message + "data: ".len(),
            event: self.message + 1,
        }
    }
}

impl Endpoint {
    /// At `url`, presenting `header`.
    pub fn new(
        url: &Url,
        header: Option<(HeaderName, HeaderValue)>,
        timeouts: Timeouts,
    ) -> Result<Self, ClientError> {
        Self::at(url.as_str(), header, timeouts)
    }

    /// The same, for a URL as text.
    pub fn at(
        url: &str,
        header: Option<(HeaderName, HeaderValue)>,
        timeouts: Timeouts,
    ) -> Result<Self, ClientError> {
        let uri: Uri = url
            .parse()
            .map_err(|_| ClientError::Request("the URL of the server is not valid"))?;
        if uri.authority().is_none() {
            return Err(ClientError::Request("the URL of the server names no host"));
        }
        let header = header.map(|(name, mut value)| {
            value.set_sensitive(true);
            (name, value)
        });
        Ok(Self {
            uri,
            header,
            timeouts,
            limits: ReadLimits::default(),
            answers: None,
            old: None,
        })
    }

    /// The same server, which answers on this stream if there is one.
    #[must_use]
    pub fn over(mut self, old: Option<Arc<OldStream>>) -> Self {
        self.old = old;
        self
    }

    /// The same server, whose answers are counted there.
    #[must_use]
    pub fn counted(mut self, answers: Arc<Budget>) -> Self {
        self.answers = Some(answers);
        self
    }

    /// The same server with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: ReadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same server, with no time limit longer than `most`.
    #[must_use]
    pub fn within(mut self, most: Duration) -> Self {
        let Timeouts {
            connect,
            first_byte,
            idle,
            total,
        } = &mut self.timeouts;
        for limit in [connect, first_byte, idle, total] {
            *limit = most.min(*limit);
        }
        self
    }
}
