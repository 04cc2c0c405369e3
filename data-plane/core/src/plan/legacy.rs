//! Plans of POST, GET and DELETE requests of the legacy era.

use bytes::Bytes;
use toolgate_mcp::{Envelope, Framing, Kind, method, versions};

use crate::{
    Refusal,
    plan::{ClientSide, Initialize, Plan, PlanInput, Presented, answer, find, served},
    session::LogLevel,
    session_id::{ClientCapabilities, SessionFacts},
};

const NOTHING: Bytes = Bytes::from_static(b"{}");

pub(super) fn post(input: &PlanInput<'_>, envelope: &Envelope<'_>) -> Result<Plan, Refusal> {
    if envelope.kind == Kind::Request && envelope.method() == method::INITIALIZE {
        return initialize(input, envelope);
    }
    let session = session(input.session)?;
    match envelope.kind {
        Kind::Response => Ok(Plan::Hear(envelope.raw_id().unwrap_or_default().into())),
        Kind::Notification => notification(envelope),
        Kind::Request => request(input, envelope, session),
    }
}

/// Checks a GET or DELETE request.
pub(super) fn bodiless(input: &PlanInput<'_>, framing: &Framing) -> Result<(), Refusal> {
    match framing {
        Framing::Modern | Framing::Unsupported { .. } => Err(Refusal::MethodNotAllowed),
        Framing::BadVersion { .. } => Err(Refusal::LegacyVersion),
        Framing::Legacy { .. } => session(input.session).map(|_facts| ()),
    }
}

fn session<'a>(presented: Presented<'a>) -> Result<&'a SessionFacts, Refusal> {
    match presented {
        Presented::Absent => Err(Refusal::MissingSession),
        Presented::Unknown => Err(Refusal::UnknownSession),
        Presented::Open(facts) => Ok(facts),
    }
}

fn initialize(input: &PlanInput<'_>, envelope: &Envelope<'_>) -> Result<Plan, Refusal> {
    let params = envelope.params.as_ref();
    let asked = params.and_then(|params| params.protocol_version.as_ref());
    let asked = asked.ok_or(Refusal::InvalidParams(
        "`protocolVersion` must be a string".into(),
    ))?;
    let version = versions::negotiate(asked.as_str());
    let capabilities = params.and_then(|params| params.capabilities);
    let capabilities = capabilities.map(|object| ClientCapabilities::read(envelope.slice(object)));
    Ok(Plan::Initialize(Initialize {
        version,
        capabilities: capabilities.unwrap_or_default(),
        answer: answer(envelope, input.gateway.initialize(version))?,
    }))
}

fn notification(envelope: &Envelope<'_>) -> Result<Plan, Refusal> {
    super::notification(envelope)?;
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
    session: &SessionFacts,
) -> Result<Plan, Refusal> {
    let client = ClientSide::Legacy {
        version: session.version,
        capabilities: session.capabilities,
    };
    if let Some(planned) = served::plan(input, envelope, client, None) {
        return planned;
    }
    match envelope.method() {
        method::PING => answer(envelope, NOTHING).map(Plan::Answer),
        method::SET_LEVEL => {
            let level = envelope
                .params
                .as_ref()
                .and_then(|params| params.level.as_ref());
            let level = level.and_then(|level| LogLevel::parse(level.as_str()));
            let level =
                level.ok_or(Refusal::InvalidParams("`level` must be a log level".into()))?;
            Ok(Plan::SetLevel(level, answer(envelope, NOTHING)?))
        }
        method::RESOURCES_SUBSCRIBE | method::RESOURCES_UNSUBSCRIBE
            if input.gateway.offers.subscribe =>
        {
            watch(input, envelope)
        }
        unknown => Err(Refusal::MethodNotFound {
            method: unknown.chars().take(128).collect(),
            modern: false,
        }),
    }
}

/// Plans `resources/subscribe` and `resources/unsubscribe`. The latter works for any earlier subscription, without
/// checking access.
fn watch(input: &PlanInput<'_>, envelope: &Envelope<'_>) -> Result<Plan, Refusal> {
    let params = envelope.params.as_ref();
    let uri = params.and_then(|params| params.uri.as_ref());
    let uri = uri.ok_or(Refusal::InvalidParams(
        "`uri` must be that of a resource".into(),
    ))?;
    let answer = answer(envelope, NOTHING)?;
    if envelope.method() == method::RESOURCES_UNSUBSCRIBE {
        return Ok(Plan::Unsubscribe(uri.as_str().into(), answer));
    }
    let target = find::watched(input, uri.as_str());
    let target = target.ok_or_else(|| Refusal::UnknownResource {
        uri: uri.as_str().chars().take(1024).collect(),
        modern: false,
    })?;
    Ok(Plan::Subscribe(target, answer))
}
