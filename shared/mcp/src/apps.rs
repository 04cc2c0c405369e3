//! Constants of the MCP Apps extension: servers that offer HTML pages for a host to display.

/// Name of the extension.
pub const EXTENSION: &str = "io.modelcontextprotocol/ui";

/// MIME type of a page. A host that can display pages lists it in `mimeTypes` of the extension.
pub const PAGE_MIME_TYPE: &str = "text/html;profile=mcp-app";

/// URI scheme prefix of page resources.
pub const URI_SCHEME: &str = "ui://";

/// Client capabilities that declare page support only. Some servers list page tools only for clients that declare it.
pub const PAGE_CAPABILITIES: &str =
    r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#;
