//! State that all requests share.

use std::{sync::Arc, time::Instant};

use toolgate_data_core::{
    Caller, Refusal, View,
    change::{self, Comparison},
};
use toolgate_model::{Sharing, Slug, TokenHash};
use toolgate_runtime::{Drain, SharedClock};
use toolgate_session::{
    InFlight, Links, Listeners, Parking, Questions, Sessions, Subject, Subscriptions, TakeBack,
};
use toolgate_upstream::{Answers, Calls, Standstill, Upstream};

use crate::{
    account::Accounts,
    limit::{Limiter, Place},
    neighbours::Neighbours,
    presented::Opened,
    source::Source,
};

/// State of a proxy's request path.
pub(crate) struct Plane<S: Source> {
    pub(crate) source: S,
    pub(crate) clock: SharedClock,
    pub(crate) drain: Drain,
    pub(crate) limiter: Limiter,
    pub(crate) opened: Opened,
    pub(crate) sessions: Sessions,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) listeners: Listeners,
    pub(crate) in_flight: InFlight,
    pub(crate) neighbours: Neighbours,
    pub(crate) links: Links,
    pub(crate) questions: Questions<Asker>,
    pub(crate) parking: Parking<Standstill>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) calls: Calls,
    pub(crate) accounts: Arc<Accounts>,
}

/// Call of a legacy client that waits for the client's answer to a server request.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// Receiver of the answer.
    pub(crate) answers: Answers,
    /// Cancels the call if no answer can come any more.
    pub(crate) call: TakeBack,
    /// Gateway of the client.
    pub(crate) gateway: Slug,
    /// Token of the client.
    pub(crate) token: TokenHash,
}

impl Asker {
    /// Returns `true` if the client is still served and can answer.
    pub(crate) fn is_served(&self, view: &View) -> bool {
        change::is_served(view, &self.gateway, &self.token)
    }
}

impl<S: Source> Plane<S> {
    /// Returns a permit for one request. A later revocation ends the request through its permit; a revocation between
    /// the check of the token and this call is detected here.
    pub(crate) fn enter(&self, caller: &Caller, now: Instant) -> Result<Place, Refusal> {
        let token = &caller.token().hash;
        let place = self.limiter.enter(token, caller.principal(), now)?;
        if self.source.is_revoked(token) {
            return Err(Refusal::Unauthenticated);
        }
        Ok(place)
    }

    /// Handles the termination of a legacy session by its client. Calls that wait for the client's answers are
    /// cancelled, and upstream sessions that serve this session alone end.
    pub(crate) fn conversation_over(&self, subject: Subject<'_>) {
        for asker in self.questions.session_over(&subject.facts.random) {
            asker.call.now();
        }
        let mut servers = subject.gateway.servers.iter();
        if servers.any(|server| server.sharing == Sharing::PerSession) {
            self.links.conversation_over(&subject.facts.random);
        }
    }

    /// Cancels suspended calls of modern clients whose gateway was removed or denied: their clients cannot come back.
    pub(crate) fn release(&self, view: &View) {
        self.parking.retain(|gateway| {
            let gateway = view.gateway(gateway.as_str());
            gateway.is_some_and(|gateway| gateway.denied.is_none())
        });
    }

    /// Ends all requests of revoked tokens, streams included.
    pub(crate) fn revoked<'a>(&self, tokens: impl Iterator<Item = &'a TokenHash>) {
        tokens.for_each(|token| self.limiter.end(token));
    }

    /// Handles a new view: drops state of what was removed and notifies clients of changed lists.
    pub(crate) fn view_changed(&self, before: &View, after: &View) {
        let mut views = Comparison::new(before, after);
        self.sessions.view_changed(&mut views);
        self.subscriptions.view_changed(&mut views);
        self.listeners.view_changed(after);
        for asker in self.questions.take_if(|asker| !asker.is_served(after)) {
            asker.call.now();
        }
        self.release(after);
        self.links.view_changed(after);
        self.upstream.retain(after);
        self.accounts.retain(after);
        self.limiter.retain(|token| after.token(token).is_some());
    }
}
