//! Effects of the [`CallMachine`](toolgate_data_core::call::CallMachine), carried out by the driver. None of them
//! waits.

use std::sync::Arc;

use toolgate_data_core::{
    call::{
        CallEffect, CallEffects, CallEnd, CallEvent, ElicitationId, EncryptionRequest, PingOutcome,
        RetrySession, UpstreamEnd,
        request_state::{EncryptedRequestState, REQUEST_STATE_LIFETIME},
        suspended::CallTicket,
        url_elicitation::{URL_ELICITATION_LIFETIME, UrlElicitation},
    },
    client_state::StateContext,
    rewrite::ClientResponse,
};
use toolgate_runtime::random;
use toolgate_upstream::SessionChoice;

use crate::{
    config_source::{ConfigSource, KeySet as _},
    proxy_state::ElicitingCall,
};

use super::{
    SuspendedCall,
    driver::{CallDriver, UpstreamOperation, new_machine},
};

impl<S: ConfigSource> CallDriver<S> {
    /// Feeds an event to the machine, and carries out what comes of it.
    pub(super) fn apply(&mut self, event: CallEvent) {
        let effects = self.machine.on(event, self.time());
        self.run_effects(effects);
    }

    pub(super) fn run_effects(&mut self, effects: CallEffects) {
        let mut effects = effects;
        loop {
            // At most one effect of an event has a result.
            let mut result = None;
            for effect in effects {
                result = self.run_effect(effect).or(result);
            }
            match result {
                Some(event) => effects = self.machine.on(event, self.time()),
                None => return,
            }
        }
    }

    fn run_effect(&mut self, effect: CallEffect) -> Option<CallEvent> {
        match effect {
            CallEffect::SendUpstream(input_responses) => {
                self.upstream.input_responses = input_responses.map(Into::into);
                self.send(SessionChoice::Current);
            }
            CallEffect::Retry(RetrySession::Same) => {
                self.send(SessionChoice::Same {
                    session: self.upstream.session.clone(),
                    connect_by: self.upstream.connect_by,
                });
            }
            CallEffect::Retry(RetrySession::New) => {
                let lost = self.upstream.session.take();
                self.send(lost.map_or(SessionChoice::Current, SessionChoice::Replace));
            }
            CallEffect::ProbeSession => match self.upstream.session.clone() {
                Some(session) => self.upstream.request = Some(UpstreamOperation::Probe(session)),
                None => return Some(CallEvent::SessionProbed(PingOutcome::NoResponse)),
            },
            CallEffect::ProbeSessionLater(refusal) => {
                if let Some(session) = self.upstream.session.clone() {
                    let calls = &self.state.calls;
                    calls.probe_session_later(&self.context, session, refusal);
                }
            }
            CallEffect::DiscardSession => {
                if let Some(session) = &self.upstream.session {
                    session.discard();
                }
            }
            CallEffect::AskClient(count) => {
                let ids = (0..count).map(|_| self.register());
                return Some(CallEvent::Registered(ids.collect()));
            }
            CallEffect::Encrypt(request) => {
                return Some(CallEvent::Encrypted(self.encrypt(request)));
            }
            CallEffect::Suspend(reply) => return self.suspend(reply),
            CallEffect::CloseElicitation(id) => self.unregister(&id),
            CallEffect::SendClient(message) => self.outbox.push_back(message),
            CallEffect::Finish(end) => {
                if let CallEnd::Cancelled = end {
                    self.outbox.clear();
                }
                self.end = Some(end);
            }
            other @ (CallEffect::RespondUpstream(_)
            | CallEffect::RefuseUpstream(_)
            | CallEffect::SettleUpstream(_)
            | CallEffect::ResumeStream(_)
            | CallEffect::HoldTimeouts
            | CallEffect::ResumeTimeouts
            | CallEffect::CancelUpstream) => return self.run_on_call(other),
        }
        None
    }

    /// Carries out an effect on the call in flight.
    fn run_on_call(&mut self, effect: CallEffect) -> Option<CallEvent> {
        let clock = &self.state.clock;
        let call = self.upstream.call.as_mut();
        match (effect, call) {
            (CallEffect::RespondUpstream(message), Some(call)) => {
                call.respond(message, clock.now());
            }
            (CallEffect::RefuseUpstream(message), Some(call)) => call.refuse(message),
            (CallEffect::SettleUpstream(verdict), Some(call)) => call.settle(verdict),
            (CallEffect::HoldTimeouts, Some(call)) => call.hold_timeouts(),
            (CallEffect::ResumeTimeouts, Some(call)) => call.resume_timeouts(),
            (CallEffect::ResumeStream(failure), call) => {
                if !call.is_some_and(|call| call.start_resume(clock.now())) {
                    return Some(CallEvent::UpstreamEnd(UpstreamEnd::Failed(failure)));
                }
            }
            (CallEffect::CancelUpstream, call) => {
                if let Some(call) = call {
                    call.cancel();
                }
                // A request in flight is cancelled by its drop.
                self.upstream.sending = None;
                self.upstream.request = None;
            }
            (_, _) => {}
        }
        None
    }

