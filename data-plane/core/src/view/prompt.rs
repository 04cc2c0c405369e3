//! Prompts as exposed by a gateway.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::text::quote;
use toolgate_model::{Definition, Digest, Era, snapshot::ExposedPrompt};

use crate::{
    ServerView,
    view::{ListItem, renamed_definition::RenamedDefinition},
};

/// Prompt under its exposed name.
#[derive(Debug)]
pub struct PromptView {
    /// Exposed name.
    pub exposed: Box<str>,
    /// The server's own name.
    pub original: Box<str>,
    /// The server's own name as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
    /// Server that has the prompt.
    pub server: Arc<ServerView>,
    /// Digest of the definition.
    pub digest: Digest,
    definition: RenamedDefinition,
}

impl PromptView {
    /// Creates the view of a prompt, or returns the reason why it cannot be exposed.
    pub(super) fn new(
        prompt: &ExposedPrompt,
        server: &Arc<ServerView>,
        definition: &Definition,
    ) -> Result<Self, &'static str> {
        let renamed = RenamedDefinition::new(&definition.json, "name", &prompt.exposed);
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

impl ListItem for PromptView {
    fn weight(&self) -> usize {
        self.definition.weight()
    }

    fn write(&self, _era: Era, out: &mut String) {
        self.definition.write(out);
    }
}
