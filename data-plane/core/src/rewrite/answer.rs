//! Rewriting of a server's messages for the client: the response to a call, and the messages that precede it on a
//! stream.

mod error;
mod notice;
mod result;
mod shown;
mod task;
mod visit;

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{
    Answer, Limits, RpcError,
    answer::{Body, scan},
    envelope::Params,
    message, method,
    text::quote,
};
use toolgate_model::Era;

pub use notice::Notice;
pub use visit::links;

use crate::{
    asking::{LARGEST, Question},
    entrusted::STATE_LIMIT,
    parts::Parts,
    plan::{CallPlan, ClientSide, Target},
    refusal::UpstreamFailure,
    session::LogLevel,
};

/// Relay of the messages of one call. Each message of the server is passed to it in full.
#[derive(Debug)]
pub struct Relay {
    call: Arc<CallPlan>,
    era: Era,
    id: u64,
    log_level: Option<LogLevel>,
    progress: Option<f64>,
    /// Response whose `requestState` has to be sealed first.
    entrusting: Option<Bytes>,
    answered: bool,
    finished: bool,
}

/// Action for one message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relayed {
    /// Send the final response. No further message of the call follows.
    Final(Reply),
    /// Send a progress notification; its value is higher than that of the previous one.
    Progress(Notice),
    /// Send a log message of this level.
    Log(LogLevel, Notice),
    /// Send the message unchanged, ahead of the response.
    Forward(Bytes),
    /// Post this response to a request of the server.
    Respond(Bytes),
    /// A legacy server requests input of the client: its request id, as written, and the request.
    Asked(Box<str>, Question),
    /// A legacy server cancelled its request with this id, as written.
    Withdrawn(Box<str>),
    /// A modern server requests input of a legacy client before it continues.
    Required(Required),
    /// A modern server returned this `requestState` (JSON string as written) for a modern client. It has to be sealed
    /// and passed to [`ResponseRelay::respond_with_sealed_state`].
    Entrusts(Box<str>),
    /// A legacy server did not run the call of a modern client, because the user has to visit these URLs first.
    Visit(Vec<Question>),
    /// Drop the message.
    Ignore,
}

/// Result of a call that needs further steps before the client gets a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// See [`RelayAction::InputRequired`].
    Required(Required),
    /// See [`RelayAction::SealState`].
    Entrusts(Box<str>),
    /// See [`RelayAction::UrlElicitation`].
    Visit(Vec<Question>),
}

/// Input that a modern server requests before it continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// Requests by the server's keys.
    pub requests: Vec<(Box<str>, Question)>,
    /// State to return with the responses, a JSON string as written.
    pub state: Option<Box<str>>,
}

/// Response to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Message body.
    pub body: Parts,
    /// HTTP status, if the response head has not been sent yet.
    pub status: u16,
    /// Outcome of the call.
    pub outcome: Outcome,
}

/// Outcome of a call, for metrics and audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
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

