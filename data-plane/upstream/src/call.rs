//! One call of a server, from the plan to the answer. It is sent once. It is sent again only where it provably did not run: no
//! connection could be made, or a legacy server knows our session no longer.

use std::{borrow::Cow, future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::time::timeout;
use toolgate_client::{ClientError, EventStream, Headers, Reply as Head, ReplyBody, send};
use toolgate_data_core::{
    plan::{CallPlan, ClientSide},
    port::{LinkFacts, LinkKey, Links},
    refusal::UpstreamFailure,
    rewrite::{Outcome, Relay, Relayed, Reply, Towards, failed, request},
    session::LogLevel,
    session_id::ClientCapabilities,
};
use toolgate_mcp::{headers::PARAM_PREFIX, message, method, versions};
use toolgate_model::{Era, Principal};
use toolgate_runtime::trace::{Parent, Span};

use crate::{
    failure::{self, Again, Attempt},
    finish::Finish,
    flight::{Flight, session_headers},
    stream::{CallStream, Telling, tell},
    upstream::Upstream,
};

/// How long a server that streams may be silent before the client gets its response head: from then on comments keep
/// the connection alive.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes calls.
#[derive(Clone)]
pub struct Calls {
    upstream: Arc<Upstream>,
    links: Arc<dyn Links>,
}

/// A call to be made.
pub struct Order {
    /// What was decided.
    pub plan: Arc<CallPlan>,
    /// The client's frame, which the plan was made upon.
    pub body: Bytes,
    /// On whose behalf.
    pub principal: Arc<Principal>,
    /// From [`CallPlan::log_level_with`].
    pub log_level: Option<LogLevel>,
    /// The span of the request that it serves, if there is one.
    pub trace: Option<Parent>,
}

/// Whoever waits for a call. Kept until the call has ended.
pub trait Waiter: Send + Sync + 'static {
    /// Ends when the call is taken back by a message. Who only lets go of the response has no need of it.
    fn cancelled(&self) -> impl Future<Output = ()> + Send;

    /// A streamed answer ended so.
    fn ended(self, outcome: Outcome);
}

/// What a call came to.
pub enum Answered<W> {
    /// One answer.
    Reply(Reply, W),
    /// Messages ahead of the answer, and the answer; whoever waits is told how it ended.
    Stream(CallStream),
    /// It was taken back: nobody waits for an answer.
    Cancelled(W),
}

/// How far a call has come.
enum Progress {
    /// To its answer.
    Whole(Reply),
    /// To a stream, and perhaps a first message of it.
    Streams(Box<Begun>, Option<Bytes>),
}

/// An answer that has begun.
struct Begun {
    head: Head,
    relay: Relay,
    flight: Flight,
}

/// Why an attempt is over.
enum Ended {
    /// Like this.
    Failed(UpstreamFailure),
    /// No connection stood: try again.
    NotSent,
    /// The server does not know the session of this link: try in another one.
    Forgotten(Arc<LinkFacts>),
}

impl Calls {
    /// Over `upstream`; legacy servers over `links`.
    pub fn new(upstream: Arc<Upstream>, links: Arc<dyn Links>) -> Self {
        Self { upstream, links }
    }

    /// Makes a call. Dropped by a modern client's disconnect it takes the call back; dropped by a legacy client's the
    /// call is finished in the background.
    pub async fn call<W: Waiter>(&self, order: Order, waiter: W) -> Answered<W> {
        let client = order.plan.client;
        let running = self.clone().run(order, waiter);
        match client {
            ClientSide::Modern { .. } => Box::pin(running).await,
            ClientSide::Legacy { .. } => Finish::new(running, self.upstream.drain.clone()).await,
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
            Some(Progress::Streams(begun, first)) => {
                let told = Telling {
                    relay: begun.relay,
                    flight: begun.flight,
                    persists: matches!(order.plan.client, ClientSide::Legacy { .. }),
                };
                let ReplyBody::Sse(events) = begun.head.body else {
                    let reply = failed(&order.plan, UpstreamFailure::Malformed);
                    return Answered::Reply(reply, waiter);
                };
                let drain = &self.upstream.drain;
                Answered::Stream(tell(told, events, first, waiter, drain))
            }
        }
    }

