//! One call of a server, from the plan to the answer. It is sent once. It is sent again only where it provably did not run: no
//! connection could be made, or a legacy server knows our session no longer.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::time::timeout;
use toolgate_client::{ClientError, ReplyBody, ServerReply as Head, send};
use toolgate_data_core::{
    plan::{CallPlan, ClientProtocol},
    port::{UpstreamSessionHandle, UpstreamSessionKey, UpstreamSessionProvider},
    refusal::UpstreamFailure,
    rewrite::{
        CallOutcome, ClientResponse, IncompleteResponse, ResponseRelay, UpstreamRequestOptions,
        failure_response,
    },
    session::{LogLevel, session_id::RANDOM_LEN},
};
use toolgate_mcp::{message, method};
use toolgate_model::{Era, Principal};
use toolgate_runtime::{
    Drain, SharedClock,
    budget::BudgetOwner,
    trace::{SpanParent, TraceSpan},
};

use crate::{
    again::Again,
    ear::Elsewhere,
    exchange::{Exchange, Heard},
    failure::{self, Again as Repeat, Attempt},
    finish::Finish,
    flight::{Flight, is_lost, session_headers},
    level,
    outgoing::{outgoing, rewritten, version},
    overhear::overhear,
    standstill::{Settled, Standstill},
    station::Station,
    stream::{CallStream, tell},
    upstream::{Presented, Target, Upstream},
    visit::sent_away,
    waiter::Waiter,
};

/// How long a server that streams may be silent before the client gets its response head: from then on comments keep
/// the connection alive.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes calls.
#[derive(Clone)]
pub struct Calls {
    upstream: Arc<Upstream>,
    links: Arc<dyn UpstreamSessionProvider>,
}

/// A call to be made.
pub struct Order {
    /// What was decided.
    pub plan: Arc<CallPlan>,
    /// The client's frame, which the plan was made upon.
    pub body: Bytes,
    /// On whose behalf.
    pub principal: Arc<Principal>,
    /// Whose memory the answer takes, and whose share of a crowded server the call.
    pub holder: BudgetOwner,
    /// The random part of the caller's legacy session, if they have one.
    pub conversation: Option<[u8; RANDOM_LEN]>,
    /// From [`CallPlan::log_level_with`].
    pub log_level: Option<LogLevel>,
    /// From [`CallPlan::asks_for_log`].
    pub log_asked: bool,
    /// The span of the request that it serves, if there is one.
    pub trace: Option<SpanParent>,
    /// How often its server has sent somebody to a page instead of running it, also before a question in the middle of it.
    pub visits: u8,
}

/// What a call came to.
pub enum Answered<W> {
    /// One answer.
    Reply(ClientResponse, W),
    /// Messages ahead of the answer, and the answer; whoever waits is told how it ended.
    Stream(CallStream),
    /// It was taken back: nobody waits for an answer.
    Cancelled(W),
}

/// How far a call has come.
enum Progress {
    /// To its answer.
    Whole(ClientResponse),
    /// To more than one message, of which the first may have come.
    Begun(Box<(Begun, ResponseRelay, Option<IncompleteResponse>)>),
}

/// An answer that has begun.
pub(crate) struct Begun {
    pub(crate) head: Head,
    /// Our id for it.
    pub(crate) id: u64,
    pub(crate) era: Era,
    pub(crate) flight: Flight,
    /// What the server asks of this call elsewhere.
    pub(crate) elsewhere: Option<Elsewhere>,
}

/// Why an attempt is over.
enum Ended {
    /// Like this.
    Failed(UpstreamFailure),
    /// No connection stood: try again.
    NotSent,
    /// The server does not know the session of this link: try in another one.
    Forgotten(Arc<UpstreamSessionHandle>),
}

impl Calls {
    /// Over `upstream`; legacy servers over `links`.
    pub fn new(upstream: Arc<Upstream>, links: Arc<dyn UpstreamSessionProvider>) -> Self {
        Self { upstream, links }
    }

    /// Makes a call. Dropped by a modern client's disconnect it takes the call back; dropped by a legacy client's the
    /// call is finished in the background.
    pub async fn call<W: Waiter>(&self, order: Order, waiter: W) -> Answered<W> {
        let client = order.plan.client;
        let running = self.clone().run(order, waiter);
        match client {
            ClientProtocol::Modern { .. } => Box::pin(running).await,
            ClientProtocol::Legacy { .. } => {
                Finish::new(running, self.upstream.drain.clone()).await
            }
        }
    }

