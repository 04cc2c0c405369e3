//! Batches: several messages in one array, which sessions of the revision 2025-03-26 may send. The messages are planned
//! and executed in order as if each had come alone, and each counts against every limit. No elicitations are sent,
//! because there is no stream for them.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use toolgate_data_core::{
    Plan, Refusal,
    refusal::UpstreamFailure,
    session::session_id::{ClientCapabilities, SessionClaims},
};
use toolgate_ingress::response::{empty_response, json};
use toolgate_mcp::{
    FrameLimits, RequestEra, RpcError, batch, era,
    sse::{SseDecoder, SseLimits},
};

use crate::{
    config_source::{ConfigSource, KeySet},
    execute::{PlannedRequest, execute},
    pipeline::{Arrival, ClientHttpResponse, RequestRefusal, respond_refused},
    proxy_state::ProxyState,
    request_limiter::RequestPermit,
    request_metrics::RequestMeasurement,
    session_header::SessionHeader,
    transport_request::{self, TransportRequest},
};

/// Revision with batches.
const REVISION: &str = "2025-03-26";

impl<K: KeySet> Arrival<K> {
    /// Reports if the request is a batch of a session that may send batches.
    pub(crate) fn is_batch(&self) -> bool {
        let TransportRequest::Post(bytes) = &self.received else {
            return false;
        };
        let supports_batches = |claims: &Arc<SessionClaims>| claims.version == REVISION;
        let era = || era::classify_bodiless(transport_request::version_header(&self.head.headers));
        batch::is_array(bytes)
            && self.session.claims().is_some_and(supports_batches)
            && matches!(era(), RequestEra::Legacy { .. })
    }

    /// Sets gateway, caller and size in the measurement of a member.
    fn describe(
        &self,
        mut measurement: RequestMeasurement,
        received: &TransportRequest,
    ) -> RequestMeasurement {
        measurement.set_gateway(&self.gateway);
        measurement.set_caller(&self.caller);
        measurement.set_client(transport_request::user_agent(&self.head.headers));
        measurement.set_request_bytes(received.body_len());
        measurement
    }
}

/// Serves a batch and answers it with one array.
pub(crate) async fn serve<S: ConfigSource>(
    state: &Arc<ProxyState<S>>,
    mut arrival: Arrival<S::Keys>,
    measurement: RequestMeasurement,
) -> ClientHttpResponse {
    let body = arrival.received.body();
    let members = match batch::split(&body, &FrameLimits::REQUEST) {
        Ok(members) => members,
        Err(error) => return respond_refused(&RequestRefusal::unframed(error), measurement),
    };
    if let SessionHeader::Valid(claims) = &arrival.session {
        let capabilities = ClientCapabilities::default();
        let claims = SessionClaims {
            capabilities,
            ..SessionClaims::clone(claims)
        };
        arrival.session = SessionHeader::Valid(Arc::new(claims));
    }
    let mut first = Some(measurement);
    let mut answers = Answers::default();
    for span in members {
        // The request that brought the batch counts as its first member.
        let is_counted = first.is_some();
        let measurement = first.take().unwrap_or_else(|| state.metrics.open());
        let received = TransportRequest::Post(body.slice(span.start..span.end));
        let measurement = arrival.describe(measurement, &received);
        let id = received.id();
        let done = member(state, &arrival, received, measurement, is_counted).await;
        let (answer, framed) = match done {
            Ok(answer) => (answer, true),
            Err((refused, measurement)) => {
                let framed = !matches!(refused.refusal, Refusal::Frame(_));
                (respond_refused(&refused, measurement), framed)
            }
        };
        // Only requests are answered; an unreadable message may be a request.
        if id.is_some() || !framed {
            answers.take(id.as_deref(), answer).await;
        }
    }
    answers.into_answer()
}

/// Serves a member with a permit of its own.
async fn member<S: ConfigSource>(
    state: &Arc<ProxyState<S>>,
    arrival: &Arrival<S::Keys>,
    received: TransportRequest,
    mut measurement: RequestMeasurement,
    is_counted: bool,
) -> Result<ClientHttpResponse, (RequestRefusal, RequestMeasurement)> {
    let permit = state.acquire_permit(&arrival.caller);
    let admitted = permit.and_then(|permit| {
        if is_counted {
            return Ok(permit);
        }
        let (caller, started) = (&arrival.caller, measurement.started());
        match state.admit(&arrival.gateway, caller, started) {
            Err(refusal) if !state.admits_release(&received, caller, started) => Err(refusal),
            Ok(()) | Err(_) => Ok(permit),
        }
    });
    let permit: RequestPermit = match admitted {
        Ok(permit) => permit,
        Err(refusal) => {
            let id = received.id();
            return Err((RequestRefusal { refusal, id }, measurement));
        }
    };
    let plan = match arrival.plan(&received, &mut measurement) {
        Ok(Plan::Initialize(_) | Plan::Listen(_)) => {
            let refusal = Refusal::InvalidRequest("this has to be sent alone, not in a batch");
            let id = received.id();
            return Err((RequestRefusal { refusal, id }, measurement));
        }
        Ok(plan) => plan,
        Err(refused) => return Err((refused, measurement)),
    };
    let request = PlannedRequest {
        plan,
        received,
        session: arrival.session.clone(),
        gateway: Arc::clone(&arrival.gateway),
        caller: arrival.caller.clone(),
        events: Ok(()),
        cdn_loop: transport_request::cdn_loop(&arrival.head.headers),
        permit,
    };
    Ok(Box::pin(execute(state, request, measurement)).await)
}

/// Maximum size in bytes of all answers of a batch.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Answers of the members so far.
#[derive(Default)]
struct Answers(BytesMut);

impl Answers {
    async fn take(&mut self, id: Option<&str>, answer: ClientHttpResponse) {
        let room = MAX_ANSWER_BYTES.saturating_sub(self.0.len());
        let read = read(answer, room).await;
        let answer = read
            .unwrap_or_else(|failure| RpcError::internal(failure.message_for("call")).to_bytes(id));
        self.0.put_u8(if self.0.is_empty() { b'[' } else { b',' });
        self.0.extend_from_slice(&answer);
    }

    fn into_answer(mut self) -> ClientHttpResponse {
        if self.0.is_empty() {
            return empty_response(StatusCode::ACCEPTED);
        }
        self.0.put_u8(b']');
        json(200, self.0.freeze())
    }
}

/// Reads the message of an answer, or the last one of a stream. Earlier ones have no place in an array.
async fn read(answer: ClientHttpResponse, room: usize) -> Result<Bytes, UpstreamFailure> {
    let (head, mut body) = answer.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE);
    let streamed = kind.is_some_and(|kind| kind == "text/event-stream");
    let mut framer = SseDecoder::new(SseLimits::default());
    let (mut whole, mut last) = (BytesMut::new(), Bytes::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| UpstreamFailure::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if !streamed {
            if whole.len() + data.len() > room {
                return Err(UpstreamFailure::TooLarge);
            }
            whole.extend_from_slice(&data);
            continue;
        }
        framer
            .push(&data)
            .map_err(|_large| UpstreamFailure::TooLarge)?;
        while let Some(event) = framer.next_event() {
            if event.is_message() && !event.data.is_empty() {
                last = event.data;
            }
        }
    }
    let message = if streamed { last } else { whole.freeze() };
    match message.len() {
        0 => Err(UpstreamFailure::Broken),
        length if length > room => Err(UpstreamFailure::TooLarge),
        _ => Ok(message),
    }
}
