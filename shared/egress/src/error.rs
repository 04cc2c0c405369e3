//! Errors of outbound requests. Callers need to know above all if the request may have reached the server.

use std::io;

use crate::{
    certificate::CertificateProblem, forward_proxy::ForwardProxyProblem, policy::ForbiddenAddress,
};

/// Error of an outbound request.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The URL is not acceptable.
    #[error("cannot go to this URL: {0}")]
    Url(&'static str),
    /// The policy forbids the address.
    #[error("not allowed: {0}")]
    Forbidden(#[from] ForbiddenAddress),
    /// The host name has no address.
    #[error("cannot resolve `{host}`: {source}")]
    Resolve {
        /// Host name.
        host: String,
        /// Cause.
        source: io::Error,
    },
    /// The TCP connection failed.
    #[error("cannot connect to `{host}`: {source}")]
    Connect {
        /// Host name.
        host: String,
        /// Cause for the last address tried.
        source: io::Error,
    },
    /// The connection was not established in time.
    #[error("cannot connect to `{host}`: timed out")]
    ConnectTimeout {
        /// Host name.
        host: String,
    },
    /// This process has no descriptor, port or memory for another connection.
    #[error("this process has no resources for more connections: {0}")]
    Exhausted(io::Error),
    /// There is no connection through the proxy that is set.
    #[error("no connection through the proxy `{proxy}`: {problem}")]
    ForwardProxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Reason.
        problem: ForwardProxyProblem,
    },
    /// The TLS handshake failed, e.g. because the certificate is not valid for the host.
    #[error("no TLS with the server: {0}")]
    Tls(String),
    /// The certificate of the server is rejected.
    #[error("no TLS with the server: {problem} ({detail})")]
    Certificate {
        /// Reason.
        problem: CertificateProblem,
        /// Error of the verifier.
        detail: String,
    },
    /// The connection failed after it was established: the server may have received the request.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The local TLS configuration is unusable: no connection is possible.
    #[error("TLS cannot be set up: {0}")]
    TlsSetup(String),
}

/// Class of an error, safe to show to parties other than the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressErrorClass {
    /// Forbidden by policy.
    Denied,
    /// The host name has no address.
    Unresolved,
    /// No connection to an address of the host.
    Unreachable,
    /// No resources of this process for a connection.
    Exhausted,
    /// No connection through the proxy that is set.
    ForwardProxy,
    /// TLS failure.
    Tls,
    /// Failure of an established connection.
    Broken,
}

impl EgressError {
    /// Returns `true` if the server has certainly received nothing of the request. Callers decide if a retry makes sense.
    pub fn connect_failed(&self) -> bool {
        match self {
            Self::Broken(_) => false,
            Self::Url(_)
            | Self::Forbidden(_)
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Exhausted(_)
            | Self::ForwardProxy { .. }
            | Self::Tls(_)
            | Self::Certificate { .. }
            | Self::TlsSetup(_) => true,
        }
    }

    /// Returns the problem of the server's certificate, if that is the error. It may be shown to others.
    pub fn certificate_problem(&self) -> Option<CertificateProblem> {
        let Self::Certificate { problem, .. } = self else {
            return None;
        };
        Some(*problem)
    }

    /// Returns the class that may be shown to operators of an organization. Closed and filtered ports are one class: the
    /// difference would let them map a network. A name without an address is a class of its own: names of internal hosts
    /// are [`Denied`](EgressErrorClass::Denied) anyway.
    pub fn class(&self) -> EgressErrorClass {
        match self {
            Self::Url(_) | Self::Forbidden(_) => EgressErrorClass::Denied,
            Self::Resolve { .. } => EgressErrorClass::Unresolved,
            Self::Connect { .. } | Self::ConnectTimeout { .. } => EgressErrorClass::Unreachable,
            Self::Exhausted(_) => EgressErrorClass::Exhausted,
            Self::ForwardProxy { .. } => EgressErrorClass::ForwardProxy,
            Self::Tls(_) | Self::Certificate { .. } | Self::TlsSetup(_) => EgressErrorClass::Tls,
            Self::Broken(_) => EgressErrorClass::Broken,
        }
    }
}
