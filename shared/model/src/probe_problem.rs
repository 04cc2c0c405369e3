//! Problem that a probe of a server found: a text for people, and its outcome and cause for programs.

use serde::{Deserialize, Serialize};

/// Problem that the last probe of a server found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeProblem {
    /// Description with a remedy.
    pub text: String,
    /// Extent to which the probe succeeded.
    pub outcome: ProbeOutcome,
    /// Cause, if something failed and the cause is known.
    pub failure: Option<ProbeFailure>,
}

/// Outcome of a probe that found a problem. Later variants outweigh earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProbeOutcome {
    /// Not known: an earlier version of the program recorded the problem, or a later one an outcome of its own.
    Unknown,
    /// The server has answered, and all it offers was read. The problem is a warning about it.
    Warned,
    /// The server has answered. Some of what it offers could not be read or stored; there, the earlier definitions stay.
    Incomplete,
    /// The server could not be probed. The definitions of earlier probes stay.
    Failed,
}

/// Cause of a probe that failed or is incomplete. If lists fail for several causes, the first variant counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProbeFailure {
    /// The server is a gateway that reports a loop: it leads back to this deployment.
    GatewayLoop,
    /// The egress policy does not allow the address.
    AddressDenied,
    /// The server requires a credential, or a different one, or its credential cannot be used.
    Credential,
    /// The host name has no address.
    HostUnresolved,
    /// The control plane has no descriptors or ports for more connections.
    ResourcesExhausted,
    /// There is no way through the forward proxy.
    ForwardProxy,
    /// No connection could be made, or it broke.
    Unreachable,
    /// The server did not answer in time.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// An answer exceeds the size limit.
    AnswerTooLarge,
    /// The server speaks no version of the protocol that Toolgate speaks.
    ProtocolVersion,
    /// The control plane has no room for the answer now, or stores it with a later probe.
    Overloaded,
    /// The URL leads to another one.
    Redirected,
    /// The server itself is faulty.
    ServerFault,
    /// The definitions change at almost every probe.
    UnstableDefinitions,
    /// The store has no room for the definitions.
    StoreFull,
    /// The answers are not those of an MCP server, or the path is wrong.
    NotMcp,
}

impl ProbeProblem {
    /// Creates the problem of a server that could not be probed.
    pub fn failed(text: impl Into<String>, failure: ProbeFailure) -> Self {
        Self {
            text: text.into(),
            outcome: ProbeOutcome::Failed,
            failure: Some(failure),
        }
    }

    /// Creates the problem of a server some of whose definitions could not be read or stored.
    pub fn incomplete(text: impl Into<String>, failure: ProbeFailure) -> Self {
        Self {
            text: text.into(),
            outcome: ProbeOutcome::Incomplete,
            failure: Some(failure),
        }
    }

    /// Creates a warning about what a server offers.
    pub fn warning(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            outcome: ProbeOutcome::Warned,
            failure: None,
        }
    }

    /// Joins the problem with another one of the same probe. `separator` stands between the texts.
    #[must_use]
    pub fn joined(self, separator: &str, other: &Self) -> Self {
        let causes = [self.failure, other.failure];
        Self {
            text: format!("{}{separator}{}", self.text, other.text),
            outcome: self.outcome.max(other.outcome),
            failure: causes.into_iter().flatten().min(),
        }
    }
}

#[cfg(test)]
mod tests;
