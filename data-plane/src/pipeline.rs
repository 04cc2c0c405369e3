//! The life of a request, from top to bottom: pin, route, authenticate, limit, frame, session (here or elsewhere), era,
//! plan, execute, respond, account. Each step is one small function; what a request means is decided by [`plan`] alone.

use std::{future::Future, sync::Arc};

use http::{Response, request::Parts};
use toolgate_data_core::{
    Caller, GatewayView, Home, Plan, PlanInput, Refusal, Sealer, View, authenticate as verify,
    authenticate::bearer,
    plan::{Ask, Post, Presented, plan},
    route,
    session_id::SessionFacts,
};
use toolgate_ingress::{Body, Gate, Request, refuse, request::Visitor};
use toolgate_mcp::{Envelope, Framing, Kind, Limits, envelope, era, trace::Trace, versions};
use toolgate_model::Timestamp;
use toolgate_runtime::trace::Incoming;

use crate::{
    account::{Account, Method},
    batch,
    elsewhere::{cut_off, parcel, passed},
    execute::{Work, execute},
    frame::{self, Received},
    limit::Place,
    neighbours::Lost,
    plane::Plane,
    presented::Session,
    source::{KeySet, Source},
    streamed::Streamed,
};

/// What goes back to the client.
pub(crate) type Answer = Response<Body<Streamed>>;

/// A refusal, and the id of the request that it answers, as written.
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) id: Option<Box<str>>,
}

impl<S: Source> Gate for Plane<S> {
    type Stream = Streamed;

    fn serve(self: Arc<Self>, request: Request) -> impl Future<Output = Answer> + Send {
        serve(self, request)
    }
}

/// The same plane, as neighbours see it.
pub(crate) struct Inside<S: Source>(pub(crate) Arc<Plane<S>>);

impl<S: Source> Gate for Inside<S> {
    type Stream = Streamed;

    fn serve(self: Arc<Self>, request: Request) -> impl Future<Output = Answer> + Send {
        serve_neighbour(Arc::clone(&self.0), request)
    }
}

/// One request of a client. What another proxy keeps the state of is passed on to it.
async fn serve<S: Source>(plane: Arc<Plane<S>>, request: Request) -> Answer {
    let mut account = plane.accounts.open();
    let arrival = match arrive(&plane, request, &account).await {
        Ok(arrival) => arrival,
        Err(refused) => return respond_refused(&refused, account),
    };
    if let Some(home) = plane.elsewhere(arrival.home()) {
        // Boxed, here and below: most requests never go this way.
        let parcel = parcel(&arrival.head, &arrival.received);
        match Box::pin(plane.neighbours.pass_on(&home, parcel)).await {
            Ok(response) => return passed(response, arrival.place, account),
            Err(Lost::NotSent) => {}
            Err(Lost::Broken) => return cut_off(&arrival.received, account),
        }
    }
    if arrival.is_batch() {
        return Box::pin(batch::serve(&plane, arrival, account)).await;
    }
    let (work, head) = match arrival.decide(&mut account) {
        Ok(decided) => decided,
        Err(refused) => return respond_refused(&refused, account),
    };
    if let Some(home) = plane.elsewhere(work.home()) {
        let parcel = parcel(&head, &work.received);
        match Box::pin(plane.neighbours.pass_on(&home, parcel)).await {
            Ok(response) => return passed(response, work.place, account),
            Err(Lost::NotSent) => {}
            Err(Lost::Broken) => return cut_off(&work.received, account),
        }
    }
    // Kept any longer it would keep the connection's buffer.
    drop(head);
    execute(&plane, work, account).await
}

/// One request that a neighbour has passed on: it goes no further.
async fn serve_neighbour<S: Source>(plane: Arc<Plane<S>>, request: Request) -> Answer {
    let mut account = plane.accounts.open();
    let arrival = match arrive(&plane, request, &account).await {
        Ok(arrival) => arrival,
        Err(refused) => return respond_refused(&refused, account),
    };
    if arrival.is_batch() {
        return Box::pin(batch::serve(&plane, arrival, account)).await;
    }
    match arrival.decide(&mut account) {
        Ok((work, head)) => {
            drop(head);
            execute(&plane, work, account).await
        }
        Err(refused) => respond_refused(&refused, account),
    }
}

