//! Requests with the same meaning in both eras: lists, and requests that servers answer.

use std::sync::Arc;

use toolgate_mcp::{Envelope, method};

use crate::{
    Refusal,
    plan::{ClientProtocol, Plan, PlanInput, builtin_tools, call, list_cursor::ListKind, lists},
};

use super::call::ParamHeaders;

/// Plans the request, or returns `None` if its method belongs to one era only or is unknown. `headers` are those of a
/// modern request.
pub(super) fn plan(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    client: ClientProtocol,
    headers: Option<ParamHeaders<'_>>,
) -> Option<Result<Plan, Refusal>> {
    let list = |kind| lists::page(input, envelope, kind, client.era());
    Some(match envelope.method() {
        method::TOOLS_CALL | method::PROMPTS_GET | method::RESOURCES_READ => {
            if let Some(found) = builtin_tools::search(input, envelope, client.era()) {
                return Some(found);
            }
            let call = call::plan(input, envelope, client, headers);
            call.map(|call| Plan::Call(Arc::new(call)))
        }
        method::COMPLETE => completion(input, envelope, client),
        method::TOOLS_LIST => list(ListKind::Tools),
        method::PROMPTS_LIST => list(ListKind::Prompts),
        method::RESOURCES_LIST => list(ListKind::Resources),
        method::RESOURCES_TEMPLATES_LIST => list(ListKind::Templates),
        _ => return None,
    })
}

/// Plans a completion. A server that does not declare completions is not called; the response is empty.
fn completion(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    client: ClientProtocol,
) -> Result<Plan, Refusal> {
    let call = call::plan(input, envelope, client, None)?;
    let offers = &input.gateway.features;
    if offers.completion_servers.contains(&call.server().name.id) {
        return Ok(Plan::Call(Arc::new(call)));
    }
    let nothing = input.gateway.empty_completion(client.era());
    super::result_response(envelope, nothing).map(Plan::Respond)
}
