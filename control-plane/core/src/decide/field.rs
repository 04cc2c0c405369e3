//! Validates the fields of desired objects against the limits. Field paths are those of the API.

mod shape;

use std::time::Duration;

use toolgate_model::{
    AllowList, BindingSelection, CallTimeouts, Credential, CredentialKind, Gateway, ObjectMeta,
    Server, ServerBinding, Timestamp, Token,
};

use crate::{command::Desired, limits, rejection::Rejection};

/// Headers of the transport or the protocol, which a credential must not set.
const RESERVED_HEADERS: &[&str] = &[
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Maximum size of a sealed value in bytes: a header value of 16 KiB and the overhead of the seal.
const SEALED: usize = 17 * 1024;

pub(super) fn check(object: &Desired, now: Timestamp) -> Result<(), Rejection> {
    match object {
        Desired::Organization(it) => meta(&it.meta),
        Desired::Gateway(it) => meta(&it.meta).and_then(|()| gateway(it)),
        Desired::Server(it) => meta(&it.meta).and_then(|()| server(it)),
        Desired::Credential(it) => meta(&it.meta).and_then(|()| credential(it)),
        Desired::Token(it) => meta(&it.meta).and_then(|()| token(it, now)),
    }
}

fn meta(meta: &ObjectMeta) -> Result<(), Rejection> {
    let name = "characters of a display name";
    check_text(
        "metadata.display_name",
        &meta.display_name,
        name,
        limits::DISPLAY_NAME,
    )?;
    let name = "characters of a description";
    check_text(
        "spec.description",
        &meta.description,
        name,
        limits::DESCRIPTION,
    )?;
    check_limit(
        "metadata.labels",
        "labels",
        limits::LABELS,
        meta.labels.len(),
    )?;
    for (key, value) in &meta.labels {
        let field = format!("metadata.labels[{}]", truncated(key));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if key.is_empty() || !key.chars().all(allowed) {
            return Err(Rejection::invalid(
                field,
                "a label's key is made of a-z, A-Z, 0-9 and ._-/",
            ));
        }
        check_limit(
            &field,
            "characters of a label's key",
            limits::LABEL_KEY,
            key.len(),
        )?;
        check_text(
            &field,
            value,
            "characters of a label's value",
            limits::LABEL_VALUE,
        )?;
    }
    Ok(())
}

fn gateway(gateway: &Gateway) -> Result<(), Rejection> {
    let name = "characters of a gateway's instructions";
    check_text(
        "spec.instructions",
        &gateway.instructions,
        name,
        limits::INSTRUCTIONS,
    )?;
    let count = gateway.bindings.len();
    check_limit(
        "spec.bindings",
        "bindings of a gateway",
        limits::GATEWAY_BINDINGS,
        count,
    )?;
    for (index, bound) in gateway.bindings.iter().enumerate() {
        let field = format!("spec.bindings[{index}]");
        binding(&field, bound)?;
    }
    Ok(())
}

fn binding(field: &str, binding: &ServerBinding) -> Result<(), Rejection> {
    let tools = format!("{field}.tools");
    selection(&tools, "tools named by a binding", &binding.tools)?;
    let prompts = format!("{field}.prompts");
    selection(&prompts, "prompts named by a binding", &binding.prompts)?;
    shape::check(field, &binding.shapes)?;
    match binding.timeout {
        Some(most) => timeout(format!("{field}.timeout"), most),
        None => Ok(()),
    }
}

fn selection(
    field: &str,
    name: &'static str,
    selection: &BindingSelection,
) -> Result<(), Rejection> {
    match selection {
        BindingSelection::All => Ok(()),
        BindingSelection::Only(names) => {
            check_limit(field, name, limits::BINDING_TOOLS, names.len())?;
            check_names(field, names)
        }
    }
}

fn check_names(field: &str, names: &[String]) -> Result<(), Rejection> {
    for (index, name) in names.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if name.is_empty() {
            return Err(Rejection::invalid(field, "a name cannot be empty"));
        }
        check_text(&field, name, "characters of a name", limits::TOOL_NAME)?;
    }
    Ok(())
}

