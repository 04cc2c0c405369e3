//! Requests of modern clients that continue an earlier one: with `requestState` or `inputResponses`. The state of a
//! modern server is plain and goes back to it. The ticket of a suspended call of a legacy server continues that call.
//! The state of a URL elicitation sends the call anew. Each is valid for the same request only.

use toolgate_mcp::{ByteSpan, Envelope, JsonString, envelope::MessageParams};
use toolgate_model::{Digest, Era, Timestamp};

use crate::{
    Refusal,
    call::{
        request_state::EncryptedRequestState, suspended::CallTicket,
        url_elicitation::UrlElicitation,
    },
    client_state::StateContext,
    plan::{CallPlan, ClientProtocol, PlanInput},
};

/// A retry that continues a suspended call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContinuationRequest {
    /// Ticket of the call.
    pub ticket: CallTicket,
    /// `params.inputResponses`.
    pub responses: Option<ByteSpan>,
}

/// State of a URL elicitation that the client came back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlElicitationResult {
    /// Number of URL elicitations of the call so far.
    pub times: u8,
    /// `true` if the user declined a URL, so that the call is not sent.
    pub declined: bool,
}

/// State of a modern server, which goes back to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedState {
    /// Position of the encrypted text in the request.
    pub span: ByteSpan,
    /// State of the server: the JSON string as written.
    pub literal: Box<str>,
}

/// Completes the plan if the request continues an earlier one.
pub(super) fn complete(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    params: &MessageParams<'_>,
    call: CallPlan,
) -> Result<CallPlan, Refusal> {
    if params.request_state.is_none() && params.input_responses.is_none() {
        return Ok(call);
    }
    let stateless = call.server().era == Some(Era::Modern);
    match (call.client, &params.request_state) {
        // A legacy client answers within its session; the modern server would take these members for answers.
        (ClientProtocol::Legacy { .. }, _) if stateless => Err(invalid(
            "`requestState` and `inputResponses` are of later protocol versions",
        )),
        (ClientProtocol::Legacy { .. }, _) => Ok(call),
        (ClientProtocol::Modern { .. }, None) if stateless => Ok(call),
        // Answers to no question: the call is a new one, and a legacy server gets no answers in a request.
        (ClientProtocol::Modern { .. }, None) => Ok(CallPlan {
            has_stray_responses: true,
            ..call
        }),
        (ClientProtocol::Modern { .. }, Some(state)) if stateless => {
            with_returned_state(input, envelope, state, call)
        }
        (ClientProtocol::Modern { .. }, Some(state)) => {
            let responses = params.input_responses;
            if let Some(elicitation) =
                UrlElicitation::decrypt(input.cipher, state_context(input), state.as_str())
            {
                return after_url_elicitation(input, envelope, &elicitation, responses, call);
            }
            let ticket = open_ticket(input, envelope, state, &call)?;
            let continuation = Some(ContinuationRequest { ticket, responses });
            Ok(CallPlan {
                continuation,
                ..call
            })
        }
    }
}

/// Plans a call that was not run before a URL elicitation.
fn after_url_elicitation(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    elicitation: &UrlElicitation,
    responses: Option<ByteSpan>,
    call: CallPlan,
) -> Result<CallPlan, Refusal> {
    check_state(
        input,
        envelope,
        elicitation.request,
        elicitation.until,
        &call,
    )?;
    let responses = responses.map_or(&b"{}"[..], |span| envelope.slice(span));
    let result = Some(UrlElicitationResult {
        times: elicitation.times,
        declined: elicitation.is_declined(responses),
    });
    Ok(CallPlan {
        url_elicitation_result: result,
        ..call
    })
}

/// Checks that a state was encrypted for this request and has not expired.
fn check_state(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    request: Digest,
    until: Timestamp,
    call: &CallPlan,
) -> Result<(), Refusal> {
    if call.digest(envelope.source) != Some(request) {
        return Err(other_request());
    }
    if until <= input.now {
        return Err(invalid("the time of this `requestState` is over"));
    }
    Ok(())
}

/// Opens the ticket of a suspended call.
fn open_ticket(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    state: &JsonString<'_>,
    call: &CallPlan,
) -> Result<CallTicket, Refusal> {
    let ticket = CallTicket::decrypt(input.cipher, state_context(input), state.as_str());
    let ticket = ticket.ok_or_else(not_valid)?;
    if call.digest(envelope.source) != Some(ticket.request) {
        return Err(other_request());
    }
    Ok(ticket)
}

/// Plans a call with the plain state of a modern server.
fn with_returned_state(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    state: &JsonString<'_>,
    call: CallPlan,
) -> Result<CallPlan, Refusal> {
    let state_of_server =
        EncryptedRequestState::decrypt(input.cipher, state_context(input), state.as_str());
    let opened = state_of_server.ok_or_else(not_valid)?;
    check_state(input, envelope, opened.request, opened.until, &call)?;
    let returned_state = ReturnedState {
        span: state.span,
        literal: opened.literal,
    };
    Ok(CallPlan {
        returned_state: Some(returned_state),
        ..call
    })
}

fn state_context<'a>(input: &PlanInput<'a>) -> StateContext<'a> {
    StateContext {
        gateway: &input.gateway.name.id,
        principal: input.caller.principal(),
    }
}

fn not_valid() -> Refusal {
    invalid("`requestState` is not valid here")
}

fn other_request() -> Refusal {
    invalid("`requestState` belongs to another request")
}

fn invalid(text: &'static str) -> Refusal {
    Refusal::InvalidParams(text.into())
}
