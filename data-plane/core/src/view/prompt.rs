//! One prompt as a gateway exposes it.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_model::Digest;

use crate::ServerView;

/// A prompt under the name clients see.
#[derive(Debug)]
pub struct PromptView {
    /// The name clients see.
    pub exposed: Box<str>,
    /// The server's own name.
    pub original: Box<str>,
    /// The server's own name as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
    /// The server that has it.
    pub server: Arc<ServerView>,
    /// Of its definition.
    pub digest: Digest,
}
