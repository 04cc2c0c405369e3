//! Rewriting of a server's messages for the client: the response to a call, and the messages that precede it on a
//! stream.

mod error;
mod exposed_result;
mod notification;
mod result;
mod task;
mod url_elicitation;

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{
    FrameErrorKind, FrameLimits, RpcError, ServerMessage,
    envelope::MessageParams,
    message, method,
    server_message::{ServerMessageBody, scan},
    text::quote,
};
use toolgate_model::Era;

pub use notification::ServerNotification;
pub use url_elicitation::url_elicitation_response;

use crate::{
    call::{
        elicitation::{Elicitation, MAX_SIZE},
        request_state::STATE_LIMIT,
    },
    plan::{CallPlan, ClientProtocol, RequestTarget},
    refusal::UpstreamFailure,
    segmented_bytes::SegmentedBytes,
    session::LogLevel,
};

/// Relay of the messages of one call. Each message of the server is passed to it in full.
#[derive(Debug)]
pub struct ResponseRelay {
    call: Arc<CallPlan>,
    era: Era,
    id: u64,
    log_level: Option<LogLevel>,
    progress: Option<f64>,
    /// Response whose `requestState` has to be encrypted first.
    awaiting_encryption: Option<Bytes>,
    /// Code of the JSON-RPC error that answered the call.
    error_code: Option<i64>,
    answered: bool,
    finished: bool,
}

/// Action for one message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayAction {
    /// Send the final response. No further message of the call follows.
    Final(ClientResponse),
    /// Send a progress notification; its value is higher than that of the previous one.
    Progress(ServerNotification),
    /// Send a log message of this level.
    Log(LogLevel, ServerNotification),
    /// Send the message unchanged, ahead of the response.
    Forward(Bytes),
    /// Answer a request of the server without the client: a pong, or a rejection.
    LocalReply(Bytes),
    /// A legacy server requests input of the client: its request id, as written, and the request.
    ServerRequest(Box<str>, Elicitation),
    /// A legacy server cancelled its request with this id, as written.
    Cancelled(Box<str>),
    /// A modern server requests input of a legacy client before it continues.
    InputRequired(InputRequirement),
    /// A modern server returned this `requestState` (JSON string as written) for a modern client. It has to be encrypted
    /// and passed to [`ResponseRelay::respond_with_encrypted_state`].
    EncryptState(Box<str>),
    /// A legacy server did not run the call of a modern client, because the user has to visit these URLs first.
    UrlElicitation(Vec<Elicitation>),
    /// Drop the message.
    Ignore,
}

/// Result of a call that needs further steps before the client gets a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncompleteResponse {
    /// See [`RelayAction::InputRequired`].
    InputRequired(InputRequirement),
    /// See [`RelayAction::EncryptState`].
    EncryptState(Box<str>),
    /// See [`RelayAction::UrlElicitation`].
    UrlElicitation(Vec<Elicitation>),
}

/// Input that a modern server requests before it continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRequirement {
    /// Requests by the server's keys.
    pub requests: Vec<(Box<str>, Elicitation)>,
    /// State to return with the responses, a JSON string as written.
    pub state: Option<Box<str>>,
}

/// Response to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientResponse {
    /// Message body.
    pub body: SegmentedBytes,
    /// HTTP status, if the response head has not been sent yet.
    pub status: u16,
    /// Outcome of the call.
    pub outcome: CallOutcome,
}

/// Outcome of a call, for metrics and audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// The server returned a result.
    Done,
    /// The tool reported a failure; tool calls only.
    ToolError,
    /// The server requests input of the client first.
    InputRequired,
    /// The server returned a JSON-RPC error.
    Error,
    /// There is no usable response.
    Failed(UpstreamFailure),
}

