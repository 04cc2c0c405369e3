//! The life of a request, from top to bottom: pin, route, authenticate, permit, admit, body, session (on this proxy or
//! a peer), frame, era, plan, execute, respond, account. Each step is a small function; the meaning of a request is decided by
//! [`plan`].

use std::{future::Future, sync::Arc};

use http::{Response, request::Parts};
use toolgate_data_core::{
    Caller, GatewayView, OwningProxy, Plan, PlanInput, Refusal, Sealer, View,
    authn::authenticate::{authenticate as verify, parse_bearer_token},
    plan::{EndpointRequest, PostedMessage, SessionLookup, plan, route::route},
    session::session_id::SessionClaims,
};
use toolgate_ingress::{
    IncomingRequest, RequestHandler, ResponseBody, request::ConnectionInfo,
    response::refusal_response,
};
use toolgate_mcp::{
    Envelope, FrameLimits, MessageKind, RequestEra, envelope, era, trace::TraceContext, versions,
};
use toolgate_model::Timestamp;
use toolgate_peers::ForwardError;
use toolgate_runtime::trace::IncomingTraceContext;

use crate::{
    batch,
    config_source::{ConfigSource, KeySet},
    execute::{PlannedRequest, execute},
    forwarding::{forward_failed, forwarded_request, forwarded_response},
    proxy_state::ProxyState,
    request_limiter::RequestPermit,
    request_metrics::{MethodLabel, RequestMeasurement},
    session_header::SessionHeader,
    streamed::StreamBody,
    transport_request::{self, TransportRequest},
};

/// Response to the client.
pub(crate) type Answer = Response<ResponseBody<StreamBody>>;

/// Refusal with the id of the request that it answers, as written.
pub(crate) struct RequestRefusal {
    pub(crate) refusal: Refusal,
    pub(crate) id: Option<Box<str>>,
}

impl<S: ConfigSource> RequestHandler for ProxyState<S> {
    type Stream = StreamBody;

    fn serve(self: Arc<Self>, request: IncomingRequest) -> impl Future<Output = Answer> + Send {
        serve(self, request)
    }
}

/// Request handler for peers.
pub(crate) struct Inside<S: ConfigSource>(pub(crate) Arc<ProxyState<S>>);

impl<S: ConfigSource> RequestHandler for Inside<S> {
    type Stream = StreamBody;

    fn serve(self: Arc<Self>, request: IncomingRequest) -> impl Future<Output = Answer> + Send {
        serve_neighbour(Arc::clone(&self.0), request)
    }
}

/// Serves a request of a client. A request whose state is on another proxy is forwarded to it.
async fn serve<S: ConfigSource>(plane: Arc<ProxyState<S>>, request: IncomingRequest) -> Answer {
    let mut account = plane.metrics.open();
    let arrival = match arrive(&plane, request, &account, Admission::Client).await {
        Ok(arrival) => arrival,
        Err(refused) => return respond_refused(&refused, account),
    };
    if let Some(home) = plane.forward_target(arrival.home()) {
        // Boxed, here and below: most requests are not forwarded.
        let parcel = forwarded_request(&arrival.head, &arrival.received);
        match Box::pin(plane.peers.forward(&home, parcel)).await {
            Ok(response) => return forwarded_response(response, arrival.place, account),
            Err(ForwardError::NotSent) => {}
            Err(ForwardError::ConnectionLost) => return forward_failed(&arrival.received, account),
        }
    }
    if arrival.is_batch() {
        return Box::pin(batch::serve(&plane, arrival, account)).await;
    }
    let (planned, head) = match arrival.decide(&mut account) {
        Ok(decided) => decided,
        Err(refused) => return respond_refused(&refused, account),
    };
    if let Some(home) = plane.forward_target(planned.home()) {
        let parcel = forwarded_request(&head, &planned.received);
        match Box::pin(plane.peers.forward(&home, parcel)).await {
            Ok(response) => return forwarded_response(response, planned.place, account),
            Err(ForwardError::NotSent) => {}
            Err(ForwardError::ConnectionLost) => return forward_failed(&planned.received, account),
        }
    }
    // The head keeps the buffer of the connection.
    drop(head);
    execute(&plane, planned, account).await
}

