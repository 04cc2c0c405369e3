//! Rewriting of messages in both directions. Towards a server, ids, names and progress tokens are those of the gateway
//! or the server; towards the client they are the client's. Each side is addressed by the rules of its era. All other
//! content is passed on unchanged.

mod input_required;
mod request;
mod response;
mod segmented_splice;
mod task_notification;

pub use input_required::input_required;
pub use request::{
    CLIENT_INFO, UpstreamRequest, UpstreamRequestOptions, request, with_input_responses,
};
pub use response::{
    CallOutcome, ClientResponse, IncompleteResponse, InputRequirement, RelayAction, ResponseRelay,
    ServerNotification, deep_request_response, failure_response, server_request_response,
    url_elicitation_response,
};
pub use task_notification::{MAX_TASK_NOTIFICATION, bounded_task_params, task_notification_params};

#[cfg(test)]
mod tests;
