//! Records of requests through gateways, for operators that follow them. They have neither arguments nor results.

use std::time::Duration;

use crate::{ObjectName, Slug, Timestamp, Uid};

/// Maximum number of records that a proxy keeps.
pub const KEPT_RECORDS: usize = 4_096;

/// Maximum number of past records that one reader gets.
pub const PAST_RECORDS: usize = 1_000;

/// Maximum length of the name of a client program in bytes. A longer name is cut.
pub const CLIENT_NAME: usize = 40;

/// Maximum length of a requested name that no tool has, in bytes. A longer name is cut.
pub const REQUESTED_NAME: usize = 128;

/// Record of one request through a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// Gateway of the request.
    pub gateway: ObjectName,
    /// Number of the record at its proxy.
    pub sequence: u64,
    /// Arrival of the request, by the clock of the proxy.
    pub received: Timestamp,
    /// Time until the answer was complete.
    pub duration: Duration,
    /// Principal within its organization, such as `user:ada`. Empty if the request was not authenticated.
    pub principal: String,
    /// Id of the token; may be empty.
    pub token: String,
    /// Name that the client program gives itself; may be empty.
    pub client: String,
    /// Protocol version; may be empty.
    pub version: String,
    /// JSON-RPC method, `GET` or `DELETE`; empty if the request was refused before its message was read.
    pub method: String,
    /// Exposed name of the tool, or the requested name of a refused request; may be empty.
    pub tool: String,
    /// Id of the server; empty if no server was called.
    pub server: String,
    /// End of the request.
    pub result: CallEndKind,
    /// Reason of a failure or refusal; may be empty.
    pub reason: String,
    /// Size of the message of the client.
    pub request_bytes: u64,
    /// Size of the answer and of the messages before it.
    pub response_bytes: u64,
}

/// End of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallEndKind {
    /// The request was answered.
    Answered,
    /// The answer asks the client for input.
    InputRequired,
    /// The tool reports that it failed.
    ToolError,
    /// The server answered with a JSON-RPC error.
    RpcError,
    /// The server could not be called, or did not answer as it should.
    Failed,
    /// The proxy refused the request.
    Refused,
    /// The client cancelled the request, or disconnected.
    Cancelled,
}

/// Request of a reader for the records of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallQuery {
    /// Id among the queries of a control plane.
    pub id: u64,
    /// Records to select.
    pub filter: CallFilter,
    /// Age of the oldest record; `None` for any age.
    pub since: Option<Duration>,
    /// Number of past records, the latest ones; at most [`PAST_RECORDS`].
    pub tail: usize,
}

/// Selection of records. A member that is `None` matches every record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFilter {
    /// Gateway of the request.
    pub gateway: ObjectName,
    /// Identity of the gateway, so that requests to an earlier one of the same name are not selected. `None` in a query of
    /// an earlier build.
    pub gateway_uid: Option<Uid>,
    /// Server that was called.
    pub server: Option<Slug>,
    /// Exposed name of the tool.
    pub tool: Option<String>,
    /// Principal, such as `user:ada`.
    pub principal: Option<String>,
    /// Id of the token.
    pub token: Option<Slug>,
    /// True for requests that were not answered as they should.
    pub failed: bool,
}

impl CallEndKind {
    /// Returns `true` if the request was not answered as it should.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Answered | Self::InputRequired => false,
            Self::ToolError | Self::RpcError | Self::Failed | Self::Refused | Self::Cancelled => {
                true
            }
        }
    }
}

impl CallFilter {
    /// Returns a filter that selects all records of gateways of this name.
    pub fn of_gateway(gateway: ObjectName) -> Self {
        Self {
            gateway,
            gateway_uid: None,
            server: None,
            tool: None,
            principal: None,
            token: None,
            failed: false,
        }
    }
}
