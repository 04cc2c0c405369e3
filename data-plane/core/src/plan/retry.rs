//! A modern client comes back with answers. Modern servers keep their own state, which passes as it is; a legacy server
//! keeps the call itself, which waits with us: what the client holds is ours, and is good for this very request only.

use toolgate_mcp::{Envelope, Span, envelope::Params};
use toolgate_model::Era;

use crate::{
    Refusal,
    parked::Ticket,
    plan::{CallPlan, ClientSide, PlanInput},
    seal::Binding,
};

/// An earlier call, taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Which.
    pub ticket: Ticket,
    /// `params.inputResponses`.
    pub responses: Option<Span>,
}

/// The call as a retry, if it is one of a call that waits with us.
pub(super) fn take_up(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    params: &Params<'_>,
    mut call: CallPlan,
) -> Result<CallPlan, Refusal> {
    let stateless = call.server().era == Some(Era::Modern);
    if stateless || matches!(call.client, ClientSide::Legacy { .. }) {
        return Ok(call);
    }
    let invalid = |text: &'static str| Refusal::InvalidParams(text.into());
    let Some(state) = &params.request_state else {
        if params.input_responses.is_some() {
            return Err(invalid(
                "`inputResponses` need the `requestState` of their question",
            ));
        }
        return Ok(call);
    };
    let binding = Binding {
        gateway: &input.gateway.name.id,
        principal: input.caller.principal(),
    };
    let ticket = Ticket::open(input.sealer, binding, state.as_str());
    let ticket = ticket.ok_or_else(|| invalid("`requestState` is not valid here"))?;
    if call.digest(envelope.source) != Some(ticket.request) {
        return Err(invalid("`requestState` belongs to another request"));
    }
    call.retry = Some(Retry {
        ticket,
        responses: params.input_responses,
    });
    Ok(call)
}