    fn send(&mut self, session: SessionChoice) {
        // The last attempt is over.
        self.upstream.call = None;
        self.upstream.request = Some(UpstreamOperation::Send(session));
    }

    /// Registers an elicitation of the legacy client. Returns the id under which its answer comes back; `None` if the
    /// client cannot be asked.
    fn register(&mut self) -> Option<ElicitationId> {
        if self.state.drain.is_draining() {
            return None;
        }
        let (context, state) = (&self.context, &self.state);
        let session = context.session.as_ref()?;
        let eliciting_call = ElicitingCall {
            elicitation_responses: self.elicitation_responses.sender(),
            call: self.cancellation_guard.as_ref()?.cancel_handle(),
            gateway: context.plan.gateway.name.id.clone(),
            authn: context.authn,
            plan: Arc::clone(&context.plan),
        };
        let registered =
            state
                .elicitations
                .register(session, &context.principal, eliciting_call.clone())?;
        // Checked after the registration: a session or gateway that ends from here on finds the elicitation.
        if state.sessions.has_ended(session) || !eliciting_call.is_served(&state.source.view()) {
            return None;
        }
        let id = registered.id().clone();
        self.registrations.push(registered);
        Some(id)
    }

    /// Encrypts a `requestState`; `None` if there are no keys or the content is too large.
    fn encrypt(&mut self, content: EncryptionRequest) -> Option<String> {
        let (context, state) = (&self.context, &self.state);
        let keys = state.source.keys()?;
        let (cipher, nonce) = (keys.cipher(), random::bytes());
        let request = context.plan.digest(&context.body)?;
        let state_context = StateContext {
            gateway: &context.plan.gateway.name.id,
            principal: &context.principal,
        };
        let now = state.clock.now();
        match content {
            EncryptionRequest::RequestState(literal) => {
                let until = now.after(REQUEST_STATE_LIFETIME);
                let state = EncryptedRequestState {
                    request,
                    until,
                    literal,
                };
                state.encrypt(cipher, state_context, &nonce)
            }
            EncryptionRequest::UrlElicitation { number, urls } => {
                let elicitation = UrlElicitation {
                    request,
                    until: now.after(URL_ELICITATION_LIFETIME),
                    times: number,
                    pages: urls,
                };
                Some(elicitation.encrypt(cipher, state_context, &nonce))
            }
            EncryptionRequest::Ticket => {
                let ticket = CallTicket {
                    handle: random::bytes(),
                    request,
                    owner: state.peers.this_proxy(),
                };
                self.handle = Some(ticket.handle);
                Some(ticket.encrypt(cipher, state_context, &nonce))
            }
        }
    }

    /// Suspends the call and ends the request with `reply`, unless there is no room.
    fn suspend(&mut self, reply: ClientResponse) -> Option<CallEvent> {
        let Some(handle) = self.handle.take() else {
            return Some(CallEvent::SuspensionRefused);
        };
        let idle = new_machine(&self.context);
        let suspended = SuspendedCall {
            machine: std::mem::replace(&mut self.machine, idle),
            call: self.upstream.call.take(),
            began: self.began,
        };
        let (state, gateway) = (&self.state, &self.context.plan.gateway.name.id);
        let (principal, authn) = (&self.context.principal, self.context.authn);
        let parked = state
            .suspended
            .suspend(handle, principal, (gateway, authn), suspended);
        // Checked after the call is kept: a gateway or token that is removed from here on finds it.
        let view = state.source.view();
        let is_served = view.gateway(gateway.as_str()).is_some() && view.is_known(&authn);
        if !is_served || state.source.is_revoked(&authn) {
            state.cancel_unserved(&view);
        }
        match parked {
            Ok(()) => {
                self.end = Some(CallEnd::ClientResponse(reply));
                None
            }
            Err(suspended) => {
                self.machine = suspended.machine;
                self.upstream.call = suspended.call;
                Some(CallEvent::SuspensionRefused)
            }
        }
    }
}
