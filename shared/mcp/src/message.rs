//! Builders for messages created by the proxy. Arguments documented as JSON are inserted verbatim and must be valid.

use bytes::Bytes;
use serde_json::json;

use crate::{envelope::MessageMeta, method, object, text::quote};

/// Name and version of a program, as exchanged in `clientInfo` and `serverInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implementation {
    /// Name.
    pub name: String,
    /// Display name; empty for none.
    pub title: String,
    /// Version.
    pub version: String,
}

/// Caching hints of a modern result: `ttlMs` and `cacheScope`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheHints {
    /// Time to live in milliseconds.
    pub ttl_ms: u64,
    /// True if any client may reuse the result; false if only the authorization that requested it may.
    pub public: bool,
}

/// Content of `_meta` of a modern request to a server.
#[derive(Debug, Clone, Copy)]
pub struct ModernRequestMeta<'a> {
    /// Protocol version of the request.
    pub version: &'a str,
    /// `ClientCapabilities`, a JSON object.
    pub capabilities: &'a str,
    /// `ClientInfo`, a JSON object.
    pub client: Option<&'a str>,
    /// Progress token, a JSON literal.
    pub progress_token: Option<&'a str>,
    /// Minimum severity of log messages.
    pub log_level: Option<&'a str>,
    /// `_meta` object of the caller. Its members that are not reserved are forwarded.
    pub forwarded: Option<&'a [u8]>,
}

impl Implementation {
    /// Serializes to a JSON object.
    pub fn to_json(&self) -> String {
        let name = quote(&self.name);
        let version = quote(&self.version);
        let mut out = format!("{{\"name\":{name},\"version\":{version}");
        if !self.title.is_empty() {
            out.push_str(",\"title\":");
            out.push_str(&quote(&self.title));
        }
        out.push('}');
        out
    }
}

impl CacheHints {
    /// Returns the two members without braces.
    pub fn members(self) -> String {
        let scope = if self.public { "public" } else { "private" };
        format!("\"ttlMs\":{},\"cacheScope\":\"{scope}\"", self.ttl_ms)
    }
}

impl ModernRequestMeta<'_> {
    /// Serializes to a JSON object. Reserved members are set by the proxy; values of the caller for them are dropped.
    pub fn to_json(&self) -> Vec<u8> {
        let version = quote(self.version);
        let level = self.log_level.map(quote);
        let mut added: Vec<(&str, &[u8])> = vec![
            (method::META_VERSION, version.as_bytes()),
            (method::META_CAPABILITIES, self.capabilities.as_bytes()),
        ];
        if let Some(client) = self.client {
            added.push((method::META_CLIENT, client.as_bytes()));
        }
        if let Some(token) = self.progress_token {
            added.push((method::META_PROGRESS, token.as_bytes()));
        }
        if let Some(level) = &level {
            added.push((method::META_LOG_LEVEL, level.as_bytes()));
        }
        crate::object::rebuild(self.forwarded.unwrap_or(b"{}"), is_forwarded_meta, &added)
    }
}

/// Returns `_meta` for a request to a legacy server: the caller's own, without the members that concern only the hop
/// between the caller and the proxy.
pub fn legacy_meta(
    client_meta: Option<&MessageMeta<'_>>,
    source: &[u8],
    progress: Option<&str>,
) -> Vec<u8> {
    let object = client_meta.map_or(&b"{}"[..], |meta| meta.span.of(source));
    let added: Vec<(&str, &[u8])> = progress
        .map(|token| (method::META_PROGRESS, token.as_bytes()))
        .into_iter()
        .collect();
    crate::object::rebuild(object, is_forwarded_meta, &added)
}

/// Returns `true` if a member of `_meta` is forwarded, that is, if it does not concern a single hop.
pub fn is_forwarded_meta(name: &str) -> bool {
    !matches!(
        name,
        method::META_VERSION
            | method::META_CAPABILITIES
            | method::META_CLIENT
            | method::META_LOG_LEVEL
            | method::META_SERVER
            | method::META_SUBSCRIPTION
            | method::META_PROGRESS
            // Set by the proxy only. A value from a server would concern a hop behind that server.
            | method::META_FAILURE
    )
}

