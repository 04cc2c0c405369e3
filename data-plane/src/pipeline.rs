//! The life of a request, from top to bottom: pin, route, authenticate, permit, admit, body, session (on this proxy or
//! a peer), frame, era, plan, execute, respond, measure. Each step is a small function; the meaning of a request is decided by
//! [`plan`].

use std::{future::Future, net::IpAddr, sync::Arc};

use http::{Method, Response, request::Parts};
use toolgate_data_core::{
    Caller, ClientStateCipher, GatewayView, OwningProxy, Plan, PlanInput, Refusal, View,
    authn::{
        authenticate::{authenticate as verify, parse_bearer_token},
        jwt::is_jwt,
    },
    plan::{EndpointRequest, PostedMessage, plan, route::route},
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
    jwt_signatures::JwtSignatures,
    proxy_state::ProxyState,
    request_limiter::RequestPermit,
    request_metrics::{MethodLabel, RequestMeasurement},
    session_header::SessionHeader,
    session_refusal_log,
    streamed::{StreamBody, StreamEnd},
    transport_request::{self, TransportRequest},
};

/// Response to the client.
pub(crate) type ClientHttpResponse = Response<ResponseBody<StreamBody>>;

/// Refusal with the id of the request that it answers, as written.
pub(crate) struct RequestRefusal {
    pub(crate) refusal: Refusal,
    pub(crate) id: Option<Box<str>>,
}

impl<S: ConfigSource> RequestHandler for ProxyState<S> {
    type Stream = StreamBody;

    fn serve(
        self: Arc<Self>,
        request: IncomingRequest,
    ) -> impl Future<Output = ClientHttpResponse> + Send {
        serve(self, request)
    }

    async fn answered(self: Arc<Self>) {
        self.questions_answered().await;
    }
}

/// Serves a request of a client. A request whose state is on another proxy is forwarded to it.
async fn serve<S: ConfigSource>(
    state: Arc<ProxyState<S>>,
    request: IncomingRequest,
) -> ClientHttpResponse {
    let mut measurement = state.metrics.open();
    let arrival = match arrive(&state, request, &mut measurement, RequestSource::Client).await {
        Ok(arrival) => arrival,
        Err(refused) => return respond_refused(&refused, measurement),
    };
    if let Some(owner) = state.forward_target(arrival.owner()) {
        // Boxed, here and below: most requests are not forwarded.
        let forwarded = forwarded_request(&arrival.head, &arrival.received);
        match Box::pin(state.peers.forward(&owner, forwarded)).await {
            Ok(response) => {
                let stream_end = arrival.stream_end(&state);
                return forwarded_response(response, stream_end, arrival.permit, measurement);
            }
            Err(ForwardError::NotSent) => {}
            Err(ForwardError::ConnectionLost) => {
                return forward_failed(&arrival.received, measurement);
            }
        }
    }
    if arrival.is_batch() {
        return Box::pin(batch::serve(&state, arrival, measurement)).await;
    }
    let (planned, head) = match arrival.decide(&mut measurement) {
        Ok(decided) => decided,
        Err(refused) => return respond_refused(&refused, measurement),
    };
    if let Some(owner) = state.forward_target(planned.owner()) {
        let forwarded = forwarded_request(&head, &planned.received);
        match Box::pin(state.peers.forward(&owner, forwarded)).await {
            Ok(response) => {
                return forwarded_response(response, None, planned.permit, measurement);
            }
            Err(ForwardError::NotSent) => {}
            Err(ForwardError::ConnectionLost) => {
                return forward_failed(&planned.received, measurement);
            }
        }
    }
    // The head keeps the buffer of the connection.
    drop(head);
    execute(&state, planned, measurement).await
}

/// Origin of a request, which decides where its rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestSource {
    /// Client: counts here.
    Client,
    /// Another proxy, at which it was counted.
    Peer,
}

