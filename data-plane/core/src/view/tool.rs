//! One tool as a gateway exposes it.

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{Span, headers::params::Annotations};
use toolgate_model::{Digest, Era};

use crate::{
    ServerView,
    view::{list::Listed, shape::Arguments},
};

/// A tool under the name clients see.
#[derive(Debug)]
pub struct ToolView {
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
    /// Of its definition as clients see it, but for the name: the same unless it is shaped.
    pub shown: Digest,
    /// The server says that it changes nothing. A claim, never a reason to trust.
    pub read_only: bool,
    /// The server says that calling it twice is as good as once. A claim.
    pub idempotent: bool,
    /// Arguments that modern requests of clients repeat in headers.
    pub params: Annotations,
    /// Arguments that are not for callers to give.
    pub(crate) arguments: Option<Box<Arguments>>,
    pub(super) definition: Arc<str>,
    pub(super) name: Span,
    /// The definition for legacy clients, name and all, where it differs.
    pub(super) legacy: Option<Box<str>>,
}

impl ToolView {
    /// Its definition as clients of this era see it.
    pub fn definition(&self, era: Era) -> String {
        let mut out = String::new();
        self.write(era, &mut out);
        out
    }
}

impl Listed for ToolView {
    fn weight(&self) -> usize {
        self.definition.len() + self.exposed.len()
    }

    fn write(&self, era: Era, out: &mut String) {
        let whole: &str = &self.definition;
        match (era, &self.legacy) {
            (Era::Legacy, Some(legacy)) => out.push_str(legacy),
            (Era::Legacy, None) | (Era::Modern, _) => {
                out.push_str(whole.get(..self.name.start).unwrap_or_default());
                out.push_str(&toolgate_mcp::text::quote(&self.exposed));
                out.push_str(whole.get(self.name.end..).unwrap_or_default());
            }
        }
    }
}
