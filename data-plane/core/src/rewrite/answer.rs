//! A server's messages on their way to the client: the answer of a call, and what comes before it on a stream.

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

/// Follows one call's answer. Fed with each message of the server, whole.
#[derive(Debug)]
pub struct Relay {
    call: Arc<CallPlan>,
    era: Era,
    id: u64,
    log_level: Option<LogLevel>,
    progress: Option<f64>,
    /// The answer that entrusts something to the client.
    entrusting: Option<Bytes>,
    answered: bool,
    finished: bool,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relayed {
    /// The answer. Nothing of this call follows.
    Final(Reply),
    /// Goes to the client ahead of the answer: progress, further than before.
    Progress(Notice),
    /// Goes to the client ahead of the answer: a log message this severe.
    Log(LogLevel, Notice),
    /// Goes to the client ahead of the answer.
    Forward(Bytes),
    /// The server asks something of us: post this to it.
    Respond(Bytes),
    /// A legacy server asks something of the client: its id, as written, and what.
    Asked(Box<str>, Question),
    /// A legacy server no longer wants the answer to its request of this id, as written.
    Withdrawn(Box<str>),
    /// A modern server wants answers of a legacy client before it goes on.
    Required(Required),
    /// A modern server entrusts this to its modern client, the JSON string as written: it is to be sealed, and
    /// [`Relay::entrusted`] has the answer then.
    Entrusts(Box<str>),
    /// A legacy server did not run the call of a modern client: somebody has to be at these pages first.
    Visit(Vec<Question>),
    /// Nothing.
    Ignore,
}

/// What there is instead of an answer, for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// See [`Relayed::Required`].
    Required(Required),
    /// See [`Relayed::Entrusts`].
    Entrusts(Box<str>),
    /// See [`Relayed::Visit`].
    Visit(Vec<Question>),
}

/// What a modern server wants before it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// By the server's keys.
    pub requests: Vec<(Box<str>, Question)>,
    /// What to send back with the answers, a JSON string as written.
    pub state: Option<Box<str>>,
}

/// The answer to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The frame.
    pub body: Parts,
    /// HTTP status, if the head has not gone out yet.
    pub status: u16,
    /// How it went.
    pub outcome: Outcome,
}

/// How a call went, for metrics and audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A result.
    Done,
    /// The tool says that it failed; only tools can.
    ToolError,
    /// More is wanted of the client first.
    InputRequired,
    /// The server's JSON-RPC error.
    Error,
    /// No usable answer.
    Failed(UpstreamFailure),
}

impl Relay {
    /// Of a call that was sent under our `id` to a server of this era. `log_level` is what the client gets.
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

    /// The call.
    pub fn call(&self) -> &Arc<CallPlan> {
        &self.call
    }

    /// Whether the client has its answer.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the server has said all that it has to say of the call, also where that is no answer that can be used.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// The call was sent again, under this id of ours.
    pub fn sent_again(&mut self, id: u64) {
        self.id = id;
        self.answered = false;
    }

    /// The client asks for the same call again, which goes on as it was.
    pub fn taken_up(&mut self, call: Arc<CallPlan>, log_level: Option<LogLevel>) {
        self.call = call;
        self.log_level = log_level;
    }

    /// One message of a stream.
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
                    // It is kept here, for as long as the client takes.
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

    /// The answer that entrusts something to the client, which gets this text for it; none if it could not be sealed.
    pub fn entrusted(&mut self, sealed: Option<&str>) -> Reply {
        let message = self.entrusting.take();
        let (Some(message), Some(sealed)) = (message, sealed) else {
            return self.fail(UpstreamFailure::NeedsInput);
        };
        let reply = self.again(&message, Some(&quote(sealed)));
        self.finish(reply)
    }

    /// A result that is read once more: it was changed for the client, or this takes the place of its state.
    fn again(&self, message: &Bytes, state: Option<&str>) -> Reply {
        match scan(message, &Limits::ANSWER).as_ref() {
            Ok(answer) => match &answer.body {
                Body::Result(result) => self.result(message, answer, result, state),
                Body::Error(_) | Body::Notification { .. } | Body::Request { .. } => {
                    failed(&self.call, UpstreamFailure::Malformed)
                }
            },
            // It was within its limits before.
            Err(_grown) => failed(&self.call, UpstreamFailure::Outgrown),
        }
    }

    /// The one message of a JSON answer: anything but ours is a lie.
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

    /// There is no usable answer. Of a tool the model is told in the way of a failed one, so that it can react.
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
            // An error may lack the id if the server could not read the request; only one was sent here.
            None => matches!(answer.body, Body::Error(_)),
        }
    }

    /// What was not declared is refused at once, that the server need not wait.
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

/// What a server is answered that asks something of us, by the literal of its id.
pub fn respond(method: &str, id: &str) -> Bytes {
    if method == method::PING {
        return message::response(id, "{}");
    }
    RpcError::method_not_found(method).to_bytes(Some(id))
}

/// What is told of a failure. Where a setting of the operator's is what stood in the way, that one is named.
fn words(call: &CallPlan, failure: UpstreamFailure, noun: &str) -> String {
    let words = failure.told_of(noun);
    if failure != UpstreamFailure::TooLarge {
        return words;
    }
    let server = call.server();
    let (id, most) = (&server.name.id, server.max_answer.mebibytes());
    format!("{words} (`max_answer_mib` of the server `{id}` is {most})")
}

/// The answer to a call that came to nothing, also where nothing was sent: a failed tool, or an error for all else.
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
        // No model reads these: a program does, and errors are what it looks for.
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
