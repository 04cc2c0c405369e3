//! Why a request did not get an answer. What matters to callers: may it have reached the server?

use std::{error::Error as StdError, io};

use crate::policy::Refused;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Not a URL we go to.
    #[error("cannot go to this URL: {0}")]
    Url(&'static str),
    /// The policy does not allow it.
    #[error("not allowed: {0}")]
    Refused(#[from] Refused),
    /// The name has no address.
    #[error("cannot resolve `{host}`: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody accepts connections there.
    #[error("cannot connect to `{host}`: {source}")]
    Connect {
        /// The name.
        host: String,
        /// Why, for the last address tried.
        source: io::Error,
    },
    /// No connection stood in time.
    #[error("cannot connect to `{host}`: timed out")]
    ConnectTimeout {
        /// The name.
        host: String,
    },
    /// The server is not who it should be, or does not speak TLS as it should.
    #[error("no TLS with the server: {0}")]
    Tls(String),
    /// The connection broke after it stood: the server may have seen the request.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Our own set-up does not allow any connection.
    #[error("TLS cannot be set up: {0}")]
    SetUp(String),
}

/// All that anybody but the operator may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Refused by policy.
    Denied,
    /// No connection.
    Unreachable,
    /// No TLS.
    Tls,
    /// Broke while in use.
    Broken,
}

impl EgressError {
    /// Whether it is certain that the server has seen nothing of the request, so that it may be sent again.
    pub fn connect_failed(&self) -> bool {
        match self {
            Self::Broken(_) => false,
            Self::Url(_)
            | Self::Refused(_)
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls(_)
            | Self::SetUp(_) => true,
        }
    }

    /// What may be told to others. Closed, filtered and unresolvable are one class: the difference would let a
    /// caller map a network.
    pub fn class(&self) -> Class {
        match self {
            Self::Url(_) | Self::Refused(_) => Class::Denied,
            Self::Resolve { .. } | Self::Connect { .. } | Self::ConnectTimeout { .. } => {
                Class::Unreachable
            }
            Self::Tls(_) | Self::SetUp(_) => Class::Tls,
            Self::Broken(_) => Class::Broken,
        }
    }
}

/// An error with what caused it, on one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}