fn server(server: &Server) -> Result<(), Rejection> {
    let url = &server.url;
    check_limit(
        "spec.url",
        "characters of a URL",
        limits::URL,
        url.as_str().len(),
    )?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Rejection::invalid(
            "spec.url",
            "use an absolute http or https URL",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let reason =
            "a URL must not carry a password; make a credential and name it in spec.credential";
        return Err(Rejection::invalid("spec.url", reason));
    }
    if url.fragment().is_some() {
        return Err(Rejection::invalid("spec.url", "remove the part from # on"));
    }
    timeouts(&server.timeouts)
}

fn timeouts(timeouts: &CallTimeouts) -> Result<(), Rejection> {
    let all = [
        ("connect", timeouts.connect),
        ("first_byte", timeouts.first_byte),
        ("idle", timeouts.idle),
        ("total", timeouts.total),
    ];
    for (name, value) in all {
        timeout(format!("spec.timeouts.{name}"), value)?;
    }
    Ok(())
}

fn timeout(field: String, value: Duration) -> Result<(), Rejection> {
    if value < Duration::from_millis(1) || value > limits::TIMEOUT {
        return Err(Rejection::invalid(field, "use 1 millisecond to 1 hour"));
    }
    Ok(())
}

fn credential(credential: &Credential) -> Result<(), Rejection> {
    match &credential.kind {
        CredentialKind::StaticHeader { header, value } => {
            let field = "spec.static_header.header";
            let token = |c: char| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || "!#$%&'*+-.^_`|~".contains(c)
            };
            if header.is_empty() || header.len() > limits::LABEL_VALUE || !header.chars().all(token)
            {
                return Err(Rejection::invalid(
                    field,
                    "use a header name, such as authorization",
                ));
            }
            if RESERVED_HEADERS.contains(&header.as_str()) {
                let reason = format!("`{header}` belongs to the protocol; use another header");
                return Err(Rejection::invalid(field, reason));
            }
            let size = value.ciphertext.len();
            check_limit(
                "spec.static_header.value",
                "bytes of a credential",
                SEALED,
                size,
            )
        }
    }
}

fn token(token: &Token, now: Timestamp) -> Result<(), Rejection> {
    if token.expires.is_some_and(|at| at <= now) {
        return Err(Rejection::invalid(
            "spec.expire_time",
            "lies in the past; choose a later time",
        ));
    }
    if let AllowList::Only(gateways) = &token.gateways {
        check_limit(
            "spec.gateways",
            "gateways that a token lists",
            limits::TOKEN_SCOPE_ENTRIES,
            gateways.len(),
        )?;
    }
    match &token.tools {
        AllowList::All => Ok(()),
        AllowList::Only(tools) => {
            check_limit(
                "spec.tools",
                "tools that a token lists",
                limits::TOKEN_SCOPE_ENTRIES,
                tools.len(),
            )?;
            check_names("spec.tools", tools)
        }
    }
}

/// Checks the length in characters and rejects control characters other than newline and tab, which would corrupt
/// terminal or log output.
fn check_text(field: &str, text: &str, name: &'static str, limit: usize) -> Result<(), Rejection> {
    check_limit(field, name, limit, text.chars().count())?;
    let breaks = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.chars().any(breaks) {
        return Err(Rejection::invalid(field, "remove the control characters"));
    }
    Ok(())
}

fn check_limit(
    field: &str,
    name: &'static str,
    limit: usize,
    found: usize,
) -> Result<(), Rejection> {
    if found <= limit {
        return Ok(());
    }
    let field = field.to_owned();
    Err(Rejection::Limit {
        field,
        name,
        limit,
        found,
    })
}

fn truncated(text: &str) -> String {
    text.chars().take(limits::LABEL_KEY).collect()
}
