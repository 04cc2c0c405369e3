//! The two built-in tools of a progressive gateway. Their definitions are the same for all such gateways and callers;
//! grants are applied to the results.

use std::sync::Arc;

use toolgate_model::{Digest, Era};

use crate::view::ListItem;

/// Definition of a built-in tool, JSON.
pub(super) struct BuiltinTool(&'static str);

/// Definition of `search_tools`. Models read its description, which says how to proceed.
const SEARCH: &str = r#"{"name":"search_tools","title":"Search tools","description":"Finds the tools that you can use here, by words in their names, titles and descriptions, best first. Answers with the name, description and input schema of each. Search before you say that something cannot be done; then run what you found with run_tool. An empty query shows the first of all tools.","inputSchema":{"type":"object","properties":{"query":{"type":"string","maxLength":1000,"description":"Words that say what the tool is to do, such as `weather forecast`; or the exact name of a tool."},"limit":{"type":"integer","minimum":1,"maximum":50,"default":10,"description":"The most tools to show."}},"required":["query"],"additionalProperties":false},"outputSchema":{"type":"object","properties":{"tools":{"type":"array","description":"The tools, best first.","items":{"type":"object","properties":{"name":{"type":"string"},"title":{"type":"string"},"description":{"type":"string"},"inputSchema":{"type":"object"},"annotations":{"type":"object"}},"required":["name","inputSchema"]}},"total":{"type":"integer","description":"How many tools were found, those that are not shown included."}},"required":["tools","total"]},"annotations":{"readOnlyHint":true,"destructiveHint":false,"idempotentHint":true,"openWorldHint":false}}"#;

/// Definition of `run_tool`. The effects of the tool that it runs are unknown, so its annotations claim nothing.
const RUN: &str = r#"{"name":"run_tool","title":"Run a tool","description":"Runs a tool that search_tools found, and answers what that tool answers. Give its name exactly as it was found, and its own arguments, which have to fit its input schema.","inputSchema":{"type":"object","properties":{"name":{"type":"string","description":"The name of the tool, as search_tools shows it."},"arguments":{"type":"object","description":"The arguments of that tool, as its inputSchema says. Leave them out if it has none.","additionalProperties":true}},"required":["name"],"additionalProperties":false},"annotations":{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":true}}"#;

/// Both tools, in listing order. The search tool comes first, as it is used first.
pub(super) fn all() -> [Arc<BuiltinTool>; 2] {
    [SEARCH, RUN].map(|json| Arc::new(BuiltinTool(json)))
}

/// Digest of both definitions.
pub(super) fn digest() -> Digest {
    Digest::of_bytes([SEARCH, RUN].concat().as_bytes())
}

impl ListItem for BuiltinTool {
    fn weight(&self) -> usize {
        self.0.len()
    }

    fn write(&self, _era: Era, out: &mut String) {
        out.push_str(self.0);
    }
}

#[cfg(test)]
mod tests;
