//! The `input_required` result for a modern client whose legacy server sends a request in the middle of a call, or
//! requires URLs to be visited ahead of it.

use toolgate_mcp::{message, method, text::quote};

use crate::{call::Elicitation, plan::CallPlan, segmented_bytes::SegmentedBytes};

use super::{CallOutcome, ClientResponse};

/// Builds the result `input_required` with these elicitations under their keys, and the `requestState` to come back
/// with.
pub fn input_required<'q>(
    call: &CallPlan,
    elicitations: impl IntoIterator<Item = (&'q str, &'q Elicitation)>,
    state: &str,
) -> ClientResponse {
    let server = &call.server().name.id;
    let requests = elicitations.into_iter().map(|(key, elicitation)| {
        let input = elicitation.to_input(server, b"{}");
        format!("{}:{}", quote(key), String::from_utf8_lossy(&input))
    });
    let requests: Vec<String> = requests.collect();
    let (requests, state) = (requests.join(","), quote(state));
    let meta = quote(method::META_SERVER);
    let server_info = call.gateway.server_info.to_json();
    let result = format!(
        "{{\"resultType\":\"input_required\",\"inputRequests\":{{{requests}}},\"requestState\":{state},\"_meta\":{{{meta}:{server_info}}}}}"
    );
    ClientResponse {
        body: SegmentedBytes::from(message::response(&call.id, &result)),
        status: 200,
        outcome: CallOutcome::InputRequired,
    }
}
