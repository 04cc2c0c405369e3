//! MCP Apps: servers with pages that a host shows to people. What is said of them on the wire.

/// The extension.
pub const EXTENSION: &str = "io.modelcontextprotocol/ui";

/// The kind of page that there is. A host that shows pages names it among its `mimeTypes`.
pub const PAGE: &str = "text/html;profile=mcp-app";

/// How the resources of pages begin.
pub const SCHEME: &str = "ui://";

/// The capabilities of a client that shows pages and nothing else: some servers offer pages to no other.
pub const SHOWS_PAGES: &str =
    r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#;
