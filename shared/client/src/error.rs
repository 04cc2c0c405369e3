//! Why a server gave no answer that can be used. A caller decides from it what to say, and whether to try again.

use std::{borrow::Cow, fmt, time::Duration};

use http::StatusCode;
use toolgate_egress::{Class, EgressError};
use toolgate_mcp::{FrameError, RpcError};
use toolgate_runtime::budget::Exhausted;

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// We could not even form the request.
    #[error("{0}")]
    Request(&'static str),
    /// No connection, or it broke.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// Took too long.
    #[error("the server took too long: {0}")]
    Timeout(Phase),
    /// The connection broke while the answer was read.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// More than is read.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// More events than are listened to.
    #[error("the server said more than {0} things and had not answered yet")]
    TooMuch(u32),
    /// Our own bound on answers that are held.
    #[error("there is no room for more answers of servers now")]
    Exhausted,
    /// Not a message.
    #[error("the answer is not a valid message: {0}")]
    Frame(#[from] FrameError),
    /// An HTTP status other than success.
    #[error("{0}")]
    Status(Box<StatusProblem>),
    /// A JSON-RPC error.
    #[error("the server answered with error {}: {}", .0.code, shorten(&.0.message))]
    Rpc(Box<RpcError>),
    /// Against the protocol, in words of ours.
    #[error("{0}")]
    Protocol(Cow<'static, str>),
    /// No version that both speak.
    #[error("the server speaks {theirs}, which is not supported")]
    NoCommonVersion {
        /// What it offered.
        theirs: String,
    },
}

/// Which clock ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Until the head of the answer.
    FirstByte,
    /// Between two pieces of it.
    Idle,
    /// Altogether.
    Total,
}

/// An HTTP status other than success.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusProblem {
    /// The status.
    pub status: StatusCode,
    /// When to come back, where the server said so.
    pub retry_after: Option<Duration>,
    /// The JSON-RPC error in its body, if there was one.
    pub rpc: Option<RpcError>,
}

impl From<Exhausted> for ClientError {
    fn from(_exhausted: Exhausted) -> Self {
        Self::Exhausted
    }
}

impl ClientError {
    /// Whether the server does not know the method.
    pub fn is_unknown_method(&self) -> bool {
        self.rpc().is_some_and(|error| error.code == -32601)
    }

    /// What may be told to others than the operator of this process: no address that a name led to, and no word of
    /// the server's.
    pub fn plain(&self) -> String {
        match self {
            Self::Request(words) => (*words).to_owned(),
            Self::Egress(error) => match error.class() {
                Class::Denied => "its URL is not one that Toolgate may go to",
                Class::Unreachable => "no connection to it could be made",
                Class::Tls => "no secure connection to it could be made",
                Class::Broken => "the connection broke",
            }
            .to_owned(),
            Self::Timeout(_)
            | Self::TooLarge(_)
            | Self::TooMuch(_)
            | Self::Exhausted
            | Self::Protocol(_) => self.to_string(),
            Self::Broken(_) => "the answer broke off".to_owned(),
            Self::Frame(_) => "the answer is not a valid message".to_owned(),
            Self::Status(problem) => {
                let code = problem.rpc.as_ref().map(|rpc| rpc.code);
                let code = code.map_or_else(String::new, |code| format!(" with error {code}"));
                format!("the server answered HTTP {}{code}", problem.status)
            }
            Self::Rpc(error) => format!("the server answered with error {}", error.code),
            Self::NoCommonVersion { .. } => {
                "the server speaks no version of the protocol that Toolgate speaks".to_owned()
            }
        }
    }

    /// The HTTP status, where that is what is wrong.
    pub fn status(&self) -> Option<StatusCode> {
        let Self::Status(problem) = self else {
            return None;
        };
        Some(problem.status)
    }

    /// The JSON-RPC error, as an answer of its own or in the body of another status.
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc(error) => Some(error),
            Self::Status(problem) => problem.rpc.as_ref(),
            Self::Request(_)
            | Self::Egress(_)
            | Self::Timeout(_)
            | Self::Broken(_)
            | Self::TooLarge(_)
            | Self::TooMuch(_)
            | Self::Exhausted
            | Self::Frame(_)
            | Self::Protocol(_)
            | Self::NoCommonVersion { .. } => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstByte => "it has not begun to answer",
            Self::Idle => "its answer stalled",
            Self::Total => "its answer did not end",
        })
    }
}

impl fmt::Display for StatusProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered HTTP {}", self.status)?;
        if let Some(rpc) = &self.rpc {
            write!(f, " with error {}: {}", rpc.code, shorten(&rpc.message))?;
        }
        Ok(())
    }
}

/// Text of a stranger, fit for one line of a report: at most 200 bytes, no control characters.
pub fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    let mut short = String::new();
    for c in text.chars() {
        if short.len() + c.len_utf8() > MOST - '…'.len_utf8() {
            short.push('…');
            break;
        }
        short.push(if c.is_control() { ' ' } else { c });
    }
    short
}