/// From bytes to a caller, a message and a session.
async fn arrive<S: Source>(
    plane: &Plane<S>,
    request: Request,
    account: &Account,
) -> Result<Arrival<S::Keys>, Refused> {
    let Request {
        head,
        body,
        visitor,
    } = request;
    let view = plane.source.view();
    let routed = route(&view, head.uri.path())?;
    let keys = plane.source.keys().ok_or(Refusal::Overloaded)?;
    let now = plane.clock.now();
    let caller = authenticate(plane, &view, &keys, &head, &visitor, now)?;
    // Only now: whether a gateway exists is for callers to know.
    let gateway = caller.enter(routed)?;
    let place = plane.enter(&caller, account.began())?;
    let received = frame::receive(&head, body, place.holder()).await?;
    let session = plane.opened.session(
        &head.headers,
        keys.sealer(),
        gateway,
        &caller,
        &plane.sessions,
        &visitor.slot,
    );
    Ok(Arrival {
        gateway: Arc::clone(gateway),
        head,
        received,
        caller,
        session,
        keys,
        place,
        now,
    })
}

/// A request of somebody known, in their session if they named one. Nothing is decided yet.
pub(crate) struct Arrival<K> {
    pub(crate) head: Parts,
    pub(crate) received: Received,
    place: Place,
    pub(crate) gateway: Arc<GatewayView>,
    pub(crate) caller: Caller,
    pub(crate) session: Session,
    keys: Arc<K>,
    now: Timestamp,
}

impl<K: KeySet> Arrival<K> {
    /// Who keeps its session.
    fn home(&self) -> Option<&Home> {
        self.session.facts().map(|facts| &facts.home)
    }

    /// What is to be done, and the head that said it.
    fn decide(self, account: &mut Account) -> Result<(Work, Parts), Refused> {
        let plan = self.plan(&self.received, account)?;
        let work = Work {
            plan,
            received: self.received,
            session: self.session,
            gateway: self.gateway,
            caller: self.caller,
            events: frame::accepts_events(&self.head.headers),
            place: self.place,
        };
        Ok((work, self.head))
    }

    /// What is to be done about this, which is what came or a part of it.
    pub(crate) fn plan(&self, received: &Received, account: &mut Account) -> Result<Plan, Refused> {
        let scene = Scene {
            gateway: &self.gateway,
            caller: &self.caller,
            head: &self.head,
            session: &self.session,
            sealer: self.keys.sealer(),
            now: self.now,
        };
        match received {
            Received::Post(bytes) => scene.posted(bytes, account),
            Received::Get => {
                scene.bodiless(Method::STREAM, |framing| Ask::Get { framing }, account)
            }
            Received::Delete => {
                scene.bodiless(Method::END, |framing| Ask::Delete { framing }, account)
            }
        }
    }
}

/// Who is calling. The token's hash is remembered with the connection; whether it is still good is not.
fn authenticate<S: Source>(
    plane: &Plane<S>,
    view: &View,
    keys: &Arc<S::Keys>,
    head: &Parts,
    visitor: &Visitor,
    now: Timestamp,
) -> Result<Caller, Refusal> {
    let mut values = head.headers.get_all(http::header::AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else {
        return Err(Refusal::Unauthenticated);
    };
    let token = bearer(only.as_bytes())?;
    let hash = visitor
        .memo
        .hash(keys, token, |token| keys.hasher().hash(token));
    verify(view, &hash, &plane.source, now)
}

/// All that is known when a decision is made.
struct Scene<'a> {
    gateway: &'a Arc<GatewayView>,
    caller: &'a Caller,
    head: &'a Parts,
    session: &'a Session,
    sealer: &'a Sealer,
    now: Timestamp,
}

