//! What all requests share.

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

/// One proxy's request path. See [`pipeline`](crate::pipeline).
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

/// A call whose legacy client is asked something.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// Where the answer goes.
    pub(crate) answers: Answers,
    /// For when none can come any more.
    pub(crate) call: TakeBack,
    /// Through which its client comes.
    pub(crate) gateway: Slug,
    /// What its client is let in by.
    pub(crate) token: TokenHash,
}

impl Asker {
    /// Whether its client can come back with an answer.
    pub(crate) fn is_served(&self, view: &View) -> bool {
        change::is_served(view, &self.gateway, &self.token)
    }
}

impl<S: Source> Plane<S> {
    /// Leave for one request. Whoever is let in is found when the token is revoked later; who was revoked meanwhile,
    /// after the token was checked, is found here.
    pub(crate) fn enter(&self, caller: &Caller, now: Instant) -> Result<Place, Refusal> {
        let token = &caller.token().hash;
        let place = self.limiter.enter(token, caller.principal(), now)?;
        if self.source.is_revoked(token) {
            return Err(Refusal::Unauthenticated);
        }
        Ok(place)
    }

    /// A legacy session was ended by its client: nobody answers its questions any more, and the calls that wait for
    /// answers are taken back. Where a server keeps a session for it alone, that one ends too.
    pub(crate) fn conversation_over(&self, subject: Subject<'_>) {
        for asker in self.questions.session_over(&subject.facts.random) {
            asker.call.now();
        }
        let mut servers = subject.gateway.servers.iter();
        if servers.any(|server| server.sharing == Sharing::PerSession) {
            self.links.conversation_over(&subject.facts.random);
        }
    }

    /// Calls of modern clients that cannot come back, since their gateway serves nobody any more, are taken back.
    pub(crate) fn release(&self, view: &View) {
        self.parking.retain(|gateway| {
            let gateway = view.gateway(gateway.as_str());
            gateway.is_some_and(|gateway| gateway.denied.is_none())
        });
    }

    /// These tokens stopped working: what they have running ends, streams included.
    pub(crate) fn revoked<'a>(&self, tokens: impl Iterator<Item = &'a TokenHash>) {
        tokens.for_each(|token| self.limiter.end(token));
    }

    /// The view was replaced: whatever was kept for what is gone is let go, and clients hear of changed lists.
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