/// Serves a request that a peer forwarded. It is not forwarded again.
async fn serve_neighbour<S: ConfigSource>(
    plane: Arc<ProxyState<S>>,
    request: IncomingRequest,
) -> Answer {
    let mut account = plane.metrics.open();
    let arrival = match arrive(&plane, request, &account, Admission::Peer).await {
        Ok(arrival) => arrival,
        Err(refused) => return respond_refused(&refused, account),
    };
    if arrival.is_batch() {
        return Box::pin(batch::serve(&plane, arrival, account)).await;
    }
    match arrival.decide(&mut account) {
        Ok((planned, head)) => {
            drop(head);
            execute(&plane, planned, account).await
        }
        Err(refused) => respond_refused(&refused, account),
    }
}

/// Origin of a request, which decides where its rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    /// Client: counts here.
    Client,
    /// Another proxy, at which it was counted.
    Peer,
}

/// Reads the caller, the message and the session of a request.
async fn arrive<S: ConfigSource>(
    plane: &ProxyState<S>,
    request: IncomingRequest,
    account: &RequestMeasurement,
    admission: Admission,
) -> Result<Arrival<S::Keys>, RequestRefusal> {
    let IncomingRequest {
        head,
        body,
        connection: visitor,
    } = request;
    let view = plane.source.view();
    let routed = route(&view, head.uri.path())?;
    let keys = plane.source.keys().ok_or(Refusal::Overloaded)?;
    let now = plane.clock.now();
    let caller = authenticate(plane, &view, &keys, &head, &visitor, now)?;
    // After authentication: only callers may know if a gateway exists.
    let gateway = caller.authorize_gateway(routed)?;
    let place = plane.acquire_permit(&caller, account.started())?;
    if admission == Admission::Client {
        plane.admit(gateway, &caller)?;
    }
    let received = transport_request::receive(&head, body, place.budget_owner()).await?;
    let session = plane.session_cache.session(
        &head.headers,
        keys.sealer(),
        gateway,
        &caller,
        &plane.sessions,
        &visitor.cache_slot,
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

/// Authenticated request with its session, before it is planned.
pub(crate) struct Arrival<K> {
    pub(crate) head: Parts,
    pub(crate) received: TransportRequest,
    place: RequestPermit,
    pub(crate) gateway: Arc<GatewayView>,
    pub(crate) caller: Caller,
    pub(crate) session: SessionHeader,
    keys: Arc<K>,
    now: Timestamp,
}

impl<K: KeySet> Arrival<K> {
    /// Returns the proxy that holds its session.
    fn home(&self) -> Option<&OwningProxy> {
        self.session.facts().map(|facts| &facts.owner)
    }

    /// Plans the request. Returns the head beside it.
    fn decide(
        self,
        account: &mut RequestMeasurement,
    ) -> Result<(PlannedRequest, Parts), RequestRefusal> {
        let plan = self.plan(&self.received, account)?;
        let request = PlannedRequest {
            plan,
            received: self.received,
            session: self.session,
            gateway: self.gateway,
            caller: self.caller,
            events: transport_request::accepts_events(&self.head.headers),
            place: self.place,
        };
        Ok((request, self.head))
    }

    /// Plans a message, which is the request or a member of its batch.
    pub(crate) fn plan(
        &self,
        received: &TransportRequest,
        account: &mut RequestMeasurement,
    ) -> Result<Plan, RequestRefusal> {
        let scene = Scene {
            gateway: &self.gateway,
            caller: &self.caller,
            head: &self.head,
            session: &self.session,
            sealer: self.keys.sealer(),
            now: self.now,
        };
        match received {
            TransportRequest::Post(bytes) => scene.posted(bytes, account),
            TransportRequest::Get => scene.bodiless(
                MethodLabel::STREAM,
                |framing| EndpointRequest::Get { framing },
                account,
            ),
            TransportRequest::Delete => scene.bodiless(
                MethodLabel::END,
                |framing| EndpointRequest::Delete { framing },
                account,
            ),
        }
    }
}

/// Authenticates the caller. The hash of the token is cached with the connection, its validity is not.
fn authenticate<S: ConfigSource>(
    plane: &ProxyState<S>,
    view: &View,
    keys: &Arc<S::Keys>,
    head: &Parts,
    visitor: &ConnectionInfo,
    now: Timestamp,
) -> Result<Caller, Refusal> {
    let mut values = head.headers.get_all(http::header::AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else {
        return Err(Refusal::Unauthenticated);
    };
    let token = parse_bearer_token(only.as_bytes())?;
    let hash = visitor
        .token_hashes
        .hash(keys, token, |token| keys.hasher().hash(token));
    verify(view, &hash, &plane.source, now)
}

/// Inputs of a plan.
struct Scene<'a> {
    gateway: &'a Arc<GatewayView>,
    caller: &'a Caller,
    head: &'a Parts,
    session: &'a SessionHeader,
    sealer: &'a Sealer,
    now: Timestamp,
}

impl Scene<'_> {
    /// Plans a posted message: frame, era, plan.
    fn posted(
        &self,
        bytes: &[u8],
        account: &mut RequestMeasurement,
    ) -> Result<Plan, RequestRefusal> {
        let envelope =
            envelope::parse(bytes, &FrameLimits::REQUEST).map_err(RequestRefusal::unframed)?;
        let headers = transport_request::standard_headers(&self.head.headers);
        let in_session = !matches!(self.session, SessionHeader::Absent);
        let framing = era::classify(headers.version, in_session, &envelope);
        account.set_method(
            self.gateway,
            MethodLabel::of(envelope.method()),
            self.version(&framing),
        );
        let trace = transport_request::trace(&self.head.headers, &envelope);
        if account.is_tracing() {
            let incoming = IncomingTraceContext {
                parent: trace.map(|trace| trace.parent),
                state: trace.and_then(|trace| trace.state),
            };
            let method = MethodLabel::of(envelope.method());
            account.start_span(method.as_str(), self.version(&framing), incoming);
        }
        let params = match framing {
            RequestEra::Modern => transport_request::param_headers(&self.head.headers),
            RequestEra::Unsupported { .. }
            | RequestEra::Legacy { .. }
            | RequestEra::BadVersion { .. } => Vec::new(),
        };
        let post = PostedMessage {
            framing: &framing,
            envelope: &envelope,
            headers,
            params: &params,
        };
        self.decide(EndpointRequest::Post(post), trace)
            .map_err(|refusal| RequestRefusal::answering(refusal, &envelope))
    }

    /// Plans a GET or DELETE.
    fn bodiless(
        &self,
        method: MethodLabel,
        ask: impl FnOnce(&RequestEra) -> EndpointRequest<'_>,
        account: &mut RequestMeasurement,
    ) -> Result<Plan, RequestRefusal> {
        let framing = era::classify_bodiless(transport_request::version_header(&self.head.headers));
        account.set_method(self.gateway, method, self.version(&framing));
        Ok(self.decide(ask(&framing), None)?)
    }

    fn decide(
        &self,
        ask: EndpointRequest<'_>,
        trace: Option<TraceContext<'_>>,
    ) -> Result<Plan, Refusal> {
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
            plan @ (Plan::Respond(_)
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
            | Plan::DeliverResponse(_)) => Ok(plan),
        }
    }

    /// Returns the protocol version for metrics; empty if none is agreed upon.
    fn version(&self, framing: &RequestEra) -> &'static str {
        match (framing, self.session) {
            (RequestEra::Modern, _) => versions::MODERN,
            (RequestEra::Legacy { .. }, SessionHeader::Open(facts)) => facts.version,
            (RequestEra::Legacy { version }, _) => version.unwrap_or_default(),
            (RequestEra::Unsupported { .. } | RequestEra::BadVersion { .. }, _) => "",
        }
    }
}

