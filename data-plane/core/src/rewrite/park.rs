//! What a modern client is answered whose legacy server asks something in the middle of a call, or sends somebody to a
//! page ahead of it.

use toolgate_mcp::{message, method, text::quote};

use crate::{asking::Question, plan::CallPlan, segmented_bytes::SegmentedBytes};

use super::{CallOutcome, ClientResponse};

/// `input_required`: these questions under their keys, and what to come back with.
pub fn input_required<'q>(
    call: &CallPlan,
    questions: impl IntoIterator<Item = (&'q str, &'q Question)>,
    state: &str,
) -> ClientResponse {
    let server = &call.server().name.id;
    let requests = questions.into_iter().map(|(key, question)| {
        let input = question.to_input(server, b"{}");
        format!("{}:{}", quote(key), String::from_utf8_lossy(&input))
    });
    let requests: Vec<String> = requests.collect();
    let (requests, state) = (requests.join(","), quote(state));
    let meta = quote(method::META_SERVER);
    let us = call.gateway.server_info.to_json();
    let result = format!(
        "{{\"resultType\":\"input_required\",\"inputRequests\":{{{requests}}},\"requestState\":{state},\"_meta\":{{{meta}:{us}}}}}"
    );
    ClientResponse {
        body: SegmentedBytes::from(message::response(&call.id, &result)),
        status: 200,
        outcome: CallOutcome::InputRequired,
    }
}
