//! One prompt as a gateway exposes it.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::text::quote;
use toolgate_model::{Definition, Digest, Era, snapshot::ExposedPrompt};

use crate::{
    ServerView,
    view::{list::Listed, renamed::Renamed},
};

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
    definition: Renamed,
}

impl PromptView {
    /// The prompt, or why it cannot be exposed.
    pub(super) fn new(
        prompt: &ExposedPrompt,
        server: &Arc<ServerView>,
        definition: &Definition,
    ) -> Result<Self, &'static str> {
        let renamed = Renamed::new(&definition.json, "name", &prompt.exposed);
        Ok(Self {
            exposed: prompt.exposed.as_str().into(),
            original: prompt.original.as_str().into(),
            original_json: Bytes::from(quote(&prompt.original)),
            server: Arc::clone(server),
            digest: prompt.digest,
            definition: renamed.ok_or("its definition is not an object with a name")?,
        })
    }
}

impl Listed for PromptView {
    fn weight(&self) -> usize {
        self.definition.weight()
    }

    fn write(&self, _era: Era, out: &mut String) {
        self.definition.write(out);
    }
}
