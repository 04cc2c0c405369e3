//! Errors of calls to a server. Callers derive their own error response and the decision to retry from them.

use std::{borrow::Cow, fmt, time::Duration};

use http::StatusCode;
use toolgate_egress::{EgressError, EgressErrorClass};
use toolgate_mcp::{
    FrameError, RpcError, cdn_loop::CdnLoopError, deceptive_text, error::DATA_REFUSAL,
};
use toolgate_runtime::budget::BudgetExceeded;

use crate::presented::PresentedCredential;

/// Error of a call to a server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request could not be built.
    #[error("{0}")]
    Request(&'static str),
    /// The connection failed.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A timeout expired.
    #[error("the server took too long: {0}")]
    Timeout(TimeoutPhase),
    /// The connection failed while the response was read.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// The response exceeds the size limit, in bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The response expands further than the limit when its content coding is removed: the ratio.
    #[error(
        "the answer expands to more than {0} times its compressed size; have the server answer `Accept-Encoding: identity` unencoded"
    )]
    Expansion(u64),
    /// The response stream exceeds the event limit.
    #[error("the server sent more than {0} messages without an answer")]
    TooManyEvents(u32),
    /// The budget for held responses is exhausted.
    #[error("there is no room for more answers of servers now")]
    Exhausted,
    /// The response is not a valid message.
    #[error("the answer is not a valid message: {0}")]
    Frame(#[from] FrameError),
    /// HTTP status other than success.
    #[error("{0}")]
    Status(Box<StatusProblem>),
    /// JSON-RPC error.
    #[error("the server answered with error {}: {}", .0.code, shorten(&.0.message))]
    Rpc(Box<RpcError>),
    /// Protocol violation, described by Toolgate.
    #[error("{0}")]
    Protocol(Cow<'static, str>),
    /// No version is supported by both.
    #[error("the server speaks {offered}, which is not supported")]
    NoCommonVersion {
        /// Versions offered by the server.
        offered: String,
    },
}

/// Timeout that expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutPhase {
    /// Time until the response head.
    FirstByte,
    /// Time between two chunks of the response.
    Idle,
    /// Total time.
    Total,
}

/// HTTP status other than success.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusProblem {
    /// HTTP status.
    pub status: StatusCode,
    /// Value of `Retry-After`, if present in seconds.
    pub retry_after: Option<Duration>,
    /// JSON-RPC error in the body, if any.
    pub rpc: Option<RpcError>,
}

impl From<BudgetExceeded> for ClientError {
    fn from(_exhausted: BudgetExceeded) -> Self {
        Self::Exhausted
    }
}

impl ClientError {
    /// Returns `true` if the server does not know the method.
    pub fn is_unknown_method(&self) -> bool {
        self.rpc().is_some_and(|error| error.code == -32601)
    }

    /// Returns `true` if the error concerns one endpoint and proves that no byte of the request was sent, so that another
    /// endpoint of the server may be asked. A lack of resources, a refusal and a forward proxy concern all endpoints alike.
    pub fn is_endpoint_unreachable(&self) -> bool {
        let Self::Egress(error) = self else {
            return false;
        };
        match error {
            EgressError::Resolve { .. }
            | EgressError::Connect { .. }
            | EgressError::ConnectTimeout { .. }
            | EgressError::Tls(_)
            | EgressError::Certificate { .. } => true,
            EgressError::Url(_)
            | EgressError::Forbidden(_)
            | EgressError::Exhausted(_)
            | EgressError::ForwardProxy { .. }
            | EgressError::TlsSetup(_)
            | EgressError::Broken(_) => false,
        }
    }

    /// Returns a description for parties other than the operator of this process. It contains no resolved address and
    /// no text of the server.
    pub fn public_message(&self) -> String {
        match self {
            Self::Request(words) => (*words).to_owned(),
            Self::Egress(error) => {
                let class = match error.class() {
                    EgressErrorClass::Denied => {
                        "Toolgate is not permitted to connect to its address"
                    }
                    EgressErrorClass::Unresolved => "its host name has no address",
                    EgressErrorClass::Unreachable => "no connection to it could be made",
                    EgressErrorClass::Exhausted => {
                        "Toolgate itself has no resources for more connections"
                    }
                    EgressErrorClass::ForwardProxy => {
                        "no connection to it could be made through the proxy that Toolgate is given"
                    }
                    EgressErrorClass::Tls => "no secure connection to it could be made",
                    EgressErrorClass::Broken => "the connection broke",
                };
                match error.certificate_problem() {
                    Some(problem) => format!("{class}: {problem}"),
                    None => class.to_owned(),
                }
            }
            Self::Timeout(_)
            | Self::TooLarge(_)
            | Self::Expansion(_)
            | Self::TooManyEvents(_)
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

    /// Hides the values of the credential of the request in the text of the server. Some servers quote the URL.
    pub(crate) fn without_values_of(mut self, credential: Option<&PresentedCredential>) -> Self {
        let text = match &mut self {
            Self::Rpc(error) => Some(&mut error.message),
            Self::Status(problem) => problem.rpc.as_mut().map(|error| &mut error.message),
            Self::Request(_)
            | Self::Egress(_)
            | Self::Timeout(_)
            | Self::Broken(_)
            | Self::TooLarge(_)
            | Self::Expansion(_)
            | Self::TooManyEvents(_)
            | Self::Exhausted
            | Self::Frame(_)
            | Self::Protocol(_)
            | Self::NoCommonVersion { .. } => None,
        };
        if let (Some(text), Some(credential)) = (text, credential) {
            credential.hide_in(text.to_mut());
        }
        self
    }

    /// Returns the reason of a Toolgate gateway that reports a loop of requests.
    pub fn reported_loop(&self) -> Option<CdnLoopError> {
        let Self::Status(problem) = self else {
            return None;
        };
        let data = problem.rpc.as_ref()?.data.as_ref()?;
        let reason = data.get(DATA_REFUSAL)?.as_str()?;
        CdnLoopError::of_kind(reason).filter(|_| problem.status == StatusCode::LOOP_DETECTED)
    }

    /// Returns the HTTP status, if the error is one.
    pub fn status(&self) -> Option<StatusCode> {
        let Self::Status(problem) = self else {
            return None;
        };
        Some(problem.status)
    }

    /// Returns the JSON-RPC error, as a response of its own or in the body of an HTTP error.
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc(error) => Some(error),
            Self::Status(problem) => problem.rpc.as_ref(),
            Self::Request(_)
            | Self::Egress(_)
            | Self::Timeout(_)
            | Self::Broken(_)
            | Self::TooLarge(_)
            | Self::Expansion(_)
            | Self::TooManyEvents(_)
            | Self::Exhausted
            | Self::Frame(_)
            | Self::Protocol(_)
            | Self::NoCommonVersion { .. } => None,
        }
    }
}

impl fmt::Display for TimeoutPhase {
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

/// Sanitizes untrusted text for one line of a report: at most 200 bytes, no line breaks or tabs, and characters that
/// deceive a reader as escapes.
pub fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    let mut short = String::new();
    for (c, deceives) in deceptive_text::classified(text) {
        let shown = match c {
            '\n' | '\r' | '\t' => " ".to_owned(),
            _ if deceives => c.escape_unicode().to_string(),
            _ => c.to_string(),
        };
        if short.len() + shown.len() > MOST - '…'.len_utf8() {
            short.push('…');
            break;
        }
        short.push_str(&shown);
    }
    short
}