/// Builds a request. `id` and `params` are JSON.
pub fn request(id: &str, method: &str, params: Option<&str>) -> Bytes {
    let method = quote(method);
    let params = params.map_or_else(String::new, |params| format!(",\"params\":{params}"));
    Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method}{params}}}"
    ))
}

/// Builds a notification. `params` is JSON.
pub fn notification(method: &str, params: Option<&str>) -> Bytes {
    let method = quote(method);
    let params = params.map_or_else(String::new, |params| format!(",\"params\":{params}"));
    Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":{method}{params}}}"
    ))
}

/// Builds a successful response. `id` and `result` are JSON.
pub fn response(id: &str, result: &str) -> Bytes {
    Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"
    ))
}

/// Builds the result of `initialize`. `capabilities` is JSON.
pub fn initialize_result(
    version: &str,
    capabilities: &str,
    server: &Implementation,
    instructions: &str,
) -> String {
    let version = quote(version);
    let server = server.to_json();
    let instructions = instructions_member(instructions);
    format!(
        "{{\"protocolVersion\":{version},\"capabilities\":{capabilities},\"serverInfo\":{server}{instructions}}}"
    )
}

/// Builds the result of `server/discover`. `capabilities` is JSON.
pub fn discover_result(
    supported: &[&str],
    capabilities: &str,
    server: &Implementation,
    instructions: &str,
    caching: CacheHints,
) -> String {
    let supported = json!(supported);
    let instructions = instructions_member(instructions);
    let tail = modern_members(server, Some(caching));
    format!(
        "{{\"supportedVersions\":{supported},\"capabilities\":{capabilities}{instructions},{tail}}}"
    )
}

/// Returns the members at the end of every modern result created by the proxy, without braces: `resultType`, caching
/// hints, `_meta`.
pub fn modern_members(server: &Implementation, caching: Option<CacheHints>) -> String {
    let hints = caching.map_or_else(String::new, |c| format!("{},", c.members()));
    let server = server.to_json();
    let key = quote(method::META_SERVER);
    format!("\"resultType\":\"complete\",{hints}\"_meta\":{{{key}:{server}}}")
}

/// Builds one page of a list. `items` are JSON; `tail` is the output of [`modern_members`], or empty for legacy
/// clients.
pub fn list_page<'a>(
    member: &str,
    items: impl IntoIterator<Item = &'a str>,
    next_cursor: Option<&str>,
    tail: &str,
) -> String {
    let mut out = format!("{{{}:[", quote(member));
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(item);
    }
    out.push(']');
    if let Some(cursor) = next_cursor {
        out.push_str(",\"nextCursor\":");
        out.push_str(&quote(cursor));
    }
    if !tail.is_empty() {
        out.push(',');
        out.push_str(tail);
    }
    out.push('}');
    out
}

/// Builds a tool result that reports a failed call. Its text is for the model; `failure`, a word for the kind of
/// failure, tells programs that the result does not come from the tool. `modern` is set for modern clients and adds the
/// members they require.
pub fn tool_error(text: &str, failure: &str, modern: Option<&Implementation>) -> String {
    let (text, key, failure) = (quote(text), quote(method::META_FAILURE), quote(failure));
    let (kind, server) = modern.map_or_else(Default::default, |server| {
        let (key, server) = (quote(method::META_SERVER), server.to_json());
        ("\"resultType\":\"complete\",", format!("{key}:{server},"))
    });
    format!(
        "{{\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"isError\":true,{kind}\"_meta\":{{{server}{key}:{failure}}}}}"
    )
}

/// Builds a tool result created by the proxy: `structured` (JSON), and the same as text for clients that do not read
/// structured content. `modern` is set for modern clients and adds the members they require.
pub fn tool_result(structured: &str, modern: Option<&Implementation>) -> String {
    let text = quote(structured);
    let tail = modern.map_or_else(String::new, |server| {
        format!(",{}", modern_members(server, None))
    });
    format!(
        "{{\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"structuredContent\":{structured},\"isError\":false{tail}}}"
    )
}

/// Builds an `initialize` request. `id` and `capabilities` are JSON.
pub fn initialize(id: &str, version: &str, capabilities: &str, client: &Implementation) -> Bytes {
    let version = quote(version);
    let client = client.to_json();
    let params = format!(
        "{{\"protocolVersion\":{version},\"capabilities\":{capabilities},\"clientInfo\":{client}}}"
    );
    request(id, method::INITIALIZE, Some(&params))
}

