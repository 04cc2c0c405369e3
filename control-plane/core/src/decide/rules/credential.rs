//! Rules of credentials.

use toolgate_model::{Credential, CredentialKind, ObjectName, Timestamp};

use super::KindRules;
use crate::{
    decide::field::check_limit, key::ObjectKey, limits, rejection::Rejection, state::StoreState,
};

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

impl KindRules for Credential {
    fn check_fields(&self, _now: Timestamp) -> Result<(), Rejection> {
        match &self.kind {
            CredentialKind::StaticHeader { header, value } => {
                check_header(header)?;
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

    /// Returns the servers that use the credential.
    fn dependents(state: &StoreState, name: &ObjectName) -> Vec<ObjectKey> {
        let servers = state.servers.iter();
        let of_org = servers.filter(|(server, _)| server.org == name.org);
        let uses = of_org.filter(|(_, server)| server.credential.as_ref() == Some(&name.id));
        uses.map(|(server, _)| ObjectKey::Server(server.clone()))
            .collect()
    }
}

fn check_header(header: &str) -> Result<(), Rejection> {
    let field = "spec.static_header.header";
    let token =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "!#$%&'*+-.^_`|~".contains(c);
    if header.is_empty() || header.len() > limits::LABEL_VALUE || !header.chars().all(token) {
        return Err(Rejection::invalid(
            field,
            "use a header name, such as authorization",
        ));
    }
    if RESERVED_HEADERS.contains(&header) {
        let reason = format!("`{header}` belongs to the protocol; use another header");
        return Err(Rejection::invalid(field, reason));
    }
    Ok(())
}