/// Reads the caller, the message and the session of a request.
pub(crate) async fn arrive<S: ConfigSource>(
    state: &ProxyState<S>,
    request: IncomingRequest,
    measurement: &mut RequestMeasurement,
    origin: RequestSource,
) -> Result<Arrival<S::Keys>, RequestRefusal> {
    let IncomingRequest {
        head,
        body,
        connection,
    } = request;
    let view = state.source.view();
    let routed = route(&view, head.uri.path())?;
    if let Some(gateway) = routed {
        measurement.set_gateway(gateway);
        measurement.set_client(transport_request::user_agent(&head.headers));
    }
    let keys = state.source.keys().ok_or(Refusal::NotConfigured)?;
    transport_request::check_loop(&head.headers, keys.cdn_id()).map_err(Refusal::Loop)?;
    let now = measurement.received_at();
    let unauthenticated = |_: &Refusal| {
        let limiter = &state.anonymous_events;
        session_refusal_log::record_unauthenticated(
            limiter,
            &head.headers,
            connection.address,
            now,
        );
    };
    let configured = (&*view, routed.map(Arc::as_ref), &keys);
    let caller = authenticate(state, configured, &head, &connection, now);
    let caller = caller.inspect_err(unauthenticated)?;
    // After authentication: only callers may know if a gateway exists.
    let gateway = caller.authorize_gateway(routed);
    let gateway = gateway.inspect_err(unauthenticated)?;
    measurement.set_caller(&caller);
    let permit = state.acquire_permit(&caller)?;
    let started = measurement.started();
    let admission = match (origin, &head.method) {
        (RequestSource::Peer, _) => Ok(()),
        // The end of a session releases what the caller holds, so limits of operators do not delay it.
        (RequestSource::Client, &Method::DELETE) => state.limiter.check_rate(&caller, started),
        (RequestSource::Client, _) => state.admit(gateway, &caller, started),
    };
    let session = || {
        let (cache, slot) = (&state.session_cache, &connection.cache_slot);
        let (headers, cipher) = (&head.headers, keys.cipher());
        cache.check_session_id(headers, cipher, gateway, &caller, &state.sessions, slot)
    };
    let body_limit = match &admission {
        Ok(()) => usize::MAX,
        Err(refusal) => state.release_body_limit(refusal, (&head, session), &caller, started)?,
    };
    let owner = permit.budget_owner();
    let received = transport_request::receive(&head, body, owner, body_limit).await?;
    measurement.set_request_bytes(received.body_len());
    if let Err(refusal) = admission
        && !received.releases_resources()
    {
        let id = received.id();
        return Err(RequestRefusal { refusal, id });
    }
    let session = session();
    Ok(Arrival {
        gateway: Arc::clone(gateway),
        head,
        received,
        caller,
        session,
        keys,
        permit,
        now,
        address: connection.address,
    })
}

/// Authenticated request with its session, before it is planned.
pub(crate) struct Arrival<K> {
    pub(crate) head: Parts,
    pub(crate) received: TransportRequest,
    permit: RequestPermit,
    pub(crate) gateway: Arc<GatewayView>,
    pub(crate) caller: Caller,
    pub(crate) session: SessionHeader,
    keys: Arc<K>,
    now: Timestamp,
    /// Address of the client, or of the peer that forwarded its request.
    address: IpAddr,
}

impl<K: KeySet> Arrival<K> {
    /// Returns the proxy that holds its session.
    fn owner(&self) -> Option<&OwningProxy> {
        self.session.claims().map(|claims| &claims.owner)
    }

    /// Returns the end of a forwarded stream that only listens: it ends when this proxy drains.
    fn stream_end<S: ConfigSource>(&self, state: &ProxyState<S>) -> Option<StreamEnd> {
        matches!(self.received, TransportRequest::Get)
            .then(|| Box::pin(state.drain.draining()) as StreamEnd)
    }

    /// Plans the request. Returns the head beside it.
    pub(crate) fn decide(
        self,
        measurement: &mut RequestMeasurement,
    ) -> Result<(PlannedRequest, Parts), RequestRefusal> {
        let plan = self.plan(&self.received, measurement)?;
        let request = PlannedRequest {
            plan,
            received: self.received,
            session: self.session,
            gateway: self.gateway,
            caller: self.caller,
            events: transport_request::accepts_events(&self.head.headers),
            cdn_loop: transport_request::cdn_loop(&self.head.headers),
            permit: self.permit,
        };
        Ok((request, self.head))
    }

    /// Plans a message, which is the request or a member of its batch.
    pub(crate) fn plan(
        &self,
        received: &TransportRequest,
        measurement: &mut RequestMeasurement,
    ) -> Result<Plan, RequestRefusal> {
        let planning = PlanningContext {
            gateway: &self.gateway,
            caller: &self.caller,
            head: &self.head,
            session: &self.session,
            cipher: self.keys.cipher(),
            now: self.now,
        };
        let planned = match received {
            TransportRequest::Post(bytes) => planning.posted(bytes, measurement),
            TransportRequest::Get => planning.without_body(
                MethodLabel::STREAM,
                |era| EndpointRequest::Get { era },
                measurement,
            ),
            TransportRequest::Delete => planning.without_body(
                MethodLabel::END,
                |era| EndpointRequest::Delete { era },
                measurement,
            ),
        };
        planned.inspect_err(|refused| {
            session_refusal_log::record_refused(
                &refused.refusal,
                (&self.permit, self.now),
                &self.head.headers,
                &self.gateway.name.id,
                &self.caller,
                self.address,
            );
        })
    }
}

