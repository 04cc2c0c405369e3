//! Rules of credentials.

use toolgate_model::{
    Credential, CredentialHosts, CredentialKind, FieldPlace, ObjectName, SealedField, Server,
    Timestamp,
};

use super::KindRules;
use crate::{
    decide::{change_builder::ChangeBuilder, field::check_limit},
    key::ObjectKey,
    limits,
    rejection::Rejection,
    state::StoreState,
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
                check_header("spec.static_header.header", header)?;
                let size = value.ciphertext.len();
                check_limit(
                    "spec.static_header.value",
                    "bytes of a credential",
                    SEALED,
                    size,
                )
            }
            CredentialKind::RequestFields(fields) => {
                fields.iter().try_for_each(check_request_field)
            }
        }
    }

    fn prepare_create(&self, _draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        require_hosts(&self.hosts)
    }

    /// Checks that the credential keeps its hosts, and that every server that refers to it is within new ones. A
    /// credential of an earlier build may be changed without any: its value must be replaceable at all times.
    fn check_update(&self, current: &Self, draft: &ChangeBuilder<'_>) -> Result<(), Rejection> {
        if self.hosts == current.hosts {
            return Ok(());
        }
        require_hosts(&self.hosts)?;
        for (name, server) in servers_of(draft.state, &self.name) {
            let outside = server.source.endpoints().iter();
            let mut outside = outside.filter(|endpoint| !self.hosts.permits(&endpoint.url));
            if let Some(endpoint) = outside.next() {
                let reason = format!(
                    "server {name} refers to the credential and has the endpoint `{}`, which no entry matches; add its \
                     origin, or change the server first",
                    endpoint.url
                );
                return Err(Rejection::invalid("spec.hosts", reason));
            }
        }
        Ok(())
    }

    /// Returns the servers that use the credential.
    fn dependents(state: &StoreState, name: &ObjectName) -> Vec<ObjectKey> {
        servers_of(state, name)
            .map(|(server, _)| ObjectKey::Server(server.clone()))
            .collect()
    }
}

/// Returns the servers that refer to the credential.
fn servers_of<'a>(
    state: &'a StoreState,
    name: &'a ObjectName,
) -> impl Iterator<Item = (&'a ObjectName, &'a Server)> {
    let servers = state.servers.iter();
    let of_org = servers.filter(|(server, _)| server.org == name.org);
    of_org
        .filter(|(_, server)| server.credential.as_ref() == Some(&name.id))
        .map(|(server, stored)| (server, &**stored))
}

fn require_hosts(hosts: &CredentialHosts) -> Result<(), Rejection> {
    if hosts.is_bound() {
        return Ok(());
    }
    let reason = "is required: list the origins that the value may be sent to, e.g. `https://api.example.com`";
    Err(Rejection::invalid("spec.hosts", reason))
}

fn check_request_field(given: &SealedField) -> Result<(), Rejection> {
    let field = match given.place {
        FieldPlace::Header => "spec.request_fields.headers",
        FieldPlace::Query => "spec.request_fields.query",
    };
    if given.place == FieldPlace::Header {
        check_header(field, &given.name)?;
    }
    let size = given.value.ciphertext.len();
    check_limit(field, "bytes of a credential", SEALED, size)
}

fn check_header(field: &'static str, header: &str) -> Result<(), Rejection> {
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