    /// Goes on with a call that stood still, of which `order` is a retry.
    pub async fn resume<W: Waiter>(
        &self,
        kept: Standstill,
        order: Order,
        waiter: W,
    ) -> Answered<W> {
        match kept.taken_up(order, &waiter) {
            Settled::Reply(reply) => Answered::Reply(reply, waiter),
            Settled::GoOn(exchange) => Box::pin(self.follow(exchange, waiter)).await,
        }
    }

    async fn run<W: Waiter>(self, order: Order, waiter: W) -> Answered<W> {
        let progress = {
            let (progress, cancelled) = (self.progress(&order), waiter.cancelled());
            match select(pin!(progress), pin!(cancelled)).await {
                Either::Left((progress, _)) => Some(progress),
                Either::Right(((), _)) => None,
            }
        };
        match progress {
            None => Answered::Cancelled(waiter),
            Some(Progress::Whole(reply)) => Answered::Reply(reply, waiter),
            Some(Progress::Begun(begun)) => {
                let (begun, relay, wanted) = *begun;
                let success = begun.head.status.is_success();
                let mut exchange = Exchange::new(self.clone(), order, relay, begun);
                match wanted {
                    None => {}
                    Some(IncompleteResponse::InputRequired(required)) => {
                        exchange.required(required, &waiter)
                    }
                    Some(IncompleteResponse::SealState(state)) => {
                        let reply = exchange.entrusts(&state, success, &waiter);
                        return Answered::Reply(reply, waiter);
                    }
                    Some(IncompleteResponse::UrlElicitation(pages)) => {
                        exchange.refused();
                        let reply = sent_away(&exchange.order, &pages, &waiter);
                        return Answered::Reply(reply, waiter);
                    }
                }
                Box::pin(self.follow(Box::new(exchange), waiter)).await
            }
        }
    }

    /// Reads until the answer, or until there is something to pass on ahead of it.
    async fn follow<W: Waiter>(&self, mut exchange: Box<Exchange>, waiter: W) -> Answered<W> {
        loop {
            let heard = {
                let heard = timeout(PATIENCE, exchange.next(&waiter));
                match select(pin!(heard), pin!(waiter.cancelled())).await {
                    Either::Left((heard, _)) => Some(heard),
                    Either::Right(((), _)) => None,
                }
            };
            let first = match heard {
                None => return Answered::Cancelled(waiter),
                Some(Ok(Heard::Final(reply))) => return Answered::Reply(reply, waiter),
                Some(Ok(Heard::Asked(questions))) => {
                    match Standstill::asked(exchange, questions).settle(&waiter) {
                        Settled::Reply(reply) => return Answered::Reply(reply, waiter),
                        Settled::GoOn(going_on) => exchange = going_on,
                    }
                    continue;
                }
                Some(Ok(Heard::Visit(pages))) => {
                    let reply = sent_away(&exchange.order, &pages, &waiter);
                    return Answered::Reply(reply, waiter);
                }
                Some(Ok(Heard::Say(message))) => Some(message),
                Some(Err(_silent)) => None,
            };
            let drain = &self.upstream.drain;
            return Answered::Stream(tell(exchange, first, waiter, drain));
        }
    }

    async fn progress(&self, order: &Order) -> Progress {
        match self.begin(order, None).await {
            Ok(begun) => begun.read(order).await,
            Err(failure) => Progress::Whole(failure_response(&order.plan, failure)),
        }
    }

    /// Makes a call once more, as a modern server wanted.
    pub(crate) async fn again(
        &self,
        order: &Order,
        again: &Again,
    ) -> Result<Begun, UpstreamFailure> {
        self.begin(order, Some(again)).await
    }

    /// When this proxy stops.
    pub(crate) fn drain(&self) -> &Drain {
        &self.upstream.drain
    }

    /// The time.
    pub(crate) fn clock(&self) -> SharedClock {
        Arc::clone(&self.upstream.clock)
    }

