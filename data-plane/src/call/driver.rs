//! The driver of one call: waits for the server, the client, timers and the drain, feeds what happens to the
//! [`CallMachine`], and runs its effects (`effects.rs`).

use std::{
    collections::VecDeque,
    future::pending,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::{sync::mpsc::Sender, task::yield_now, time::sleep};
use toolgate_data_core::call::{
    CallEnd, CallEvent, CallMachine, CallOptions, CallTime, ContinuedCall, ElicitationId,
    InputResponses, PingOutcome, suspended::SuspensionHandle,
};
use toolgate_mcp::sse;
use toolgate_session::{CancellableCallGuard, ElicitationRegistration};
use toolgate_upstream::{
    CallContext, InFlightCall, SendReport, SessionChoice, UpstreamClient, UpstreamSessionHandle,
};

use crate::{
    config_source::ConfigSource,
    proxy_state::{ElicitingCall, ProxyState},
    request_limiter::RequestPermit,
    request_metrics::RequestMeasurement,
};

use super::{
    CallAnswer, SuspendedCall,
    cancellation::{Cancellation, cancellation, cancelled, if_some, or_cancelled},
    detach::DetachOnDrop,
    elicitation_responses::ElicitationResponseChannel,
    stream::CallStream,
};

/// Time that a streaming server may be silent before the client gets its response head, with a comment that keeps the
/// connection alive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Silence after which a comment is sent on the stream.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Driver of one call.
pub(super) struct CallDriver<S: ConfigSource> {
    pub(super) state: Arc<ProxyState<S>>,
    pub(super) context: CallContext,
    pub(super) machine: CallMachine,
    /// Origin of the machine's monotonic time.
    pub(super) began: Instant,
    measurement: RequestMeasurement,
    permit: RequestPermit,
    /// Registration of a legacy client's call, by which it is cancelled.
    pub(super) cancellation_guard: Option<CancellableCallGuard>,
    pub(super) upstream: UpstreamSide,
    /// Messages for the client, ahead of the answer.
    pub(super) outbox: VecDeque<Bytes>,
    pub(super) end: Option<CallEnd>,
    pub(super) elicitation_responses: ElicitationResponseChannel,
    pub(super) registrations: Vec<ElicitationRegistration<ElicitingCall>>,
    /// Handle under which the call is about to be suspended.
    pub(super) handle: Option<SuspensionHandle>,
    /// `true` once the client has closed the stream.
    is_disconnected: bool,
    /// Time at which the client got something last.
    sent: Instant,
}

/// All that a call begins with.
pub(super) struct CallParts<S: ConfigSource> {
    pub(super) state: Arc<ProxyState<S>>,
    pub(super) context: CallContext,
    pub(super) permit: RequestPermit,
    /// Registration of a legacy client's call.
    pub(super) cancellation_guard: Option<CancellableCallGuard>,
    pub(super) measurement: RequestMeasurement,
    /// Present time.
    pub(super) began: Instant,
}

/// The server's side of a call.
#[derive(Default)]
pub(super) struct UpstreamSide {
    pub(super) call: Option<InFlightCall>,
    pub(super) session: Option<Arc<UpstreamSessionHandle>>,
    /// Answers that go with the call.
    pub(super) input_responses: Option<Arc<InputResponses>>,
    /// Request that is to be sent next.
    pub(super) request: Option<UpstreamOperation>,
    /// Request in flight.
    pub(super) sending: Option<BoxFuture<'static, RequestResult>>,
}

/// A request to the server.
pub(super) enum UpstreamOperation {
    Send(SessionChoice),
    Probe(Arc<UpstreamSessionHandle>),
}

/// Result of an [`UpstreamOperation`].
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per attempt, and a box would cost the plain path an allocation"
)]
pub(super) enum RequestResult {
    Sent(SendReport),
    Probed(PingOutcome),
}

/// Next thing that happens to a call.
enum DriverEvent {
    Call(CallEvent),
    Sent(Box<RequestResult>),
    /// The client got nothing for a while.
    Silence,
}