impl ResponseRelay {
    /// Creates the relay of a call sent with the gateway's request id `id` to a server of this era. `log_level` is the
    /// least severe level that the client receives.
    pub fn new(call: Arc<CallPlan>, era: Era, id: u64, log_level: Option<LogLevel>) -> Self {
        Self {
            call,
            era,
            id,
            log_level,
            progress: None,
            awaiting_encryption: None,
            error_code: None,
            answered: false,
            finished: false,
        }
    }

    /// Plan of the call.
    pub fn call(&self) -> &Arc<CallPlan> {
        &self.call
    }

    /// Returns `true` once the client has its response.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Returns `true` once the server has responded to the call, even if the response is not usable.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Returns the code of the JSON-RPC error that the server answered the call with.
    pub fn error_code(&self) -> Option<i64> {
        self.error_code
    }

    /// Sets the gateway's request id after the call was sent again.
    pub fn set_upstream_id(&mut self, id: u64) {
        self.id = id;
        self.answered = false;
    }

    /// Continues the call for a retry of the client.
    pub fn continue_with(&mut self, call: Arc<CallPlan>, log_level: Option<LogLevel>) {
        self.call = call;
        self.log_level = log_level;
    }

    /// Handles one message of a stream.
    pub fn on(&mut self, message: &Bytes) -> RelayAction {
        if self.finished {
            return RelayAction::Ignore;
        }
        let answer = match scan(message, &FrameLimits::SERVER_MESSAGE) {
            Ok(answer) => answer,
            Err(error) if error.reason == FrameErrorKind::TooDeep => {
                return self.on_deep_message(message);
            }
            Err(_invalid) => return RelayAction::Final(self.fail(UpstreamFailure::Malformed)),
        };
        let ends = matches!(
            &answer.body,
            ServerMessageBody::Result(_) | ServerMessageBody::Error(_)
        );
        if ends && !self.matches_request(&answer) {
            return RelayAction::Ignore;
        }
        self.answered |= ends;
        if !notification::is_rendered_later(&answer.body)
            && let Some(clean) = answer.without_case_variants()
        {
            return match (clean, ends) {
                (Ok(clean), _) => self.on(&clean),
                (Err(_ambiguous), true) => {
                    RelayAction::Final(self.fail(UpstreamFailure::Malformed))
                }
                (Err(_ambiguous), false) => RelayAction::Ignore,
            };
        }
        match &answer.body {
            ServerMessageBody::Result(result) => {
                if let Some(bare) = self.without_null_members(message, result) {
                    return self.on(&bare);
                }
                if let Some(bare) = self.without_input_members(message, result) {
                    return self.on(&bare);
                }
                if let Some(required) = self.input_requirement(&answer, result) {
                    // The state is stored on this proxy until the client responds.
                    let state = required.state.as_ref();
                    if state.is_some_and(|state| state.len() > STATE_LIMIT) {
                        return RelayAction::Final(self.fail(UpstreamFailure::StateTooLarge));
                    }
                    return RelayAction::InputRequired(required);
                }
                let rewritten = self.exposed_result(message, result.span);
                if let Some(state) = self.state_to_encrypt(&answer, result) {
                    if state.len() > STATE_LIMIT {
                        return RelayAction::Final(self.fail(UpstreamFailure::StateTooLarge));
                    }
                    self.awaiting_encryption = Some(rewritten.unwrap_or_else(|| message.clone()));
                    return RelayAction::EncryptState(state);
                }
                let reply = match rewritten {
                    None => self.result_response(message, &answer, result, None),
                    Some(rewritten) => self.reread_result(&rewritten, None),
                };
                RelayAction::Final(self.finish(reply))
            }
            ServerMessageBody::Error(error) => {
                if let Some(pages) = self.required_urls(&answer, *error) {
                    self.finished = true;
                    return RelayAction::UrlElicitation(pages);
                }
                self.error_code = RpcError::parse(answer.slice(*error)).map(|error| error.code);
                let reply = self.error_response(message, &answer, *error);
                RelayAction::Final(self.finish(reply))
            }
            ServerMessageBody::Notification { method, params } => {
                self.on_notification(message, method.as_str(), params.as_ref())
            }
            ServerMessageBody::Request { method, params } => {
                self.server_request(method.as_str(), params.as_ref(), &answer)
            }
        }
    }

