//! Plans of POST, GET and DELETE requests of the legacy era.

use bytes::Bytes;
use toolgate_mcp::{Envelope, MessageKind, RequestEra, method, versions};

use crate::{
    Refusal,
    plan::{
        ClientProtocol, InitializePlan, Plan, PlanInput, SessionLookup, era_independent, find,
        result_response,
    },
    session::{
        LogLevel,
        session_id::{ClientCapabilities, SessionClaims},
    },
};

const EMPTY_RESULT: Bytes = Bytes::from_static(b"{}");

pub(super) fn post(input: &PlanInput<'_>, envelope: &Envelope<'_>) -> Result<Plan, Refusal> {
    if envelope.kind == MessageKind::Request && envelope.method() == method::INITIALIZE {
        return initialize(input, envelope);
    }
    let session = session(input.session)?;
    match envelope.kind {
        MessageKind::Response => Ok(Plan::DeliverResponse(
            envelope.raw_id().unwrap_or_default().into(),
        )),
        MessageKind::Notification => notification(envelope),
        MessageKind::Request => request(input, envelope, session),
    }
}

/// Checks a GET or DELETE request.
pub(super) fn check_bodiless(input: &PlanInput<'_>, era: &RequestEra) -> Result<(), Refusal> {
    match era {
        RequestEra::Modern | RequestEra::Unsupported { .. } => Err(Refusal::MethodNotAllowed),
        RequestEra::BadVersion { .. } => Err(Refusal::LegacyVersion),
        RequestEra::Legacy { .. } => session(input.session).map(|_facts| ()),
    }
}

fn session<'a>(presented: SessionLookup<'a>) -> Result<&'a SessionClaims, Refusal> {
    match presented {
        SessionLookup::Absent => Err(Refusal::MissingSession),
        SessionLookup::Unknown => Err(Refusal::UnknownSession),
        SessionLookup::Valid(claims) => Ok(claims),
    }
}

fn initialize(input: &PlanInput<'_>, envelope: &Envelope<'_>) -> Result<Plan, Refusal> {
    let params = envelope.params.as_ref();
    let requested = params.and_then(|params| params.protocol_version.as_ref());
    let requested = requested.ok_or(Refusal::InvalidParams(
        "`protocolVersion` must be a string".into(),
    ))?;
    let version = versions::negotiate(requested.as_str());
    let capabilities = params.and_then(|params| params.capabilities);
    let capabilities = capabilities.map(|object| ClientCapabilities::read(envelope.slice(object)));
    Ok(Plan::Initialize(InitializePlan {
        version,
        capabilities: capabilities.unwrap_or_default(),
        answer: result_response(envelope, input.gateway.initialize(version))?,
    }))
}

fn notification(envelope: &Envelope<'_>) -> Result<Plan, Refusal> {
    super::check_notification(envelope)?;
    let request = envelope
        .params
        .as_ref()
        .and_then(|params| params.request_id);
    Ok(match (envelope.method(), request) {
        (method::INITIALIZED, _) => Plan::Initialized,
        (method::CANCELLED, Some(request)) => Plan::Cancel(request.raw.into()),
        _ => Plan::Accept,
    })
}

fn request(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    session: &SessionClaims,
) -> Result<Plan, Refusal> {
    let client = ClientProtocol::Legacy {
        version: session.version,
        capabilities: session.capabilities,
    };
    if let Some(planned) = era_independent::plan(input, envelope, client, None) {
        return planned;
    }
    match envelope.method() {
        method::PING => result_response(envelope, EMPTY_RESULT).map(Plan::Respond),
        method::SET_LEVEL => {
            let level = envelope
                .params
                .as_ref()
                .and_then(|params| params.level.as_ref());
            let level = level.and_then(|level| LogLevel::parse(level.as_str()));
            let level =
                level.ok_or(Refusal::InvalidParams("`level` must be a log level".into()))?;
            Ok(Plan::SetLevel(
                level,
                result_response(envelope, EMPTY_RESULT)?,
            ))
        }
        method::RESOURCES_SUBSCRIBE | method::RESOURCES_UNSUBSCRIBE
            if input.gateway.features.subscribe =>
        {
            subscribe(input, envelope)
        }
        unknown => Err(Refusal::MethodNotFound {
            method: unknown.chars().take(128).collect(),
            modern: false,
        }),
    }
}

/// Plans `resources/subscribe` and `resources/unsubscribe`. The latter works for any earlier subscription, without
/// checking access.
fn subscribe(input: &PlanInput<'_>, envelope: &Envelope<'_>) -> Result<Plan, Refusal> {
    let params = envelope.params.as_ref();
    let uri = params.and_then(|params| params.uri.as_ref());
    let uri = uri.ok_or(Refusal::InvalidParams(
        "`uri` must be that of a resource".into(),
    ))?;
    let answer = result_response(envelope, EMPTY_RESULT)?;
    if envelope.method() == method::RESOURCES_UNSUBSCRIBE {
        return Ok(Plan::Unsubscribe(uri.as_str().into(), answer));
    }
    let target = find::subscribable_resource(input, uri.as_str());
    let target = target.ok_or_else(|| Refusal::UnknownResource {
        uri: uri.as_str().chars().take(1024).collect(),
        modern: false,
    })?;
    Ok(Plan::Subscribe(target, answer))
}