impl Relay {
    /// Creates the relay of a call sent with the gateway's request id `id` to a server of this era. `log_level` is the
    /// least severe level that the client receives.
    pub fn new(call: Arc<CallPlan>, era: Era, id: u64, log_level: Option<LogLevel>) -> Self {
        Self {
            call,
            era,
            id,
            log_level,
            progress: None,
            entrusting: None,
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

    /// Sets the gateway's request id after the call was sent again.
    pub fn sent_again(&mut self, id: u64) {
        self.id = id;
        self.answered = false;
    }

    /// Resumes the call for a retry of the client.
    pub fn taken_up(&mut self, call: Arc<CallPlan>, log_level: Option<LogLevel>) {
        self.call = call;
        self.log_level = log_level;
    }

    /// Handles one message of a stream.
    pub fn on(&mut self, message: &Bytes) -> Relayed {
        if self.finished {
            return Relayed::Ignore;
        }
        let Ok(answer) = scan(message, &Limits::ANSWER) else {
            return Relayed::Final(self.fail(UpstreamFailure::Malformed));
        };
        let ends = matches!(&answer.body, Body::Result(_) | Body::Error(_));
        if ends && !self.is_ours(&answer) {
            return Relayed::Ignore;
        }
        self.answered |= ends;
        match &answer.body {
            Body::Result(result) => {
                if let Some(bare) = self.without_round(message, result) {
                    return self.on(&bare);
                }
                if let Some(required) = self.required(&answer, result) {
                    // The state is stored on this proxy until the client responds.
                    let state = required.state.as_ref();
                    if state.is_some_and(|state| state.len() > STATE_LIMIT) {
                        return Relayed::Final(self.fail(UpstreamFailure::StateTooLarge));
                    }
                    return Relayed::Required(required);
                }
                let shown = self.shown(message, result.span);
                if let Some(state) = self.entrusts(&answer, result) {
                    if state.len() > STATE_LIMIT {
                        return Relayed::Final(self.fail(UpstreamFailure::StateTooLarge));
                    }
                    self.entrusting = Some(shown.unwrap_or_else(|| message.clone()));
                    return Relayed::Entrusts(state);
                }
                let reply = match shown {
                    None => self.result(message, &answer, result, None),
                    Some(shown) => self.again(&shown, None),
                };
                Relayed::Final(self.finish(reply))
            }
            Body::Error(error) => {
                if let Some(pages) = self.visit(&answer, *error) {
                    self.finished = true;
                    return Relayed::Visit(pages);
                }
                let reply = self.error(message, &answer, *error);
                Relayed::Final(self.finish(reply))
            }
            Body::Notification { method, params } => {
                self.notice(message, method.as_str(), params.as_ref())
            }
            Body::Request { method, params } => {
                self.asked(method.as_str(), params.as_ref(), &answer)
            }
        }
    }

    /// Completes the response that waits for its sealed state. `None` means that the state could not be sealed.
    pub fn entrusted(&mut self, sealed: Option<&str>) -> Reply {
        let message = self.entrusting.take();
        let (Some(message), Some(sealed)) = (message, sealed) else {
            return self.fail(UpstreamFailure::NeedsInput);
        };
        let reply = self.again(&message, Some(&quote(sealed)));
        self.finish(reply)
    }

    /// Parses a result again, either because it was rewritten or to replace its state with `state`.
    fn again(&self, message: &Bytes, state: Option<&str>) -> Reply {
        match scan(message, &Limits::ANSWER).as_ref() {
            Ok(answer) => match &answer.body {
                Body::Result(result) => self.result(message, answer, result, state),
                Body::Error(_) | Body::Notification { .. } | Body::Request { .. } => {
                    failed(&self.call, UpstreamFailure::Malformed)
                }
            },
            // The message was within the limits before it was rewritten.
            Err(_grown) => failed(&self.call, UpstreamFailure::Outgrown),
        }
    }

    /// Handles the only message of a JSON response. Anything but a response to the request is malformed.
    pub fn only(&mut self, message: &Bytes) -> Result<Reply, Wanted> {
        let relayed = self.on(message);
        self.answered = true;
        match relayed {
            Relayed::Final(reply) => Ok(reply),
            Relayed::Required(required) => Err(Wanted::Required(required)),
            Relayed::Entrusts(state) => Err(Wanted::Entrusts(state)),
            Relayed::Visit(pages) => Err(Wanted::Visit(pages)),
            Relayed::Progress(_)
            | Relayed::Log(..)
            | Relayed::Forward(_)
            | Relayed::Respond(_)
            | Relayed::Asked(..)
            | Relayed::Withdrawn(_)
            | Relayed::Ignore => Ok(self.fail(UpstreamFailure::Malformed)),
        }
    }

    /// Ends the call without a usable response. A tool call fails with a tool error, so that the model can react to
    /// it.
    pub fn fail(&mut self, failure: UpstreamFailure) -> Reply {
        let reply = failed(&self.call, failure);
        self.finish(reply)
    }

    fn finish(&mut self, reply: Reply) -> Reply {
        self.finished = true;
        reply
    }

    fn is_ours(&self, answer: &Answer<'_>) -> bool {
        match answer.id {
            Some(id) => id.raw.parse() == Ok(self.id),
            // An error may lack the id if the server could not parse the request; only one request was sent on this
            // stream.
            None => matches!(answer.body, Body::Error(_)),
        }
    }

    /// Handles a server request. A request for an undeclared capability is rejected at once, so that the server does
    /// not wait.
    fn asked(&self, method: &str, params: Option<&Params<'_>>, answer: &Answer<'_>) -> Relayed {
        let Some(id) = answer.id.filter(|_| self.era == Era::Legacy) else {
            return Relayed::Ignore;
        };
        let params = params.map(|params| answer.slice(params.span));
        match Question::read(method, params) {
            Some(question) if self.call.askable().has(question.kind().needs()) => {
                Relayed::Asked(id.raw.into(), question)
            }
            None if Question::is_too_large(method, params) => {
                let most = LARGEST / 1024;
                let words = format!("what is asked of a client may have {most} KiB at most");
                Relayed::Respond(RpcError::invalid_params(words).to_bytes(Some(id.raw)))
            }
            Some(_) | None => Relayed::Respond(respond(method, id.raw)),
        }
    }

    fn is_modern(&self) -> bool {
        matches!(self.call.client, ClientSide::Modern { .. })
    }
}

/// Returns the gateway's own response to a server request; `id` is the literal of its id.
pub fn respond(method: &str, id: &str) -> Bytes {
    if method == method::PING {
        return message::response(id, "{}");
    }
    RpcError::method_not_found(method).to_bytes(Some(id))
}

/// Error text of a failure. Names the server's `max_answer_mib` setting if that caused the failure.
fn words(call: &CallPlan, failure: UpstreamFailure, noun: &str) -> String {
    let words = failure.told_of(noun);
    if failure != UpstreamFailure::TooLarge {
        return words;
    }
    let server = call.server();
    let (id, most) = (&server.name.id, server.max_answer.mebibytes());
    format!("{words} (`max_answer_mib` of the server `{id}` is {most})")
}

/// Response to a failed call, even if nothing was sent: a tool error for a tool, a JSON-RPC error otherwise.
pub fn failed(call: &CallPlan, failure: UpstreamFailure) -> Reply {
    let body = match &call.target {
        Target::Tool(_) => {
            let modern = match call.client {
                ClientSide::Modern { .. } => Some(&call.gateway.server_info),
                ClientSide::Legacy { .. } => None,
            };
            let result = message::tool_error(&words(call, failure, "tool"), failure.kind(), modern);
            message::response(&call.id, &result)
        }
        // Clients evaluate these programmatically and expect JSON-RPC errors.
        target @ (Target::Prompt(_)
        | Target::Resource(_)
        | Target::Completion(_)
        | Target::Task(_)) => {
            RpcError::internal(words(call, failure, target.noun())).to_bytes(Some(&call.id))
        }
    };
    Reply {
        body: Parts::from(body),
        status: 200,
        outcome: Outcome::Failed(failure),
    }
}
