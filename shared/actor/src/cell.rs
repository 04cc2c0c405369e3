//! The actix actor that hosts an [`Actor`]. The cell never panics, so the mailbox outlives every panic of the hosted
//! actor. A restart loses only the message that caused it; every other accepted message stays queued.

use std::{
    collections::VecDeque,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use actix::{ActorFutureExt as _, AsyncContext as _, SpawnHandle, fut::wrap_future};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    Actor,
    context::{ActorContext, ActorEffect},
    handle::ActorHandle,
    permit::{MailboxPermit, MailboxPermits},
    registry::ActorRegistration,
};

/// Window over which panics are counted.
const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// Adapter that runs an [`Actor`] as an actix actor.
pub(crate) struct ActorCell<A: Actor> {
    actor: Option<A>,
    factory: Box<dyn Fn() -> A>,
    permits: Arc<MailboxPermits>,
    registration: ActorRegistration,
    last_id: u64,
    /// Timers and performed futures by effect id, for cancellation.
    running: Vec<(u64, SpawnHandle)>,
    panics: VecDeque<Instant>,
}

/// Item of an actor's mailbox.
pub(crate) enum MailboxItem<A: Actor> {
    Message {
        message: A::Message,
        permit: MailboxPermit,
    },
    Observe(oneshot::Sender<Value>),
    Stop,
}

impl<A: Actor> actix::Message for MailboxItem<A> {
    type Result = ();
}

impl<A: Actor> ActorCell<A> {
    pub(crate) fn new(
        factory: impl Fn() -> A + 'static,
        permits: Arc<MailboxPermits>,
        registration: ActorRegistration,
    ) -> Self {
        Self {
            actor: None,
            factory: Box::new(factory),
            permits,
            registration,
            last_id: 0,
            running: Vec::new(),
            panics: VecDeque::new(),
        }
    }

    /// Creates the actor. A factory that panics is called again until [`Actor::MAX_RESTARTS`] is exceeded; then the
    /// cell stops.
    fn create(&mut self, actix: &mut actix::Context<Self>) {
        while !self.has_given_up() {
            let made = catch_unwind(AssertUnwindSafe(|| (self.factory)()));
            let Ok(actor) = made else {
                self.count_panic();
                continue;
            };
            self.actor = Some(actor);
            return self.step(actix, None, |actor, cx| actor.started(cx));
        }
        tracing::error!(actor = A::KIND, "gave up: it panics again and again");
        actix::ActorContext::stop(actix);
    }

    /// Runs one step of the actor, then applies the effects it requested.
    fn step(
        &mut self,
        actix: &mut actix::Context<Self>,
        work: Option<Arc<MailboxPermit>>,
        act: impl FnOnce(&mut A, &mut ActorContext<A>),
    ) {
        let Some(actor) = &mut self.actor else {
            return;
        };
        let id = self.registration.id();
        let handle = ActorHandle::new(actix.address(), Arc::clone(&self.permits), id);
        let mut cx = ActorContext::new(handle, work, self.last_id);
        match catch_unwind(AssertUnwindSafe(|| act(actor, &mut cx))) {
            Ok(()) => self.apply_effects(cx, actix),
            Err(_panic) => self.crashed(actix),
        }
    }

    fn apply_effects(&mut self, cx: ActorContext<A>, actix: &mut actix::Context<Self>) {
        let (effects, last_id) = cx.into_effects();
        self.last_id = last_id;
        for effect in effects {
            match effect {
                ActorEffect::After(id, delay, message) => {
                    let timer = actix.run_later(delay, move |cell, actix| {
                        cell.forget(id);
                        cell.step(actix, None, |actor, cx| actor.handle(message, cx));
                    });
                    self.running.push((id, timer));
                }
                ActorEffect::Cancel(id) => {
                    if let Some(timer) = self.forget(id) {
                        actix.cancel_future(timer);
                    }
                }
                ActorEffect::Perform(id, future, work) => self.perform(id, future, work, actix),
                ActorEffect::Stop => actix::ActorContext::stop(actix),
            }
        }
    }

    fn perform(
        &mut self,
        id: u64,
        future: Pin<Box<dyn Future<Output = A::Message>>>,
        work: Option<Arc<MailboxPermit>>,
        actix: &mut actix::Context<Self>,
    ) {
        let future = wrap_future::<_, Self>(AssertUnwindSafe(future).catch_unwind());
        let future = future.map(move |outcome, cell, actix| {
            cell.forget(id);
            match outcome {
                Ok(message) => cell.step(actix, work, |actor, cx| actor.handle(message, cx)),
                Err(_panic) => cell.crashed(actix),
            }
        });
        let spawned = actix.spawn(future);
        self.running.push((id, spawned));
    }

    /// Handles a panic of the actor: drops its state, cancels its timers and futures, and creates a new instance.
    fn crashed(&mut self, actix: &mut actix::Context<Self>) {
        tracing::warn!(
            actor = A::KIND,
            id = self.registration.id(),
            "panicked; starting again"
        );
        let broken = self.actor.take();
        // Dropping the broken state may panic again.
        let _dropped = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        for (_id, handle) in self.running.drain(..) {
            actix.cancel_future(handle);
        }
        self.count_panic();
        self.create(actix);
    }

    fn count_panic(&mut self) {
        let now = Instant::now();
        self.panics.push_back(now);
        self.panics
            .retain(|panic| now.duration_since(*panic) < RESTART_WINDOW);
        self.registration.restarted();
    }

    fn has_given_up(&self) -> bool {
        self.panics.len() > A::MAX_RESTARTS
    }

    fn forget(&mut self, id: u64) -> Option<SpawnHandle> {
        let position = self
            .running
            .iter()
            .position(|(running, _handle)| *running == id)?;
        Some(self.running.swap_remove(position).1)
    }

    fn observe(&self) -> Value {
        let picture = |actor: &A| catch_unwind(AssertUnwindSafe(|| actor.observe())).ok();
        self.actor
            .as_ref()
            .and_then(picture)
            .unwrap_or_else(|| json!("not observable"))
    }
}

impl<A: Actor> actix::Actor for ActorCell<A> {
    type Context = actix::Context<Self>;

    fn started(&mut self, actix: &mut Self::Context) {
        self.create(actix);
    }

    fn stopped(&mut self, _actix: &mut Self::Context) {
        if let Some(mut actor) = self.actor.take() {
            let _stopped = catch_unwind(AssertUnwindSafe(|| {
                actor.stopped();
                drop(actor);
            }));
        }
    }
}

impl<A: Actor> actix::Handler<MailboxItem<A>> for ActorCell<A> {
    type Result = ();

    fn handle(&mut self, post: MailboxItem<A>, actix: &mut Self::Context) {
        match post {
            MailboxItem::Message { message, permit } => {
                let work = Some(Arc::new(permit));
                self.step(actix, work, |actor, cx| actor.handle(message, cx));
            }
            MailboxItem::Observe(reply) => {
                let _nobody_waits = reply.send(self.observe());
            }
            MailboxItem::Stop => actix::ActorContext::stop(actix),
        }
    }
}