    /// Handles a message that is nested too deeply. Only the answer to the call ends it.
    fn on_deep_message(&mut self, message: &Bytes) -> RelayAction {
        let Ok(answer) = scan(message, &FrameLimits::LENIENT) else {
            return RelayAction::Final(self.fail(UpstreamFailure::Malformed));
        };
        match (&answer.body, answer.id) {
            (ServerMessageBody::Result(_) | ServerMessageBody::Error(_), _)
                if self.matches_request(&answer) =>
            {
                self.answered = true;
                RelayAction::Final(self.fail(UpstreamFailure::TooDeep))
            }
            (ServerMessageBody::Request { .. }, Some(id)) => {
                RelayAction::LocalReply(deep_request_response(id.raw))
            }
            (
                ServerMessageBody::Result(_)
                | ServerMessageBody::Error(_)
                | ServerMessageBody::Notification { .. }
                | ServerMessageBody::Request { .. },
                _,
            ) => RelayAction::Ignore,
        }
    }

    /// Completes the response that waits for its encrypted state. `None` means that the state could not be encrypted.
    pub fn respond_with_encrypted_state(&mut self, encrypted: Option<&str>) -> ClientResponse {
        let message = self.awaiting_encryption.take();
        let (Some(message), Some(encrypted)) = (message, encrypted) else {
            return self.fail(UpstreamFailure::NeedsInput);
        };
        let reply = self.reread_result(&message, Some(&quote(encrypted)));
        self.finish(reply)
    }

    /// Parses a result again, either because it was rewritten or to replace its state with `state`.
    fn reread_result(&self, message: &Bytes, state: Option<&str>) -> ClientResponse {
        match scan(message, &FrameLimits::SERVER_MESSAGE).as_ref() {
            Ok(answer) => match &answer.body {
                ServerMessageBody::Result(result) => {
                    self.result_response(message, answer, result, state)
                }
                ServerMessageBody::Error(_)
                | ServerMessageBody::Notification { .. }
                | ServerMessageBody::Request { .. } => {
                    failure_response(&self.call, UpstreamFailure::Malformed)
                }
            },
            // The message was within the limits before it was rewritten.
            Err(_grown) => failure_response(&self.call, UpstreamFailure::TooLargeAfterRewrite),
        }
    }

    /// Handles the only message of a JSON response. Anything but a response to the request is malformed.
    pub fn on_single_response(
        &mut self,
        message: &Bytes,
    ) -> Result<ClientResponse, IncompleteResponse> {
        let relayed = self.on(message);
        self.answered = true;
        match relayed {
            RelayAction::Final(reply) => Ok(reply),
            RelayAction::InputRequired(required) => {
                Err(IncompleteResponse::InputRequired(required))
            }
            RelayAction::EncryptState(state) => Err(IncompleteResponse::EncryptState(state)),
            RelayAction::UrlElicitation(pages) => Err(IncompleteResponse::UrlElicitation(pages)),
            RelayAction::Progress(_)
            | RelayAction::Log(..)
            | RelayAction::Forward(_)
            | RelayAction::LocalReply(_)
            | RelayAction::ServerRequest(..)
            | RelayAction::Cancelled(_)
            | RelayAction::Ignore => Ok(self.fail(UpstreamFailure::Malformed)),
        }
    }

    /// Ends the call without a usable response. A tool call fails with a tool error, so that the model can react to
    /// it.
    pub fn fail(&mut self, failure: UpstreamFailure) -> ClientResponse {
        let reply = failure_response(&self.call, failure);
        self.finish(reply)
    }

    fn finish(&mut self, reply: ClientResponse) -> ClientResponse {
        self.finished = true;
        reply
    }