impl Scene<'_> {
    /// A posted message: frame, era, plan.
    fn posted(&self, bytes: &[u8], account: &mut Account) -> Result<Plan, Refused> {
        let envelope = envelope::parse(bytes, &Limits::REQUEST).map_err(Refused::unframed)?;
        let headers = frame::standard(&self.head.headers);
        let in_session = !matches!(self.session, Session::Absent);
        let framing = era::classify(headers.version, in_session, &envelope);
        account.asks(
            self.gateway,
            Method::of(envelope.method()),
            self.version(&framing),
        );
        let trace = frame::trace(&self.head.headers, &envelope);
        if account.traces() {
            let incoming = Incoming {
                parent: trace.map(|trace| trace.parent),
                state: trace.and_then(|trace| trace.state),
            };
            let method = Method::of(envelope.method());
            account.traced(method.as_str(), self.version(&framing), incoming);
        }
        let params = match framing {
            Framing::Modern => frame::mirrored(&self.head.headers),
            Framing::Unsupported { .. } | Framing::Legacy { .. } | Framing::BadVersion { .. } => {
                Vec::new()
            }
        };
        let post = Post {
            framing: &framing,
            envelope: &envelope,
            headers,
            params: &params,
        };
        self.decide(Ask::Post(post), trace)
            .map_err(|refusal| Refused::answering(refusal, &envelope))
    }

    /// GET or DELETE.
    fn bodiless(
        &self,
        method: Method,
        ask: impl FnOnce(&Framing) -> Ask<'_>,
        account: &mut Account,
    ) -> Result<Plan, Refused> {
        let framing = era::classify_bodiless(frame::version(&self.head.headers));
        account.asks(self.gateway, method, self.version(&framing));
        Ok(self.decide(ask(&framing), None)?)
    }

    fn decide(&self, ask: Ask<'_>, trace: Option<Trace<'_>>) -> Result<Plan, Refusal> {
        let decided = plan(&PlanInput {
            gateway: self.gateway,
            caller: self.caller,
            ask,
            trace,
            session: self.session.as_presented(),
            sealer: self.sealer,
            now: self.now,
        });
        match decided {
            Plan::Refuse(refusal) => Err(refusal),
            plan @ (Plan::Answer(_)
            | Plan::Initialize(_)
            | Plan::Call(_)
            | Plan::Initialized
            | Plan::Accept
            | Plan::SetLevel(..)
            | Plan::OpenStream
            | Plan::Listen(_)
            | Plan::Subscribe(..)
            | Plan::Unsubscribe(..)
            | Plan::CloseSession
            | Plan::Cancel(_)
            | Plan::Hear(_)) => Ok(plan),
        }
    }

    /// The version that is spoken, for metrics; empty where none is agreed upon.
    fn version(&self, framing: &Framing) -> &'static str {
        match (framing, self.session) {
            (Framing::Modern, _) => versions::MODERN,
            (Framing::Legacy { .. }, Session::Open(facts)) => facts.version,
            (Framing::Legacy { version }, _) => version.unwrap_or_default(),
            (Framing::Unsupported { .. } | Framing::BadVersion { .. }, _) => "",
        }
    }
}

/// A refusal, said and counted.
pub(crate) fn respond_refused(refused: &Refused, account: Account) -> Answer {
    account.refused(&refused.refusal);
    refuse(&refused.refusal, refused.id.as_deref())
}

impl Session {
    /// As the core wants it.
    fn as_presented(&self) -> Presented<'_> {
        match self {
            Self::Absent => Presented::Absent,
            Self::Unknown => Presented::Unknown,
            Self::Open(facts) => Presented::Open(facts),
        }
    }

    /// What it says, if it is open.
    pub(crate) fn facts(&self) -> Option<&Arc<SessionFacts>> {
        match self {
            Self::Open(facts) => Some(facts),
            Self::Absent | Self::Unknown => None,
        }
    }
}

impl Refused {
    fn answering(refusal: Refusal, envelope: &Envelope<'_>) -> Self {
        let id = envelope.raw_id().filter(|_| envelope.kind == Kind::Request);
        let id = id.map(Box::from);
        Self { refusal, id }
    }

    pub(crate) fn unframed(error: toolgate_mcp::FrameError) -> Self {
        let id = error.id.clone();
        let refusal = Refusal::Frame(error);
        Self { refusal, id }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, id: None }
    }
}