/// Reason of a pause of the loop.
enum LoopExit {
    /// There is something to send ahead of the answer, or the client has waited long enough for its head.
    Stream,
    End(CallEnd),
}

impl<S: ConfigSource> CallDriver<S> {
    fn new(parts: CallParts<S>) -> Self {
        let CallParts {
            state,
            context,
            permit,
            cancellation_guard,
            measurement,
            began,
        } = parts;
        Self {
            machine: new_machine(&context),
            state,
            context,
            began,
            measurement,
            permit,
            cancellation_guard,
            upstream: UpstreamSide::default(),
            outbox: VecDeque::new(),
            end: None,
            elicitation_responses: ElicitationResponseChannel::default(),
            registrations: Vec::new(),
            handle: None,
            is_disconnected: false,
            sent: began,
        }
    }

    /// Runs the call, or continues a suspended one. Dropped by the disconnect of a modern client, it cancels the
    /// call. The call of a legacy client is finished in the background.
    pub(super) async fn run(parts: CallParts<S>, suspended: Option<SuspendedCall>) -> CallAnswer {
        let drain = parts.state.drain.clone();
        let detaches = parts.context.plan.outlives_stream();
        // The driver is created inside of the box and stays there: it is large, and a move would copy all of it.
        let driven = Box::pin(async move {
            let mut driver = Self::new(parts);
            match driver.drive(suspended).await {
                LoopExit::End(end) => driver.answer(end),
                LoopExit::Stream => CallAnswer::Stream(driver.stream()),
            }
        });
        match detaches {
            true => DetachOnDrop::new(driven, drain).await,
            false => driven.await,
        }
    }

    /// Sends the call and reads an answer of one document, without a further allocation. All else is left to
    /// [`run_loop`](Self::run_loop).
    async fn drive(&mut self, suspended: Option<SuspendedCall>) -> LoopExit {
        match suspended {
            Some(suspended) => self.continue_call(suspended),
            None => {
                let effects = self.machine.start();
                self.run_effects(effects);
            }
        }
        while self.end.is_none() && self.outbox.is_empty() {
            if let Some(request) = self.upstream.request.take() {
                let result = {
                    let input = self.upstream.input_responses.as_deref();
                    // Pinned where they are created: a future is moved with all the room that it will need.
                    let sending = pin!(perform(&self.state.calls, &self.context, input, request));
                    let cancelled = pin!(cancelled(self.cancellation_guard.as_ref(), &self.permit));
                    or_cancelled(cancelled, sending).await
                };
                let event = result.map(|result| self.upstream.take_result(result));
                self.after(event);
            } else if self.machine.reads_document()
                && let Some(call) = &mut self.upstream.call
            {
                let read = {
                    let reading = pin!(call.read_document());
                    let cancelled = pin!(cancelled(self.cancellation_guard.as_ref(), &self.permit));
                    or_cancelled(cancelled, reading).await
                };
                self.after(read);
            } else {
                // Waits until the call ends, or until the client gets a stream.
                self.sent = self.measurement.now();
                return Box::pin(self.run_loop(None)).await;
            }
        }
        match self.end.take() {
            Some(end) if self.outbox.is_empty() => LoopExit::End(end),
            end => {
                self.end = end;
                LoopExit::Stream
            }
        }
    }

    /// Continues a suspended call.
    fn continue_call(&mut self, suspended: SuspendedCall) {
        self.machine = suspended.machine;
        self.upstream.call = suspended.call;
        self.began = suspended.began;
        let (plan, body) = (&self.context.plan, &self.context.body);
        let continuation = plan.continuation.as_ref();
        let responses = continuation.and_then(|continuation| continuation.responses);
        let responses = responses.map_or(Bytes::from_static(b"{}"), |span| span.slice_bytes(body));
        let continued = ContinuedCall {
            plan: Arc::clone(plan),
            log_level: self.context.log_level,
            responses,
        };
        self.apply(CallEvent::Continued(continued));
    }

    fn after(&mut self, event: Option<CallEvent>) {
        self.apply(event.unwrap_or(CallEvent::Cancel));
    }