    /// Sends the call until it has begun to be answered: once, or twice if the first time was for nothing.
    async fn begin(&self, order: &Order, again: Option<&Again>) -> Result<Begun, UpstreamFailure> {
        // A call whose answer would be thrown away is not made.
        self.upstream.has_room(order.holder)?;
        let mut link = self.link(order, None).await?;
        for last in [false, true] {
            match self.attempt(order, link.clone(), again).await {
                Ok(begun) => return Ok(begun),
                Err(Ended::Failed(failure)) => return Err(failure),
                Err(Ended::NotSent) if last => return Err(UpstreamFailure::Unreachable),
                Err(Ended::NotSent) => {}
                Err(Ended::Forgotten(_)) if last => return Err(UpstreamFailure::SessionLost),
                Err(Ended::Forgotten(lost)) => {
                    if !self.has_forgotten(order, &lost).await {
                        return Err(UpstreamFailure::Status);
                    }
                    link = self.link(order, Some(lost)).await?;
                }
            }
        }
        Err(UpstreamFailure::Unreachable)
    }

    /// Whether it is this session that a server knows no longer. Another 404 may have come from anywhere behind it, so
    /// that the call may have run: something harmless in the same session tells them apart.
    async fn has_forgotten(&self, order: &Order, facts: &UpstreamSessionHandle) -> bool {
        if is_lost(facts) {
            return true;
        }
        let Ok(station) = self.upstream.station(order.plan.server()) else {
            return false;
        };
        let Ok(presented) = self.upstream.present(&station).await else {
            return false;
        };
        let ping = message::request(&facts.next_id().to_string(), method::PING, None);
        let headers = session_headers(facts);
        let sent = send(&station.target.http, &presented.endpoint, headers, ping);
        sent.await.is_ok_and(|head| head.status == 404)
    }

    /// Our session with a legacy server; none with a modern one.
    async fn link(
        &self,
        order: &Order,
        lost: Option<Arc<UpstreamSessionHandle>>,
    ) -> Result<Option<Arc<UpstreamSessionHandle>>, UpstreamFailure> {
        let server = order.plan.server();
        if server.era == Some(Era::Modern) {
            return Ok(None);
        }
        let declared = order.plan.declared_capabilities();
        let key = UpstreamSessionKey::new(server, &order.principal, order.conversation, declared);
        let facts = match lost {
            Some(lost) => self.links.reopen(&key, &lost).await?,
            None => match self.links.established(&key) {
                Some(facts) => facts,
                None => self.links.open(&key).await?,
            },
        };
        Ok(Some(facts))
    }

    /// For what the server asks of this call outside of its own stream.
    async fn elsewhere(
        &self,
        plan: &CallPlan,
        link: Option<&Arc<UpstreamSessionHandle>>,
        station: &Arc<Station<Target>>,
        presented: &Arc<Presented>,
    ) -> Option<Elsewhere> {
        // On a stream that carries everything there is no elsewhere.
        let link = link.filter(|facts| facts.handshake.transport.is_none())?;
        if plan.requestable_capabilities().is_empty() {
            return None;
        }
        overhear(link, station, presented, &self.upstream.drain).await;
        Some(Elsewhere::enter(&link.calls))
    }

