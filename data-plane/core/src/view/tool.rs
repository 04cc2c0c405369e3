//! Tools as exposed by a gateway.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{ByteSpan, headers::params::HeaderAnnotations};
use toolgate_model::{Digest, Era};

use crate::{
    ServerView,
    view::{ListItem, shape::ReservedArguments},
};

/// Tool under its exposed name.
#[derive(Debug)]
pub struct ToolView {
    /// Exposed name.
    pub exposed: Box<str>,
    /// The server's own name.
    pub original: Box<str>,
    /// The server's own name as a JSON string, to be spliced into requests.
    pub original_json: Bytes,
    /// Server that has the tool.
    pub server: Arc<ServerView>,
    /// Digest of the definition.
    pub digest: Digest,
    /// Digest of the exposed definition except for the name. Equal to `digest` unless the tool is shaped.
    pub exposed_digest: Digest,
    /// `readOnlyHint` of the server. An unverified claim; no decision about trust is based on it.
    pub read_only: bool,
    /// `idempotentHint` of the server. An unverified claim.
    pub idempotent: bool,
    /// Arguments that modern clients repeat in headers.
    pub params: HeaderAnnotations,
    /// Arguments that callers may not set.
    pub(crate) reserved_arguments: Option<Box<ReservedArguments>>,
    pub(super) definition: Arc<str>,
    pub(super) name_span: ByteSpan,
    /// Complete definition for legacy clients, if it differs.
    pub(super) legacy: Option<Box<str>>,
}

impl ToolView {
    /// Definition as clients of this era see it.
    pub fn definition(&self, era: Era) -> String {
        let mut out = String::new();
        self.write(era, &mut out);
        out
    }
}

impl ListItem for ToolView {
    fn weight(&self) -> usize {
        self.definition.len() + self.exposed.len()
    }

    fn write(&self, era: Era, out: &mut String) {
        let whole: &str = &self.definition;
        match (era, &self.legacy) {
            (Era::Legacy, Some(legacy)) => out.push_str(legacy),
            (Era::Legacy, None) | (Era::Modern, _) => {
                out.push_str(whole.get(..self.name_span.start).unwrap_or_default());
                out.push_str(&toolgate_mcp::text::quote(&self.exposed));
                out.push_str(whole.get(self.name_span.end..).unwrap_or_default());
            }
        }
    }
}