    async fn progress(&self, order: &Order) -> Progress {
        match self.begin(order).await {
            Ok(begun) => begun.read().await,
            Err(failure) => Progress::Whole(failed(&order.plan, failure)),
        }
    }

    /// Sends the call until it has begun to be answered: once, or twice if the first time was for nothing.
    async fn begin(&self, order: &Order) -> Result<Begun, UpstreamFailure> {
        let mut link = self.link(order, None).await?;
        for last in [false, true] {
            match self.attempt(order, link.clone()).await {
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
    async fn has_forgotten(&self, order: &Order, facts: &LinkFacts) -> bool {
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
        lost: Option<Arc<LinkFacts>>,
    ) -> Result<Option<Arc<LinkFacts>>, UpstreamFailure> {
        let server = order.plan.server();
        if server.era == Some(Era::Modern) {
            return Ok(None);
        }
        let key = LinkKey {
            server: Arc::clone(server),
            principal: Arc::clone(&order.principal),
            // Nothing that a legacy server may ask of a client can be relayed yet, so nothing is declared.
            capabilities: ClientCapabilities::default(),
        };
        let facts = match lost {
            Some(lost) => self.links.reopen(&key, &lost).await?,
            None => match self.links.standing(&key) {
                Some(facts) => facts,
                None => self.links.open(&key).await?,
            },
        };
        Ok(Some(facts))
    }

    async fn attempt(&self, order: &Order, link: Option<Arc<LinkFacts>>) -> Result<Begun, Ended> {
        let plan = &order.plan;
        let server = plan.server();
        let station = self.upstream.station(server).map_err(Ended::Failed)?;
        let leave = station.leave().map_err(Ended::Failed)?;
        let presented = self.upstream.present(&station).await;
        let presented = presented.map_err(Ended::Failed)?;
        let id = match &link {
            Some(facts) => facts.next_id(),
            None => self.upstream.next_id(),
        };
        let version = match &link {
            Some(facts) => &*facts.opened.version,
            None => server
                .protocol_version
                .as_deref()
                .unwrap_or(versions::MODERN),
        };
        let era = if link.is_some() {
            Era::Legacy
        } else {
            Era::Modern
        };
        let span = order.trace.as_ref().map(|parent| {
            parent.client(
                plan.target.method(),
                plan.target.mcp_name(),
                &server.name.to_string(),
            )
        });
        let traceparent = span.as_ref().map(Span::traceparent);
        let towards = Towards {
            era,
            version,
            id,
            log_level: order.log_level,
            traceparent: traceparent.as_deref(),
        };
        let request = request(&order.body, plan, &towards);
        // Cannot be: the spans come from these bytes.
        let request = request.map_err(|_edit| Ended::Failed(UpstreamFailure::Malformed))?;
        let headers = outgoing(
            &request.headers,
            link.as_deref(),
            version,
            plan,
            traceparent.as_deref(),
        );
        let held = link.clone().map(|facts| (facts, id));
        let drain = self.upstream.drain.clone();
        let mut flight = Flight::new(leave, Arc::clone(&presented), held, drain).traced(span);
        let sent = send(
            &station.target.http,
            &presented.endpoint,
            headers,
            request.body,
        );
        let head = sent
            .await
            .map_err(|error| not_sent(&error, &mut flight, plan))?;
        if let Some(lost) = link {
            let (status, in_session) = (head.status, lost.opened.session.is_some());
            if failure::again(&Attempt::Head { status, in_session }) == Again::InAnotherSession {
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
        let relay = Relay::new(Arc::clone(plan), era, id, order.log_level);
        Ok(Begun {
            head,
            relay,
            flight,
        })
    }
}

/// What there is to say when no head came.
fn not_sent(error: &ClientError, flight: &mut Flight, plan: &CallPlan) -> Ended {
    let failure = failure::of(error);
    tracing::debug!(server = %plan.server().name, %error, "a server gave no answer");
    flight.failed(failure);
    match failure::again(&Attempt::Error(error)) {
        Again::Alike => Ended::NotSent,
        Again::InAnotherSession | Again::Never => Ended::Failed(failure),
    }
}

/// The headers of the era; of those that were made for the request, only mirrored arguments are not known beforehand.
fn outgoing(
    made: &[(Cow<'static, str>, String)],
    link: Option<&LinkFacts>,
    version: &str,
    plan: &CallPlan,
    traceparent: Option<&str>,
) -> Headers {
    let mut headers = match link {
        Some(facts) => session_headers(facts),
        None => Headers::modern(version, plan.target.method(), plan.target.mcp_name()),
    };
    let mirrored = made
        .iter()
        .filter(|(name, _)| name.starts_with(PARAM_PREFIX));
    for (name, value) in mirrored {
        headers = headers.with(name, value);
    }
    match traceparent.or(plan.traceparent.as_deref()) {
        Some(trace) => headers.with("traceparent", trace),
        None => headers,
    }
}

impl Begun {
    /// Reads until the answer, or until there is something to pass on ahead of it.
    async fn read(mut self) -> Progress {
        match self.head.body {
            ReplyBody::Json(body) => {
                let success = self.head.status.is_success();
                let read = body.bytes().await;
                let reply = match read {
                    Ok(bytes) => self.relay.only(&bytes),
                    Err(error) => self.relay.fail(failure::of(&error)),
                };
                Progress::Whole(concluded(&mut self.flight, reply, success, &self.relay))
            }
            ReplyBody::Sse(mut events) => {
                let (relay, flight) = (&mut self.relay, &mut self.flight);
                match timeout(PATIENCE, first(&mut events, relay, flight)).await {
                    Ok(First::Answer(reply)) => {
                        Progress::Whole(concluded(&mut self.flight, reply, true, &self.relay))
                    }
                    Ok(First::Ahead(message)) => {
                        self.head.body = ReplyBody::Sse(events);
                        Progress::Streams(Box::new(self), Some(message))
                    }
                    Err(_silent) => {
                        self.head.body = ReplyBody::Sse(events);
                        Progress::Streams(Box::new(self), None)
                    }
                }
            }
            ReplyBody::Accepted | ReplyBody::Other(_) => {
                let success = self.head.status.is_success();
                let reply = self.relay.fail(UpstreamFailure::Malformed);
                Progress::Whole(concluded(&mut self.flight, reply, success, &self.relay))
            }
        }
    }
}

/// The first thing on a stream that is for the client.
enum First {
    Answer(Reply),
    Ahead(Bytes),
}

/// Safe to be dropped at any point: nothing that was read is lost.
async fn first(events: &mut EventStream, relay: &mut Relay, flight: &mut Flight) -> First {
    loop {
        let relayed = match events.message().await {
            Ok(Some(message)) => relay.on(&message),
            Ok(None) => Relayed::Final(relay.fail(UpstreamFailure::Broken)),
            Err(error) => Relayed::Final(relay.fail(failure::of(&error))),
        };
        match relayed {
            Relayed::Final(reply) => return First::Answer(reply),
            Relayed::Forward(message) => return First::Ahead(message),
            Relayed::Respond(message) => flight.respond(message),
            Relayed::Ignore => {}
        }
    }
}

/// Tells the circuit how it went. A status that is no success, with a body that is no answer, is the status' fault.
pub(crate) fn concluded(flight: &mut Flight, reply: Reply, success: bool, relay: &Relay) -> Reply {
    match reply.outcome {
        Outcome::Failed(UpstreamFailure::Malformed) if !success => {
            // It answered: what it does not like about this request is no reason to keep others from it.
            flight.failed(UpstreamFailure::Malformed);
            failed(relay.call(), UpstreamFailure::Status)
        }
        Outcome::Failed(failure) => {
            flight.failed(failure);
            reply
        }
        Outcome::Done | Outcome::ToolError | Outcome::InputRequired | Outcome::Error => {
            flight.worked();
            reply
        }
    }
}
