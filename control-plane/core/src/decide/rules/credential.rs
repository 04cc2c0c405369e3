//! Rules of credentials.

use std::collections::BTreeSet;

use toolgate_model::{
    Credential, CredentialHosts, CredentialKind, FieldPlace, ObjectName, SealedField, Server,
    Timestamp, Uid,
};

use super::{KindRules, shared_domain::SharedDomain};
use crate::{
    decide::{change_builder::ChangeBuilder, field::check_limit},
    key::ObjectKey,
    kind::StateKind as _,
    limits,
    rejection::Rejection,
    state::StoreState,
};

/// Headers of the connection, the message or the protocol, which a credential must not set. Headers that begin with `mcp-`
/// are reserved too. `authorization`, `cookie` and `proxy-authorization` are not: servers, and proxies in front of them,
/// authenticate requests by these.
const RESERVED_HEADERS: &[&str] = &[
    "accept",
    // Answers are forwarded as they are.
    "accept-encoding",
    // Belongs to the trace of the call, as do `traceparent` and `tracestate`.
    "baggage",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Maximum size of a sealed value in bytes: a header value of 16 KiB and the overhead of the seal.
const SEALED: usize = 17 * 1024;

impl KindRules for Credential {
    const IS_REFERENCED: bool = true;

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
            CredentialKind::RequestFields(fields) => check_request_fields(fields),
        }
    }

    fn prepare_create(&self, _uid: Uid, _draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        require_hosts(&self.hosts)
    }

    /// Checks that the credential keeps its hosts, that every server that refers to it is within new ones, and that none
    /// has a query parameter of it in its URL. A credential of an earlier build may be changed without hosts: its value
    /// must be replaceable at all times.
    fn check_update(&self, current: &Self, draft: &mut ChangeBuilder<'_>) -> Result<(), Rejection> {
        refuse_repeated_parameters(self, draft.state)?;
        if self.hosts != current.hosts || query_parameters(self) != query_parameters(current) {
            // No other control plane may write a server that refers to the credential meanwhile.
            draft.guard_compile_inputs();
        }
        if self.hosts == current.hosts {
            return Ok(());
        }
        require_hosts(&self.hosts)?;
        for server in servers_of(draft.state, &self.name) {
            let name = &server.name;
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
            .map(|server| Server::key(server.name.clone()))
            .collect()
    }
}

/// Returns the names of the query parameters that the credential sets.
fn query_parameters(credential: &Credential) -> BTreeSet<&str> {
    match &credential.kind {
        CredentialKind::StaticHeader { .. } => BTreeSet::new(),
        CredentialKind::RequestFields(fields) => {
            let query = fields.iter().filter(|it| it.place == FieldPlace::Query);
            query.map(|it| it.name.as_str()).collect()
        }
    }
}

/// Returns the servers that refer to the credential.
fn servers_of<'a>(
    state: &'a StoreState,
    credential: &'a ObjectName,
) -> impl Iterator<Item = &'a Server> {
    let ids = state.servers_of_credential(credential);
    let names = ids.map(move |id| ObjectName::new(credential.org.clone(), id.clone()));
    names.filter_map(move |name| state.servers.get(&name).map(|stored| &*stored.object))
}

/// Checks that the credential is bound, and to no wildcard that matches hosts of different owners.
fn require_hosts(hosts: &CredentialHosts) -> Result<(), Rejection> {
    if !hosts.is_bound() {
        let reason = "is required: list the origins that the value may be sent to, e.g. `https://api.example.com`";
        return Err(Rejection::invalid("spec.hosts", reason));
    }
    for (at, pattern) in hosts.patterns().iter().enumerate() {
        let Some(shared) = pattern.wildcard_domain().and_then(SharedDomain::of) else {
            continue;
        };
        let reason = format!("`{pattern}` matches hosts of different owners: {shared}");
        return Err(Rejection::invalid(format!("spec.hosts[{at}]"), reason));
    }
    Ok(())
}

/// Rejects a query parameter that the URL of a server that refers to the credential has already.
fn refuse_repeated_parameters(
    credential: &Credential,
    state: &StoreState,
) -> Result<(), Rejection> {
    for server in servers_of(state, &credential.name) {
        let mut endpoints = server.source.endpoints().iter();
        let repeated = endpoints.find_map(|it| credential.kind.query_conflict(&it.url));
        if let Some(parameter) = repeated {
            let reason = format!(
                "server {} refers to the credential and has `{parameter}` in the query of its URL; remove it there first, or \
                 name another parameter",
                server.name
            );
            return Err(Rejection::invalid("spec.request_fields.query", reason));
        }
    }
    Ok(())
}

fn check_request_fields(fields: &[SealedField]) -> Result<(), Rejection> {
    let of = |place| fields.iter().filter(move |field| field.place == place);
    for (at, given) in of(FieldPlace::Header).enumerate() {
        let path = format!("spec.request_fields.headers[{at}]");
        check_header(&format!("{path}.header"), &given.name)?;
        check_sealed(&path, given)?;
    }
    for (at, given) in of(FieldPlace::Query).enumerate() {
        check_sealed(&format!("spec.request_fields.query[{at}]"), given)?;
    }
    Ok(())
}

fn check_sealed(path: &str, given: &SealedField) -> Result<(), Rejection> {
    let size = given.value.ciphertext.len();
    check_limit(
        &format!("{path}.value"),
        "bytes of a credential",
        SEALED,
        size,
    )
}

fn check_header(field: &str, header: &str) -> Result<(), Rejection> {
    let token =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "!#$%&'*+-.^_`|~".contains(c);
    if header.is_empty() || header.len() > limits::LABEL_VALUE || !header.chars().all(token) {
        return Err(Rejection::invalid(
            field,
            "use a header name, such as authorization",
        ));
    }
    if RESERVED_HEADERS.contains(&header) || header.starts_with("mcp-") {
        let reason = format!("`{header}` belongs to the protocol; use another header");
        return Err(Rejection::invalid(field, reason));
    }
    Ok(())
}