/// Builds a `server/discover` request.
pub fn discover(id: &str, meta: &ModernRequestMeta<'_>) -> Bytes {
    request(id, method::DISCOVER, Some(&with_meta("", meta)))
}

/// Builds a list request for one page, with `_meta` for a modern server.
pub fn list(
    method: &str,
    id: &str,
    cursor: Option<&str>,
    meta: Option<&ModernRequestMeta<'_>>,
) -> Bytes {
    let cursor = cursor.map(|cursor| format!("\"cursor\":{}", quote(cursor)));
    let cursor = cursor.unwrap_or_default();
    match meta {
        Some(meta) => request(id, method, Some(&with_meta(&cursor, meta))),
        None if cursor.is_empty() => request(id, method, None),
        None => request(id, method, Some(&format!("{{{cursor}}}"))),
    }
}

/// Builds a `subscriptions/listen` request for a modern server. `filter` is a JSON object.
pub fn listen(id: &str, filter: &str, meta: &ModernRequestMeta<'_>) -> Bytes {
    let filter = format!("\"notifications\":{filter}");
    request(id, method::LISTEN, Some(&with_meta(&filter, meta)))
}

/// Builds `notifications/initialized`.
pub fn initialized() -> Bytes {
    notification(method::INITIALIZED, None)
}

/// Builds `notifications/cancelled`. `request_id` is JSON.
pub fn cancelled(request_id: &str, reason: &str) -> Bytes {
    let reason = quote(reason);
    let params = format!("{{\"requestId\":{request_id},\"reason\":{reason}}}");
    notification(method::CANCELLED, Some(&params))
}

/// Builds `notifications/subscriptions/acknowledged` for the listen request `id` (JSON) with the accepted `filter`
/// (JSON).
pub fn acknowledged(id: &str, filter: &str) -> Bytes {
    let key = quote(method::META_SUBSCRIPTION);
    let params = format!("{{\"notifications\":{filter},\"_meta\":{{{key}:{id}}}}}");
    notification(method::ACKNOWLEDGED, Some(&params))
}

/// Builds a list-changed notification. `subscription` is the id of the listen request (JSON) of a modern subscriber.
pub fn changed(method: &str, subscription: Option<&str>) -> Bytes {
    let key = quote(method::META_SUBSCRIPTION);
    let params = subscription.map(|id| format!("{{\"_meta\":{{{key}:{id}}}}}"));
    notification(method, params.as_deref())
}

/// Builds `notifications/resources/updated`. `subscription` is the id of the listen request (JSON) of a modern
/// subscriber.
pub fn updated(uri: &str, subscription: Option<&str>) -> Bytes {
    let (uri, key) = (quote(uri), quote(method::META_SUBSCRIPTION));
    let meta = subscription.map(|id| format!(",\"_meta\":{{{key}:{id}}}"));
    let meta = meta.unwrap_or_default();
    let params = format!("{{\"uri\":{uri}{meta}}}");
    notification(method::RESOURCE_UPDATED, Some(&params))
}

/// Builds `notifications/tasks` for the subscriber with this listen request id (JSON). `params` is a JSON object.
pub fn task_notification(params: &[u8], subscription: &str) -> Bytes {
    let meta = format!("{{{}:{subscription}}}", quote(method::META_SUBSCRIPTION));
    let params = object::rebuild(params, |_| true, &[("_meta", meta.as_bytes())]);
    notification(
        method::TASK_NOTIFICATION,
        Some(&String::from_utf8_lossy(&params)),
    )
}

fn with_meta(members: &str, meta: &ModernRequestMeta<'_>) -> String {
    let meta = meta.to_json();
    let meta = String::from_utf8_lossy(&meta);
    let comma = if members.is_empty() { "" } else { "," };
    format!("{{{members}{comma}\"_meta\":{meta}}}")
}

fn instructions_member(instructions: &str) -> String {
    if instructions.is_empty() {
        return String::new();
    }
    format!(",\"instructions\":{}", quote(instructions))
}

#[cfg(test)]
mod tests;