    fn answer(self, end: CallEnd) -> CallAnswer {
        let measurement = self.measurement;
        match end {
            CallEnd::ClientResponse(reply) => CallAnswer::Reply(reply, measurement),
            CallEnd::Cancelled => CallAnswer::Cancelled {
                measurement,
                revoked: self.permit.is_authn_ended(),
            },
        }
    }

    /// Goes on in a task of its own, which writes the stream.
    fn stream(self) -> CallStream {
        let (sink, stream) = CallStream::channel();
        let drain = self.state.drain.clone();
        drop(drain.spawn("streamed call", Box::pin(self.write(sink))));
        stream
    }

    async fn write(mut self, sink: Sender<Bytes>) {
        if self.outbox.is_empty() {
            self.keep_alive(&sink);
        }
        if let LoopExit::End(CallEnd::ClientResponse(reply)) = self.run_loop(Some(&sink)).await {
            let answer = sse::event(&reply.body.to_bytes());
            self.measurement.add_response_bytes(answer.len() as u64);
            let cancelled = cancellation(self.cancellation_guard.as_ref(), &self.permit);
            tokio::select! {
                biased;
                _closed = sink.send(answer) => self.measurement.finish_call(reply.outcome),
                // The measurement counts a cancelled call when it is dropped.
                () = cancelled => {}
            }
        }
    }

    /// The loop of a call whose answer takes more than one message.
    async fn run_loop(&mut self, sink: Option<&Sender<Bytes>>) -> LoopExit {
        let mut cancelled = cancellation(self.cancellation_guard.as_ref(), &self.permit);
        loop {
            match sink {
                None if !self.outbox.is_empty() => return LoopExit::Stream,
                None => {}
                Some(sink) => self.flush(sink, &mut cancelled).await,
            }
            if let Some(end) = self.end.take() {
                return LoopExit::End(end);
            }
            match (self.next(sink, &mut cancelled).await, sink) {
                (DriverEvent::Call(event), _) => self.apply(event),
                (DriverEvent::Sent(result), _) => {
                    let event = self.upstream.take_result(*result);
                    self.apply(event);
                }
                (DriverEvent::Silence, Some(sink)) => self.keep_alive(sink),
                (DriverEvent::Silence, None) => return LoopExit::Stream,
            }
        }
    }

    /// Sends what waits for the client. The server waits meanwhile.
    async fn flush(&mut self, sink: &Sender<Bytes>, cancelled: &mut Cancellation) {
        while let Some(message) = self.outbox.pop_front() {
            let event = sse::event(&message);
            let bytes = event.len() as u64;
            tokio::select! {
                biased;
                sent = sink.send(event) => match sent {
                    Ok(()) => {
                        self.measurement.add_response_bytes(bytes);
                        self.sent = self.measurement.now();
                    }
                    Err(_closed) => self.on_disconnect(),
                },
                () = &mut *cancelled => self.on_cancelled(),
            }
        }
    }

    /// Ends the call without an answer, also if the answer is ready and waits for a client that reads slowly.
    fn on_cancelled(&mut self) {
        self.apply(CallEvent::Cancel);
        self.outbox.clear();
        self.end = Some(CallEnd::Cancelled);
    }

    fn on_disconnect(&mut self) {
        self.is_disconnected = true;
        self.outbox.clear();
        self.apply(CallEvent::ClientDisconnected);
    }

    fn keep_alive(&mut self, sink: &Sender<Bytes>) {
        // A full queue means that something else is about to be sent.
        let _full = sink.try_send(Bytes::from_static(sse::KEEP_ALIVE));
        self.sent = self.measurement.now();
    }

