//! Stream of the requests through a gateway, from the admin API.

use prost_reflect::DynamicMessage;
use serde_json::Value;
use tonic::codec::Streaming;

use super::{AdminClient, status};
use crate::cli::{client::schema, output::error::CliError};

/// Open stream of messages.
pub struct CallTailStream {
    admin: AdminClient,
    messages: Streaming<DynamicMessage>,
}

impl AdminClient {
    /// Opens a stream of the requests that `request` selects.
    pub async fn tail_calls(&self, request: &Value) -> Result<CallTailStream, CliError> {
        let open = |is_latest| self.open_stream("Calls", "TailCalls", request, is_latest);
        // The gateway may have been created through another control plane. While the store does not answer, what this one
        // knows will do.
        let messages = match open(true).await? {
            Err(refused) if status::reason_of_old_state(&refused).is_some() => open(false).await?,
            opened => opened,
        };
        let messages = match messages {
            Ok(messages) => messages,
            Err(status) => return Err(self.explained(status).await),
        };
        Ok(CallTailStream {
            admin: self.clone(),
            messages,
        })
    }
}

impl CallTailStream {
    /// Returns the next message, or `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Value>, CliError> {
        let message = match self.messages.message().await {
            Ok(message) => message,
            Err(status) => return Err(self.admin.explained(status).await),
        };
        message.as_ref().map(schema::to_json).transpose()
    }
}