    async fn attempt(
        &self,
        order: &Order,
        link: Option<Arc<UpstreamSessionHandle>>,
        again: Option<&Again>,
    ) -> Result<Begun, Ended> {
        let plan = &order.plan;
        let server = plan.server();
        if let Some(lost) = link.clone().filter(|facts| is_lost(facts)) {
            return Err(Ended::Forgotten(lost));
        }
        let station = self.upstream.station(server).map_err(Ended::Failed)?;
        let leave = station.leave_for(order.holder);
        let leave = leave.map_err(Ended::Failed)?;
        let presented = self.upstream.present(&station).await;
        let presented = presented.map_err(Ended::Failed)?.inside(link.as_deref());
        if let Some(facts) = &link {
            level::lower(facts, order, &station, &presented, &self.upstream.drain).await;
        }
        let id = match &link {
            Some(facts) => facts.next_id(),
            None => toolgate_client::next_id(),
        };
        let version = version(server, link.as_deref());
        let era = link.as_ref().map_or(Era::Modern, |_| Era::Legacy);
        let span = span(order, version);
        let traceparent = span.as_ref().map(TraceSpan::traceparent);
        let towards = UpstreamRequestOptions {
            era,
            version,
            id,
            log_level: order.log_level,
            traceparent: traceparent.as_deref(),
        };
        let request = rewritten(order, &towards, again).map_err(Ended::Failed)?;
        let headers = outgoing(
            &request.headers,
            link.as_deref(),
            version,
            plan,
            traceparent.as_deref(),
        );
        let elsewhere = self
            .elsewhere(plan, link.as_ref(), &station, &presented)
            .await;
        let held = link.clone().map(|facts| (facts, id));
        let drain = self.upstream.drain.clone();
        let mut flight = Flight::new(leave, Arc::clone(&presented), held, drain).traced(span);
        let bounded = plan.timeout().map(|most| presented.within(most));
        let endpoint = bounded.as_deref().unwrap_or(&presented.endpoint);
        let sent = send(&station.target.http, endpoint, headers, request.body);
        let head = sent
            .await
            .map_err(|error| not_sent(&error, &mut flight, plan))?
            .charge_to(order.holder);
        if let Some(lost) = link {
            let (status, in_session) = (head.status, lost.handshake.session.is_some());
            if failure::again(&Attempt::Head { status, in_session }) == Repeat::InAnotherSession {
                flight.worked();
                return Err(Ended::Forgotten(lost));
            }
        }
        if let Some(failure) = failure::status(head.status) {
            let (server, status) = (&server.name, head.status.as_u16());
            tracing::debug!(%server, status, "a server refused a call");
            flight.failed(failure);
            return Err(Ended::Failed(failure));
        }
        Ok(Begun {
            head,
            id,
            era,
            flight,
            elsewhere,
        })
    }
}

/// What is told of the call to whoever traces it.
fn span(order: &Order, version: &str) -> Option<TraceSpan> {
    let (target, server) = (&order.plan.target, order.plan.server());
    let parent = order.trace.as_ref()?;
    let spoken_with = (&*server.name.to_string(), version);
    Some(parent.client(target.method(), target.mcp_name(), spoken_with))
}

/// What there is to say when no head came.
fn not_sent(error: &ClientError, flight: &mut Flight, plan: &CallPlan) -> Ended {
    let failure = failure::of(error);
    tracing::debug!(server = %plan.server().name, %error, "a server gave no answer");
    flight.failed(failure);
    match failure::again(&Attempt::Error(error)) {
        Repeat::Alike => Ended::NotSent,
        Repeat::InAnotherSession | Repeat::Never => Ended::Failed(failure),
    }
}

impl Begun {
    /// Reads an answer that is one document.
    async fn read(mut self, order: &Order) -> Progress {
        let mut relay =
            ResponseRelay::new(Arc::clone(&order.plan), self.era, self.id, order.log_level);
        let success = self.head.status.is_success();
        let reply = match self.head.body {
            ReplyBody::Sse(events) => {
                self.head.body = ReplyBody::Sse(events);
                return Progress::Begun(Box::new((self, relay, None)));
            }
            ReplyBody::Json(body) => match body.bytes().await {
                Ok(bytes) => match relay.on_single_response(&bytes) {
                    Ok(reply) => reply,
                    Err(wanted) => {
                        self.head.body = ReplyBody::Accepted;
                        return Progress::Begun(Box::new((self, relay, Some(wanted))));
                    }
                },
                Err(error) => relay.fail(failure::of(&error)),
            },
            ReplyBody::Accepted => relay.fail(UpstreamFailure::Malformed),
            ReplyBody::Other(_) => {
                self.flight.lands();
                relay.fail(UpstreamFailure::Malformed)
            }
        };
        Progress::Whole(concluded(&mut self.flight, reply, success, &relay))
    }
}

/// Tells the circuit how it went. A status that is no success, with a body that is no answer, is the status' fault.
pub(crate) fn concluded(
    flight: &mut Flight,
    reply: ClientResponse,
    success: bool,
    relay: &ResponseRelay,
) -> ClientResponse {
    if relay.is_answered() {
        flight.lands();
    }
    match reply.outcome {
        CallOutcome::Failed(UpstreamFailure::Malformed) if !success => {
            // It answered: what it does not like about this request is no reason to keep others from it.
            flight.failed(UpstreamFailure::Malformed);
            failure_response(relay.call(), UpstreamFailure::Status)
        }
        CallOutcome::Failed(failure) => {
            flight.failed(failure);
            reply
        }
        CallOutcome::Done
        | CallOutcome::ToolError
        | CallOutcome::InputRequired
        | CallOutcome::Error => {
            flight.worked();
            reply
        }
    }
}