/// Authenticates the caller. The hash of the token is cached with the connection, its validity is not.
fn authenticate<S: ConfigSource>(
    state: &ProxyState<S>,
    (view, routed, keys): (&View, Option<&GatewayView>, &Arc<S::Keys>),
    head: &Parts,
    connection: &ConnectionInfo,
    now: Timestamp,
) -> Result<Caller, Refusal> {
    let mut values = head.headers.get_all(http::header::AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else {
        return Err(Refusal::Unauthenticated);
    };
    let token = parse_bearer_token(only.as_bytes())?;
    let hash = connection
        .token_hashes
        .hash(keys, token, |token| keys.hasher().hash(token));
    if is_jwt(token) {
        let callers = &state.verified_callers;
        return callers.authenticate(routed, token, &hash, &JwtSignatures, now);
    }
    verify(view, &hash, &state.source, now)
}

/// Inputs of a plan.
struct PlanningContext<'a> {
    gateway: &'a Arc<GatewayView>,
    caller: &'a Caller,
    head: &'a Parts,
    session: &'a SessionHeader,
    cipher: &'a ClientStateCipher,
    now: Timestamp,
}

impl PlanningContext<'_> {
    /// Plans a posted message: frame, era, plan.
    fn posted(
        &self,
        bytes: &[u8],
        measurement: &mut RequestMeasurement,
    ) -> Result<Plan, RequestRefusal> {
        let envelope =
            envelope::parse(bytes, &FrameLimits::REQUEST).map_err(RequestRefusal::unframed)?;
        let headers = transport_request::standard_headers(&self.head.headers);
        let in_session = !matches!(self.session, SessionHeader::Absent);
        let era = era::classify(headers.version, in_session, &envelope);
        measurement.set_method(
            self.gateway,
            MethodLabel::of(envelope.method()),
            self.version(&era),
        );
        if let Some(client) = transport_request::client_name(&envelope) {
            measurement.set_client(client);
        }
        let trace = transport_request::trace(&self.head.headers, &envelope);
        if measurement.is_tracing() {
            let incoming = IncomingTraceContext {
                parent: trace.map(|trace| trace.parent),
                state: trace.and_then(|trace| trace.state),
            };
            let method = MethodLabel::of(envelope.method());
            measurement.start_span(method.as_str(), self.version(&era), incoming);
        }
        let params = match era {
            RequestEra::Modern => transport_request::param_headers(&self.head.headers),
            RequestEra::Unsupported { .. }
            | RequestEra::Legacy { .. }
            | RequestEra::BadVersion { .. } => Vec::new(),
        };
        let post = PostedMessage {
            era: &era,
            envelope: &envelope,
            headers,
            params: &params,
        };
        self.decide(EndpointRequest::Post(post), trace)
            .map_err(|refusal| RequestRefusal::answering(refusal, &envelope))
    }

    /// Plans a GET or DELETE.
    fn without_body(
        &self,
        method: MethodLabel,
        request: impl FnOnce(&RequestEra) -> EndpointRequest<'_>,
        measurement: &mut RequestMeasurement,
    ) -> Result<Plan, RequestRefusal> {
        let era = era::classify_bodiless(transport_request::version_header(&self.head.headers));
        measurement.set_method(self.gateway, method, self.version(&era));
        Ok(self.decide(request(&era), None)?)
    }

    fn decide(
        &self,
        request: EndpointRequest<'_>,
        trace: Option<TraceContext<'_>>,
    ) -> Result<Plan, Refusal> {
        let decided = plan(&PlanInput {
            gateway: self.gateway,
            caller: self.caller,
            request,
            trace,
            session: self.session.as_lookup(),
            cipher: self.cipher,
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
    fn version(&self, era: &RequestEra) -> &'static str {
        match (era, self.session) {
            (RequestEra::Modern, _) => versions::MODERN,
            (RequestEra::Legacy { .. }, SessionHeader::Valid(claims)) => claims.version,
            (RequestEra::Legacy { version }, _) => version.unwrap_or_default(),
            (RequestEra::Unsupported { .. } | RequestEra::BadVersion { .. }, _) => "",
        }
    }
}

/// Responds with a refusal and counts it.
pub(crate) fn respond_refused(
    refused: &RequestRefusal,
    mut measurement: RequestMeasurement,
) -> ClientHttpResponse {
    let response: ClientHttpResponse = refusal_response(&refused.refusal, refused.id.as_deref());
    measurement.add_response_bytes(body_bytes(&response));
    measurement.finish_refused(&refused.refusal);
    response
}

/// Returns the size of a body in memory; 0 for a stream.
pub(crate) fn body_bytes(response: &ClientHttpResponse) -> u64 {
    let size = http_body::Body::size_hint(response.body());
    size.exact().unwrap_or_default()
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
