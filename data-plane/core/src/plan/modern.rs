//! Plans of POST requests of the modern, stateless era. A request is served from its own content only.

use toolgate_mcp::{Envelope, MessageKind, envelope::MessageMeta, headers, method};

use crate::{
    Refusal,
    plan::{
        ClientProtocol, Plan, PlanInput, PostedMessage, era_independent, listen, result_response,
        task,
    },
    session::session_id::ClientCapabilities,
};

pub(super) fn post(input: &PlanInput<'_>, post: &PostedMessage<'_>) -> Result<Plan, Refusal> {
    let envelope = post.envelope;
    if envelope.kind == MessageKind::Response {
        return Err(Refusal::InvalidRequest(
            "clients may not post responses in this protocol version",
        ));
    }
    headers::check(&post.headers, envelope)
        .map_err(|mismatch| Refusal::HeaderMismatch(mismatch.to_string()))?;
    if envelope.kind == MessageKind::Notification {
        return super::check_notification(envelope).map(|()| Plan::Accept);
    }
    let capabilities = declared(envelope)?;
    let client = ClientProtocol::Modern { capabilities };
    if let Some(planned) = era_independent::plan(input, envelope, client, Some(post.params)) {
        return planned;
    }
    if let Some(planned) = task::plan(input, envelope, client) {
        return planned;
    }
    match envelope.method() {
        method::DISCOVER => result_response(envelope, input.gateway.discover()).map(Plan::Respond),
        method::LISTEN => listen::plan(input, envelope, client).map(Plan::Listen),
        // Methods of the legacy era are unknown as well.
        unknown => Err(Refusal::MethodNotFound {
            method: unknown.chars().take(128).collect(),
            modern: true,
        }),
    }
}

/// Checks the required members of a modern request's `_meta` and returns the declared capabilities. The client's name
/// has no effect on any decision.
fn declared(envelope: &Envelope<'_>) -> Result<ClientCapabilities, Refusal> {
    let meta = envelope.meta();
    if meta
        .and_then(|meta| meta.protocol_version.as_ref())
        .is_none()
    {
        return Err(Refusal::MissingMeta(method::META_VERSION));
    }
    let object = meta
        .and_then(|meta| meta.client_capabilities)
        .ok_or(Refusal::MissingMeta(method::META_CAPABILITIES))?;
    if let Some(member) = meta.and_then(|meta: &MessageMeta<'_>| meta.mistyped) {
        let text = format!("`_meta.{member}` has the wrong type");
        return Err(Refusal::InvalidParams(text.into()));
    }
    Ok(ClientCapabilities::read(envelope.slice(object)))
}