    fn matches_request(&self, answer: &ServerMessage<'_>) -> bool {
        match answer.id {
            Some(id) => id.raw.parse() == Ok(self.id),
            // An error may lack the id if the server could not parse the request; only one request was sent on this
            // stream.
            None => matches!(answer.body, ServerMessageBody::Error(_)),
        }
    }

    /// Handles a server request. A request for an undeclared capability is rejected at once, so that the server does
    /// not wait.
    fn server_request(
        &self,
        method: &str,
        params: Option<&MessageParams<'_>>,
        answer: &ServerMessage<'_>,
    ) -> RelayAction {
        let Some(id) = answer.id else {
            return RelayAction::Ignore;
        };
        // A modern server requests input in its result: a request of its own is refused, so that it does not wait.
        if self.era == Era::Modern {
            return RelayAction::LocalReply(server_request_response(method, id.raw));
        }
        let params = params.map(|params| answer.slice(params.span));
        match Elicitation::read(method, params) {
            Some(question)
                if self
                    .call
                    .requestable_capabilities()
                    .contains(question.kind().needs()) =>
            {
                RelayAction::ServerRequest(id.raw.into(), question)
            }
            None if Elicitation::is_too_large(method, params) => {
                let most = MAX_SIZE / 1024;
                let words = format!("a request to a client may have at most {most} KiB");
                RelayAction::LocalReply(RpcError::invalid_params(words).to_bytes(Some(id.raw)))
            }
            Some(_) | None => RelayAction::LocalReply(server_request_response(method, id.raw)),
        }
    }

    fn is_modern(&self) -> bool {
        matches!(self.call.client, ClientProtocol::Modern { .. })
    }
}

/// Returns the gateway's own response to a server request; `id` is the literal of its id.
pub fn server_request_response(method: &str, id: &str) -> Bytes {
    if method == method::PING {
        return message::response(id, "{}");
    }
    RpcError::method_not_found(method).to_bytes(Some(id))
}

/// Returns the gateway's own response to a server request that is nested too deeply; `id` is the literal of its id.
pub fn deep_request_response(id: &str) -> Bytes {
    let limit = FrameLimits::SERVER_MESSAGE.depth;
    let words = format!("a request to a client may be nested at most {limit} levels deep");
    RpcError::invalid_params(words).to_bytes(Some(id))
}

/// Error text of a failure. Names the server's `max_answer_mib` setting if that caused the failure.
fn failure_message(call: &CallPlan, failure: UpstreamFailure, noun: &str) -> String {
    let words = failure.message_for(noun);
    if failure != UpstreamFailure::TooLarge {
        return words;
    }
    let server = call.server();
    let (id, most) = (&server.name.id, server.max_answer.mebibytes());
    format!("{words} (`max_answer_mib` of the server `{id}` is {most})")
}

/// Response to a failed call, even if nothing was sent: a tool error for a tool, a JSON-RPC error otherwise.
pub fn failure_response(call: &CallPlan, failure: UpstreamFailure) -> ClientResponse {
    let body = match &call.target {
        RequestTarget::Tool(_) => {
            let modern = match call.client {
                ClientProtocol::Modern { .. } => Some(&call.gateway.server_info),
                ClientProtocol::Legacy { .. } => None,
            };
            let result = message::tool_error(
                &failure_message(call, failure, "tool"),
                failure.kind(),
                modern,
            );
            message::response(&call.id, &result)
        }
        // Clients evaluate these programmatically and expect JSON-RPC errors.
        target @ (RequestTarget::Prompt(_)
        | RequestTarget::Resource(_)
        | RequestTarget::Completion(_)
        | RequestTarget::Task(_)) => {
            RpcError::internal(failure_message(call, failure, target.noun()))
                .to_bytes(Some(&call.id))
        }
    };
    ClientResponse {
        body: SegmentedBytes::from(body),
        status: 200,
        outcome: CallOutcome::Failed(failure),
    }
}
