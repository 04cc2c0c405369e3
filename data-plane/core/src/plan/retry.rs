//! A modern client comes back with answers. A modern server keeps nothing: its own state comes back to it out of what the
//! client holds. A legacy server keeps the call itself, which waits with us, unless it has not run it: then the client holds
//! what there is to know. All are good for this very request only.

use toolgate_mcp::{ByteSpan, Envelope, JsonString, envelope::MessageParams};
use toolgate_model::{Digest, Era, Timestamp};

use crate::{
    Refusal,
    entrusted::Entrusted,
    parked::Ticket,
    plan::{CallPlan, ClientProtocol, PlanInput},
    seal::SealContext,
    visit::Visit,
};

/// An earlier call, taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Which.
    pub ticket: Ticket,
    /// `params.inputResponses`.
    pub responses: Option<ByteSpan>,
}

/// A call that its server did not run, because somebody had to be at pages first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visited {
    /// How often it has sent somebody away.
    pub times: u8,
    /// Somebody did not go: it is not made.
    pub declined: bool,
}

/// What a modern server entrusted to the client, as it goes back to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Where the client's text for it stands.
    pub span: ByteSpan,
    /// The JSON string as the server wrote it.
    pub literal: Box<str>,
}

/// The call as a retry, if it is one.
pub(super) fn take_up(
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
        // It is asked within its session; a modern server would believe that it was answered.
        (ClientProtocol::Legacy { .. }, _) if stateless => Err(invalid(
            "`requestState` and `inputResponses` are of later protocol versions",
        )),
        (ClientProtocol::Legacy { .. }, _) => Ok(call),
        (ClientProtocol::Modern { .. }, None) if stateless => Ok(call),
        (ClientProtocol::Modern { .. }, None) => Err(invalid(
            "`inputResponses` need the `requestState` of their question",
        )),
        (ClientProtocol::Modern { .. }, Some(state)) if stateless => {
            returned(input, envelope, state, call)
        }
        (ClientProtocol::Modern { .. }, Some(state)) => {
            let responses = params.input_responses;
            if let Some(visit) = Visit::open(input.sealer, binding(input), state.as_str()) {
                return visited(input, envelope, &visit, responses, call);
            }
            let ticket = ticket(input, envelope, state, &call)?;
            let retry = Some(Retry { ticket, responses });
            Ok(CallPlan { retry, ..call })
        }
    }
}

/// To be made, as if for the first time.
fn visited(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    visit: &Visit,
    responses: Option<ByteSpan>,
    call: CallPlan,
) -> Result<CallPlan, Refusal> {
    still_good(input, envelope, visit.request, visit.until, &call)?;
    let responses = responses.map_or(&b"{}"[..], |span| envelope.slice(span));
    let visited = Some(Visited {
        times: visit.times,
        declined: visit.is_declined(responses),
    });
    Ok(CallPlan { visited, ..call })
}

/// Whether what a client holds is of this request, and its time not over.
fn still_good(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    request: Digest,
    until: Timestamp,
    call: &CallPlan,
) -> Result<(), Refusal> {
    if call.digest(envelope.source) != Some(request) {
        return Err(of_another());
    }
    if until <= input.now {
        return Err(invalid("the time of this `requestState` is over"));
    }
    Ok(())
}

/// Whose call waits with us.
fn ticket(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    state: &JsonString<'_>,
    call: &CallPlan,
) -> Result<Ticket, Refusal> {
    let ticket = Ticket::open(input.sealer, binding(input), state.as_str());
    let ticket = ticket.ok_or_else(not_valid)?;
    if call.digest(envelope.source) != Some(ticket.request) {
        return Err(of_another());
    }
    Ok(ticket)
}

/// With the server's own state in the place of ours.
fn returned(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    state: &JsonString<'_>,
    call: CallPlan,
) -> Result<CallPlan, Refusal> {
    let entrusted = Entrusted::open(input.sealer, binding(input), state.as_str());
    let entrusted = entrusted.ok_or_else(not_valid)?;
    still_good(input, envelope, entrusted.request, entrusted.until, &call)?;
    let returned = Returned {
        span: state.span,
        literal: entrusted.literal,
    };
    Ok(CallPlan {
        returned: Some(returned),
        ..call
    })
}

fn binding<'a>(input: &PlanInput<'a>) -> SealContext<'a> {
    SealContext {
        gateway: &input.gateway.name.id,
        principal: input.caller.principal(),
    }
}

fn not_valid() -> Refusal {
    invalid("`requestState` is not valid here")
}

fn of_another() -> Refusal {
    invalid("`requestState` belongs to another request")
}

fn invalid(text: &'static str) -> Refusal {
    Refusal::InvalidParams(text.into())
}
