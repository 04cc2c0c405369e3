//! Reasons why there is no connection to a control plane, with its address. Programs decide on the reason.

use std::{error::Error, fmt, io, sync::Arc};

use rustls::{Error as TlsError, InvalidMessage};

/// Reason why an address cannot be used as that of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectProblem {
    /// The host name has no address.
    Unresolved,
    /// Nothing listens at the port.
    Refused,
    /// There was no answer in time.
    Timeout,
    /// Any other failure to connect.
    Unreachable,
    /// TLS is spoken, and the peer answers in clear text.
    PeerWithoutTls,
    /// Clear text is spoken, and the peer speaks TLS.
    PeerWithTls,
    /// The peer speaks HTTP/1, and gRPC needs HTTP/2.
    Http1,
    /// The TLS handshake failed, for example because the certificate is not trusted.
    Handshake,
}

/// Failure to connect to a control plane.
#[derive(Debug)]
pub struct ControlConnectError {
    /// `host:port` that was dialled.
    pub address: Arc<str>,
    /// Reason.
    pub problem: ConnectProblem,
    source: Option<io::Error>,
}

impl ConnectProblem {
    /// Returns the reason as logs name it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unresolved => "host_unresolved",
            Self::Refused => "connection_refused",
            Self::Timeout => "connect_timeout",
            Self::Unreachable => "unreachable",
            Self::PeerWithoutTls => "peer_without_tls",
            Self::PeerWithTls => "peer_with_tls",
            Self::Http1 => "http1",
            Self::Handshake => "tls_handshake",
        }
    }

    /// Returns the reason for a failure to connect.
    fn of_connect(error: &io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else if kind == io::ErrorKind::TimedOut {
            Self::Timeout
        } else {
            Self::Unreachable
        }
    }

    /// Returns the reason for a TLS handshake that failed.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|it| it.downcast_ref());
        match tls {
            Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                Self::PeerWithoutTls
            }
            _ => Self::Handshake,
        }
    }
}

impl fmt::Display for ConnectProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unresolved => "its host name has no address",
            Self::Refused => "nothing listens there",
            Self::Timeout => "it does not answer in time",
            Self::Unreachable => "no connection to it can be made",
            Self::PeerWithoutTls => "it speaks no TLS: it answers in clear text",
            Self::PeerWithTls => "it speaks TLS, and was addressed in clear text",
            Self::Http1 => "it speaks HTTP/1, which is not gRPC",
            Self::Handshake => "the TLS handshake failed",
        })
    }
}

impl ControlConnectError {
    /// Creates the error of an address that was found to be unsuitable.
    pub fn new(address: Arc<str>, problem: ConnectProblem) -> Self {
        Self {
            address,
            problem,
            source: None,
        }
    }

    pub(super) fn unresolved(address: &Arc<str>, source: io::Error) -> Self {
        Self::with(address, ConnectProblem::Unresolved, source)
    }

    pub(super) fn of_connect(address: &Arc<str>, source: io::Error) -> Self {
        Self::with(address, ConnectProblem::of_connect(&source), source)
    }

    pub(super) fn of_handshake(address: &Arc<str>, source: io::Error) -> Self {
        Self::with(address, ConnectProblem::of_handshake(&source), source)
    }

    fn with(address: &Arc<str>, problem: ConnectProblem, source: io::Error) -> Self {
        Self {
            address: Arc::clone(address),
            problem,
            source: Some(source),
        }
    }

    /// Returns the error of a connector in `error` or its sources, such as in the status of a gRPC request.
    pub fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(current) = next {
            // The error of a socket holds the error of the connector, which is none of its sources.
            let held = current.downcast_ref::<io::Error>();
            let held = held.and_then(io::Error::get_ref);
            let held = held.and_then(|it| it.downcast_ref());
            if let Some(found) = held.or_else(|| current.downcast_ref()) {
                return Some(found);
            }
            next = current.source();
        }
        None
    }
}

impl From<ControlConnectError> for io::Error {
    fn from(error: ControlConnectError) -> Self {
        let kind = error.source.as_ref().map(Self::kind);
        Self::new(kind.unwrap_or(io::ErrorKind::Other), error)
    }
}

impl fmt::Display for ControlConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.problem)?;
        match (self.problem, &self.source) {
            (ConnectProblem::Unreachable | ConnectProblem::Handshake, Some(source)) => {
                write!(f, " ({source})")
            }
            (_, _) => Ok(()),
        }
    }
}

impl Error for ControlConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as &dyn Error)
    }
}
