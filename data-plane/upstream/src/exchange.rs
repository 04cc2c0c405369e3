//! A call whose answer takes more than one message: what its server says, what its client answers, and what of it goes
//! where. Polled by whoever waits; nothing is lost when it is let go of between two messages.

use std::{
    collections::VecDeque,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::sleep;
use toolgate_client::{ClientError, EventStream, ReplyBody};
use toolgate_data_core::{
    asking::{Asking, Output, Question},
    gathering::{Gathering, Round},
    plan::ClientProtocol,
    refusal::UpstreamFailure,
    rewrite::{
        ClientResponse, IncompleteResponse, InputRequirement, RelayAction, ResponseRelay,
        ServerNotification,
    },
    thinning::{Say, Thinning},
};

use crate::{
    again::Again,
    call::{Begun, Calls, Order, concluded},
    dialogue::{Dialogue, Turn},
    ear::Elsewhere,
    failure,
    flight::Flight,
    waiter::Waiter,
};

/// One call.
pub(crate) struct Exchange {
    calls: Calls,
    pub(crate) order: Arc<Order>,
    relay: ResponseRelay,
    flight: Flight,
    source: Source,
    /// What the server asks outside of the call's stream.
    elsewhere: Option<Elsewhere>,
    dialogue: Option<Box<Dialogue>>,
    /// Of a modern client: what it is to be asked.
    gathering: Gathering,
    /// What goes to the client next.
    said: VecDeque<Bytes>,
    /// What a modern server wants back with the answers.
    state: Option<Box<str>>,
    reachable: bool,
    given_up: bool,
    turns: u64,
    thinning: Thinning<ServerNotification>,
    began: Instant,
    /// The answer, while something has to be said before it.
    last: Option<Heard>,
}

/// Where the next message comes from.
pub(crate) enum Source {
    /// A stream.
    Events(Box<EventStream>),
    /// A document, with whether its status was good.
    Whole(BoxFuture<'static, Result<Bytes, ClientError>>, bool),
    /// The call is being sent again.
    Again(BoxFuture<'static, Result<Begun, UpstreamFailure>>),
    /// The client is being waited for.
    Nothing,
}

/// What is for the client.
pub(crate) enum Heard {
    /// The answer.
    Final(ClientResponse),
    /// Something ahead of it.
    Say(Bytes),
    /// Questions to a modern client.
    Asked(Round),
    /// The call of a modern client was not run: somebody has to be at these pages first.
    Visit(Vec<Question>),
}

enum Happened {
    Message(Result<Option<Bytes>, ClientError>),
    Whole(Result<Bytes, ClientError>, bool),
    Begun(Box<Result<Begun, UpstreamFailure>>),
    Turn(Turn),
    /// What was held back may be said, or what was gathered asked.
    Overdue,
}

impl Exchange {
    pub(crate) fn new(calls: Calls, order: Order, relay: ResponseRelay, begun: Begun) -> Self {
        let source = match begun.head.body {
            ReplyBody::Sse(events) => Source::Events(events),
            ReplyBody::Json(_) | ReplyBody::Accepted | ReplyBody::Other(_) => Source::Nothing,
        };
        if let Some(elsewhere) = &begun.elsewhere {
            elsewhere.open();
        }
        let began = calls.clock().monotonic();
        Self {
            calls,
            order: Arc::new(order),
            relay,
            flight: begun.flight,
            source,
            elsewhere: begun.elsewhere,
            dialogue: None,
            gathering: Gathering::default(),
            said: VecDeque::new(),
            state: None,
            reachable: true,
            given_up: false,
            turns: 0,
            thinning: Thinning::default(),
            began,
            last: None,
        }
    }

    /// Whether the call goes on when its client leaves.
    pub(crate) fn persists(&self) -> bool {
        matches!(self.order.plan.client, ClientProtocol::Legacy { .. })
    }

    /// The client has left: it can be told nothing more on this stream.
    pub(crate) fn left(&mut self) {
        self.reachable = false;
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.left();
        }
    }

    /// A number that no other question of this call has.
    pub(crate) fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// The client asks for the same call again, which goes on as it was.
    pub(crate) fn taken_up(&mut self, mut order: Order) {
        // The retry does not know of them.
        order.visits = self.order.visits;
        self.relay.resume(Arc::clone(&order.plan), order.log_level);
        self.order = Arc::new(order);
    }

    /// The client's frame, which is not needed while the client is being waited for; none if something is being sent of
    /// it.
    pub(crate) fn let_go_of_body(&mut self) -> Option<Bytes> {
        let order = Arc::get_mut(&mut self.order)?;
        Some(std::mem::take(&mut order.body))
    }

    /// The call goes on without waiting for its client after all.
    pub(crate) fn take_back_body(&mut self, body: Option<Bytes>) {
        if let (Some(order), Some(body)) = (Arc::get_mut(&mut self.order), body) {
            order.body = body;
        }
    }

    /// Answers something that a legacy server asked.
    pub(crate) fn tell(&self, answer: Bytes) {
        // People take their time: the session of the call must not look idle meanwhile.
        self.flight.touch(self.calls.clock().now());
        self.flight.respond(answer);
    }

    /// The server waits for the client: its time does not count.
    pub(crate) fn hold(&mut self) {
        if let Source::Events(events) = &mut self.source {
            events.pause_deadlines();
        }
    }

    /// It is the server's turn again.
    pub(crate) fn go_on(&mut self) {
        if let Source::Events(events) = &mut self.source {
            events.resume_deadlines();
        }
    }

    /// The next thing for the client. Safe to be dropped at any point: nothing that was read is lost.
    pub(crate) async fn next(&mut self, waiter: &impl Waiter) -> Heard {
        loop {
            if let Some(said) = self.said.pop_front() {
                return Heard::Say(said);
            }
            if let Some(last) = self.last.take() {
                return last;
            }
            let heard = if self.given_up {
                Some(self.fail(UpstreamFailure::InputNotGiven))
            } else {
                let happened = self.happens().await;
                self.took(happened, waiter)
            };
            if let Some(heard) = heard {
                let rest = self.thinning.rest();
                self.say(rest);
                self.last = Some(heard);
            }
        }
    }

    async fn happens(&mut self) -> Happened {
        let due = [self.thinning.due(), self.gathering.due()];
        let due = due.into_iter().flatten().min();
        let wait = due.map(|due| due.saturating_sub(self.now()));
        let (source, dialogue, elsewhere) =
            (&mut self.source, &mut self.dialogue, &mut self.elsewhere);
        let overdue = async {
            match wait {
                Some(Duration::ZERO) => {}
                // Not to wake a moment too early, and again, and again.
                Some(wait) => sleep(wait + Duration::from_millis(1)).await,
                None => pending().await,
            }
        };
        let turn = async {
            match dialogue {
                Some(dialogue) => dialogue.turn().await,
                None => pending().await,
            }
        };
        let heard = async {
            match elsewhere {
                Some(elsewhere) => elsewhere.message().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            turn = turn => Happened::Turn(turn),
            message = heard => Happened::Message(Ok(Some(message))),
            // One that floods is not always ready: now and then it leaves others their turn.
            happened = source.next() => happened,
            () = overdue => Happened::Overdue,
        }
    }

    fn took(&mut self, happened: Happened, waiter: &impl Waiter) -> Option<Heard> {
        match happened {
            Happened::Message(Ok(Some(message))) => self.heard(&message, waiter),
            Happened::Message(ended) if EventStream::has_ended(&ended) && self.takes_up() => None,
            Happened::Message(Ok(None)) => Some(self.fail(UpstreamFailure::Broken)),
            Happened::Message(Err(error)) => Some(self.fail(failure::of(&error))),
            Happened::Whole(Ok(bytes), success) => match self.relay.on_single_response(&bytes) {
                Ok(reply) => Some(self.conclude(reply, success)),
                Err(IncompleteResponse::SealState(state)) => {
                    Some(Heard::Final(self.entrusts(&state, success, waiter)))
                }
                Err(IncompleteResponse::InputRequired(required)) => {
                    self.required(required, waiter);
                    None
                }
                Err(IncompleteResponse::UrlElicitation(pages)) => Some(self.visit(pages)),
            },
            Happened::Whole(Err(error), _) => Some(self.fail(failure::of(&error))),
            Happened::Begun(begun) => match *begun {
                Ok(begun) => self.begun(begun),
                // Nothing is in flight any more; the circuit has been told.
                Err(failure) => Some(Heard::Final(self.relay.fail(failure))),
            },
            Happened::Turn(turn) => {
                let outputs = self.dialogue.as_mut().map(|dialogue| dialogue.took(turn));
                self.run(outputs.unwrap_or_default());
                None
            }
            Happened::Overdue => {
                let now = self.now();
                let overdue = self.thinning.overdue(now);
                self.say(overdue);
                self.gathering.over(now).map(Heard::Asked)
            }
        }
    }

    /// To the client, as it is told.
    fn say(&mut self, told: impl IntoIterator<Item = Say<ServerNotification>>) {
        let told = told.into_iter().filter_map(|told| match told {
            Say::Progress(notice) => self.relay.render(&notice),
            Say::Message(message) => Some(message),
        });
        self.said.extend(told);
    }

    /// Since the call has begun to be answered.
    fn now(&self) -> Duration {
        let now = self.calls.clock().monotonic();
        now.saturating_duration_since(self.began)
    }

    /// Whether an answer whose stream has ended goes on elsewhere. The call itself is not sent again.
    fn takes_up(&mut self) -> bool {
        let now = self.calls.clock().now();
        match &mut self.source {
            Source::Events(events) => self.flight.take_up(events, now),
            Source::Whole(..) | Source::Again(_) | Source::Nothing => false,
        }
    }

    /// The server has answered, and does not run the call.
    fn visit(&mut self, pages: Vec<Question>) -> Heard {
        self.refused();
        Heard::Visit(pages)
    }

    /// There is nothing more to hear.
    pub(crate) fn refused(&mut self) {
        self.flight.worked();
        self.source = Source::Nothing;
    }

    /// It is not to be asked after all.
    fn withdrawn(&mut self, id: Box<str>) {
        self.gathering.withdrawn(&id);
        if let Some(dialogue) = &mut self.dialogue {
            let outputs = dialogue.withdrawn(id);
            self.run(outputs);
        }
    }

    fn heard(&mut self, message: &Bytes, waiter: &impl Waiter) -> Option<Heard> {
        match self.relay.on(message) {
            RelayAction::Final(reply) => Some(self.conclude(reply, true)),
            RelayAction::Progress(notice) => {
                let now = self.now();
                let told = self.thinning.progress(notice, now);
                self.say(told.map(Say::Progress));
                None
            }
            RelayAction::Log(level, notice) => {
                let now = self.now();
                let message = || self.relay.render(&notice);
                let told = self.thinning.log(level, message, now);
                self.say(told);
                None
            }
            RelayAction::Forward(message) => {
                self.said.push_back(message);
                None
            }
            RelayAction::Respond(message) => {
                self.flight.refuse(message);
                None
            }
            RelayAction::Ignore => None,
            RelayAction::ServerRequest(id, question) if !self.persists() => {
                let now = self.now();
                self.gathering.asked(id, question, now).map(Heard::Asked)
            }
            RelayAction::ServerRequest(id, question) => {
                let reachable = self.reachable;
                let outputs = self.dialogue(waiter).asked(id, question, waiter, reachable);
                self.run(outputs);
                None
            }
            RelayAction::Cancelled(id) => {
                self.withdrawn(id);
                None
            }
            RelayAction::InputRequired(required) => {
                self.required(required, waiter);
                None
            }
            RelayAction::SealState(state) => {
                Some(Heard::Final(self.entrusts(&state, true, waiter)))
            }
            RelayAction::UrlElicitation(pages) => Some(self.visit(pages)),
        }
    }

    pub(crate) fn entrusts(
        &mut self,
        state: &str,
        success: bool,
        waiter: &impl Waiter,
    ) -> ClientResponse {
        let sealed = waiter.entrust(&self.order, state);
        let reply = self.relay.respond_with_sealed_state(sealed.as_deref());
        concluded(&mut self.flight, reply, success, &self.relay)
    }

    /// The server has answered for now: it wants something, and is then called again.
    pub(crate) fn required(&mut self, mut required: InputRequirement, waiter: &impl Waiter) {
        self.flight.rests();
        self.source = Source::Nothing;
        self.state = required.state.take();
        let reachable = self.reachable;
        let outputs = self.dialogue(waiter).required(required, waiter, reachable);
        self.run(outputs);
    }

    fn run(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Say(message) => self.said.push_back(message),
                Output::Tell(message) => self.tell(message),
                // The dialogue has seen to it.
                Output::Close(_) => {}
                Output::Again(responses) => {
                    let state = self.state.take();
                    let again = Again { responses, state };
                    let (calls, order) = (self.calls.clone(), Arc::clone(&self.order));
                    let sent = async move { calls.again(&order, &again).await };
                    self.source = Source::Again(Box::pin(sent));
                }
                Output::Fail => self.given_up = true,
            }
        }
        if self
            .dialogue
            .as_ref()
            .is_some_and(|dialogue| dialogue.is_open())
        {
            self.hold();
        } else {
            self.go_on();
        }
    }

    /// It was sent again, and has begun to be answered.
    fn begun(&mut self, begun: Begun) -> Option<Heard> {
        self.relay.set_upstream_id(begun.id);
        self.flight = begun.flight;
        let success = begun.head.status.is_success();
        self.source = match begun.head.body {
            ReplyBody::Sse(events) => Source::Events(events),
            ReplyBody::Json(body) => Source::Whole(Box::pin(body.bytes()), success),
            ReplyBody::Accepted | ReplyBody::Other(_) => {
                let reply = self.relay.fail(UpstreamFailure::Malformed);
                return Some(self.conclude(reply, success));
            }
        };
        None
    }

    fn dialogue(&mut self, waiter: &impl Waiter) -> &mut Dialogue {
        let server = &self.order.plan.server().name.id;
        let clock = self.calls.clock();
        self.dialogue.get_or_insert_with(|| {
            let asking = Asking::new(server.clone(), waiter.until());
            Box::new(Dialogue::new(asking, clock, self.calls.drain().clone()))
        })
    }

    fn fail(&mut self, failure: UpstreamFailure) -> Heard {
        let reply = self.relay.fail(failure);
        self.conclude(reply, true)
    }

    fn conclude(&mut self, reply: ClientResponse, success: bool) -> Heard {
        Heard::Final(concluded(&mut self.flight, reply, success, &self.relay))
    }
}

impl Source {
    async fn next(&mut self) -> Happened {
        match self {
            Self::Events(events) => Happened::Message(events.message().await),
            Self::Whole(body, success) => Happened::Whole(body.as_mut().await, *success),
            Self::Again(sent) => Happened::Begun(Box::new(sent.as_mut().await)),
            Self::Nothing => pending().await,
        }
    }
}