/// Responds with a refusal and counts it.
pub(crate) fn respond_refused(refused: &RequestRefusal, account: RequestMeasurement) -> Answer {
    account.finish_refused(&refused.refusal);
    refusal_response(&refused.refusal, refused.id.as_deref())
}

impl SessionHeader {
    /// Converts the session to the input of a plan.
    fn as_presented(&self) -> SessionLookup<'_> {
        match self {
            Self::Absent => SessionLookup::Absent,
            Self::Unknown => SessionLookup::Unknown,
            Self::Open(facts) => SessionLookup::Valid(facts),
        }
    }

    /// Returns the facts of an open session.
    pub(crate) fn facts(&self) -> Option<&Arc<SessionClaims>> {
        match self {
            Self::Open(facts) => Some(facts),
            Self::Absent | Self::Unknown => None,
        }
    }
}

impl RequestRefusal {
    fn answering(refusal: Refusal, envelope: &Envelope<'_>) -> Self {
        let id = envelope
            .raw_id()
            .filter(|_| envelope.kind == MessageKind::Request);
        let id = id.map(Box::from);
        Self { refusal, id }
    }

    pub(crate) fn unframed(error: toolgate_mcp::FrameError) -> Self {
        let id = error.id.clone();
        let refusal = Refusal::Frame(error);
        Self { refusal, id }
    }
}

impl From<Refusal> for RequestRefusal {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, id: None }
    }
}