    /// Waits for the next event. Cancel-safe.
    async fn next(
        &mut self,
        sink: Option<&Sender<Bytes>>,
        cancelled: &mut Cancellation,
    ) -> DriverEvent {
        self.send_in_background();
        let now = self.measurement.now();
        let deadline = self.machine.wait(self.time());
        let silence = match sink {
            Some(_) if self.is_disconnected => None,
            Some(_) => Some(KEEP_ALIVE_INTERVAL),
            None => Some(HEAD_TIMEOUT),
        };
        let quiet = now.saturating_duration_since(self.sent);
        let silence = silence.map(|most| most.saturating_sub(quiet));
        let draining =
            (self.machine.pending_elicitations() > 0).then(|| self.state.drain.deadline_near());
        let open_sink = sink.filter(|_| !self.is_disconnected);
        tokio::select! {
            biased;
            () = &mut *cancelled => DriverEvent::Call(CallEvent::Cancel),
            () = closed(open_sink) => {
                self.is_disconnected = true;
                DriverEvent::Call(CallEvent::ClientDisconnected)
            }
            (id, frame) = self.elicitation_responses.next() => {
                DriverEvent::Call(CallEvent::ElicitationResponse(id, frame))
            }
            () = if_some(draining) => DriverEvent::Call(CallEvent::Drain),
            event = self.upstream.next() => event,
            () = if_some(deadline.map(sleep_until_due)) => DriverEvent::Call(CallEvent::Deadline),
            () = if_some(silence.map(sleep)) => DriverEvent::Silence,
        }
    }

    /// Begins the next request to the server, which must not be dropped while other things happen.
    fn send_in_background(&mut self) {
        if let Some(request) = self.upstream.request.take() {
            let (calls, context) = (self.state.calls.clone(), self.context.clone());
            let input_responses = self.upstream.input_responses.clone();
            self.upstream.sending = Some(Box::pin(async move {
                perform(&calls, &context, input_responses.as_deref(), request).await
            }));
        }
    }

    /// Returns the time for the machine. The wall-clock time is the arrival of the request plus the time since: one clock is
    /// read instead of two.
    pub(super) fn time(&self) -> CallTime {
        let (now, measurement) = (self.measurement.now(), &self.measurement);
        let since_arrival = now.saturating_duration_since(measurement.started());
        CallTime {
            elapsed: now.saturating_duration_since(self.began),
            wall: measurement.received_at().after(since_arrival),
        }
    }

    /// Removes the registration of an elicitation.
    pub(super) fn unregister(&mut self, id: &ElicitationId) {
        self.registrations
            .retain(|registration| registration.id() != id);
    }
}

impl UpstreamSide {
    /// Waits for the next message of the server, or for the result of a request to it. Cancel-safe.
    async fn next(&mut self) -> DriverEvent {
        if let Some(sending) = &mut self.sending {
            let result = sending.as_mut().await;
            self.sending = None;
            return DriverEvent::Sent(Box::new(result));
        }
        match &mut self.call {
            Some(call) => DriverEvent::Call(call.read().await),
            None => pending().await,
        }
    }

    /// Takes over the call that was sent.
    fn take_result(&mut self, result: RequestResult) -> CallEvent {
        match result {
            RequestResult::Sent(SendReport {
                head,
                call,
                session,
            }) => {
                self.call = call;
                self.session = session;
                CallEvent::UpstreamHead(head)
            }
            RequestResult::Probed(ping) => CallEvent::SessionProbed(ping),
        }
    }
}

/// Creates the machine of a call that was not sent yet.
pub(super) fn new_machine(context: &CallContext) -> CallMachine {
    CallMachine::new(CallOptions {
        plan: Arc::clone(&context.plan),
        log_level: context.log_level,
        client_until: context.expires,
    })
}

async fn perform(
    calls: &UpstreamClient,
    context: &CallContext,
    input_responses: Option<&InputResponses>,
    request: UpstreamOperation,
) -> RequestResult {
    match request {
        UpstreamOperation::Send(session) => {
            RequestResult::Sent(calls.send(context, input_responses, session).await)
        }
        UpstreamOperation::Probe(session) => {
            RequestResult::Probed(calls.ping_session(context, &session).await)
        }
    }
}

async fn closed(sink: Option<&Sender<Bytes>>) {
    match sink {
        Some(sink) => sink.closed().await,
        None => pending().await,
    }
}

async fn sleep_until_due(wait: Duration) {
    if wait > Duration::ZERO {
        // A timer that fires early would fire again and again.
        sleep(wait + Duration::from_millis(1)).await;
    } else {
        // Other tasks of the thread run between two deadlines that are due at once.
        yield_now().await;
    }
}
