//! Actor of one server: feeds events to the schedule and performs its actions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use toolgate_actor::{Actor, ActorContext, ReplySender, TimerId};
use toolgate_model::{ProbeProblem, ServerDefinitions, Timestamp};
use toolgate_runtime::{clock::SharedClock, random};

use crate::{
    feed::{DefinitionsFeed, FeedEvent, FeedHandle, FeedSource},
    inspect::{ServerInspection, ServerInspector},
    port::{DefinitionsSink, StoreEffect},
    schedule::{ProbeSchedule, ScheduleAction, ScheduleEvent, ScheduleOptions},
    target::ProbeTarget,
};

/// Dependencies shared by all probes.
pub(crate) struct ProbeContext {
    pub(crate) inspector: ServerInspector,
    pub(crate) sink: Arc<dyn DefinitionsSink>,
    pub(crate) clock: SharedClock,
    pub(crate) schedule: ScheduleOptions,
    /// Permits for concurrent inspections.
    pub(crate) permits: Semaphore,
    /// Number of all permits.
    pub(crate) concurrency: u32,
}

/// Current target. Survives a restart of the actor after a panic.
#[derive(Clone)]
pub(crate) struct CurrentTarget(Arc<Mutex<Arc<ProbeTarget>>>);

/// Probe actor of one server.
pub(crate) struct ProbeActor {
    shared: Arc<ProbeContext>,
    target: CurrentTarget,
    schedule: ProbeSchedule,
    created: Instant,
    timer: Option<TimerId>,
    /// Operators that get the result of the running probe.
    waiting: Vec<ReplySender<ServerDefinitions>>,
    /// Operators that get the result of the next probe: they asked after the running one began.
    queued: Vec<ReplySender<ServerDefinitions>>,
    /// Definitions from the last inspection, and the time at which they were last stored.
    seen: Option<(ServerDefinitions, Option<Timestamp>)>,
    /// Incremented with every new target and feed, to recognise late results of earlier ones.
    generation: u64,
    feed: Option<FeedHandle>,
    ending: bool,
}

pub(crate) enum ProbeMessage {
    /// The target may have changed.
    Retarget,
    /// Probe now and reply with the result.
    Ask(ReplySender<ServerDefinitions>),
    /// The timer has fired.
    Due,
    /// A probe has ended.
    Probed(Box<ProbeResult>),
    /// Event of the feed of this generation.
    Feed(u64, FeedEvent),
    /// The server is no longer configured.
    End,
    /// The time to close the session is over.
    CloseTimeout,
}

pub(crate) struct ProbeResult {
    generation: u64,
    inspection: ServerInspection,
    storing: StoringResult,
    /// Problem that the store has added.
    problem: Option<ProbeProblem>,
    changed: bool,
}

/// Result of storing the definitions of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StoringResult {
    /// The store has these definitions since an earlier probe.
    NotNeeded,
    Done(StoreEffect),
    Failed,
}

/// Interval at which definitions are stored again although only their time has changed.
const STORE_INTERVAL: Duration = Duration::from_secs(3600);

/// Size of the definitions for which an inspection takes one more permit.
const PERMIT_BYTES: usize = 4 * 1024 * 1024;

/// Maximum time to close the session with the server.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum number of operators that wait for one probe.
const MAX_WAITING: usize = 32;

impl CurrentTarget {
    pub(crate) fn new(target: Arc<ProbeTarget>) -> Self {
        Self(Arc::new(Mutex::new(target)))
    }

    pub(crate) fn target(&self) -> Arc<ProbeTarget> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the target. Returns `true` if it differs from the one before.
    pub(crate) fn set(&self, target: &Arc<ProbeTarget>) -> bool {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = **current != **target;
        *current = Arc::clone(target);
        differs
    }
}

impl ProbeActor {
    pub(crate) fn new(shared: Arc<ProbeContext>, target: CurrentTarget) -> Self {
        let schedule = ProbeSchedule::new(shared.schedule);
        let created = shared.clock.monotonic();
        Self {
            shared,
            target,
            schedule,
            created,
            timer: None,
            waiting: Vec::new(),
            queued: Vec::new(),
            seen: None,
            generation: 0,
            feed: None,
            ending: false,
        }
    }

    fn on_event(&mut self, event: ScheduleEvent, cx: &mut ActorContext<Self>) {
        let now = self.shared.clock.monotonic().duration_since(self.created);
        match self.schedule.step(event, now, random::number()) {
            ScheduleAction::Nothing => {}
            ScheduleAction::Wake(wait) => {
                self.cancel_timer(cx);
                self.timer = Some(cx.after(wait, ProbeMessage::Due));
            }
            ScheduleAction::Probe => {
                self.cancel_timer(cx);
                self.start_probe(cx);
            }
        }
    }

    fn cancel_timer(&mut self, cx: &mut ActorContext<Self>) {
        if let Some(timer) = self.timer.take() {
            cx.cancel(timer);
        }
    }

    fn start_probe(&mut self, cx: &mut ActorContext<Self>) {
        let shared = Arc::clone(&self.shared);
        let target = self.target.target();
        let seen = self.seen.clone();
        let generation = self.generation;
        self.waiting.append(&mut self.queued);
        let on_demand = !self.waiting.is_empty();
        cx.perform(async move {
            let outcome = run_probe(&shared, &target, seen, generation, on_demand).await;
            ProbeMessage::Probed(Box::new(outcome))
        });
    }

    fn on_probe_result(&mut self, outcome: ProbeResult, cx: &mut ActorContext<Self>) {
        let ProbeResult {
            generation,
            inspection,
            storing,
            problem,
            changed,
        } = outcome;
        let current = generation == self.generation && !self.ending;
        if current {
            let before = self.seen.take().and_then(|(_, stored)| stored);
            let stored_at = match storing {
                StoringResult::Done(StoreEffect::Stored) => Some(inspection.definitions.probed),
                StoringResult::NotNeeded => before,
                // The next probe stores its result, changed or not.
                StoringResult::Done(StoreEffect::StoredAsUnstable | StoreEffect::Deferred)
                | StoringResult::Failed => None,
            };
            self.seen = Some((inspection.definitions.clone(), stored_at));
            if storing != StoringResult::Failed {
                let mut told = inspection.definitions.clone();
                told.problem = joined_problem(told.problem, problem);
                for reply in self.waiting.drain(..) {
                    reply.send(told.clone());
                }
            }
        }
        if let Some((peer, source)) = inspection.feed {
            // An open feed is better than a failed one.
            let is_downgrade = matches!(source, FeedSource::Failed) && self.feed.is_some();
            let (feed, line) = DefinitionsFeed::new(peer, source);
            if current && !is_downgrade {
                self.generation += 1;
                // Replaces an earlier handle, which closes the earlier feed.
                self.feed = Some(line);
            }
            // The handle of an unwanted feed has been dropped, so the feed closes at once.
            listen(self.generation, feed, cx);
        }
        let succeeded = inspection.succeeded && storing != StoringResult::Failed;
        // A server whose changes are not stored is probed less and less often.
        let changed = changed && storing != StoringResult::Done(StoreEffect::Deferred);
        self.on_event(ScheduleEvent::Ended { succeeded, changed }, cx);
    }

    fn on_feed_event(&mut self, generation: u64, event: FeedEvent, cx: &mut ActorContext<Self>) {
        let current = generation == self.generation && self.feed.is_some();
        match event {
            FeedEvent::Changed(feed) => {
                listen(generation, feed, cx);
                if current {
                    self.on_event(ScheduleEvent::Announced, cx);
                }
            }
            FeedEvent::Ended if current => self.on_feed_lost(true, cx),
            FeedEvent::Failed if current => self.on_feed_lost(false, cx),
            FeedEvent::Unsupported if current => self.feed = None,
            FeedEvent::Ended | FeedEvent::Failed | FeedEvent::Unsupported => {}
            FeedEvent::Closed if self.ending => cx.stop(),
            FeedEvent::Closed => {}
        }
    }

    fn on_feed_lost(&mut self, was_open: bool, cx: &mut ActorContext<Self>) {
        self.feed = None;
        self.on_event(ScheduleEvent::FeedEnded { was_open }, cx);
    }

    fn end(&mut self, cx: &mut ActorContext<Self>) {
        self.ending = true;
        self.waiting.clear();
        self.queued.clear();
        self.cancel_timer(cx);
        if self.feed.take().is_some() {
            cx.after(CLOSE_TIMEOUT, ProbeMessage::CloseTimeout);
        } else {
            cx.stop();
        }
    }
}

impl Actor for ProbeActor {
    type Message = ProbeMessage;

    const KIND: &'static str = "probe";

    fn started(&mut self, cx: &mut ActorContext<Self>) {
        self.on_event(ScheduleEvent::Changed, cx);
    }

    fn handle(&mut self, message: ProbeMessage, cx: &mut ActorContext<Self>) {
        match message {
            ProbeMessage::Probed(outcome) => self.on_probe_result(*outcome, cx),
            ProbeMessage::Feed(generation, event) => self.on_feed_event(generation, event, cx),
            ProbeMessage::CloseTimeout => cx.stop(),
            ProbeMessage::Retarget
            | ProbeMessage::Ask(_)
            | ProbeMessage::Due
            | ProbeMessage::End
                if self.ending => {}
            ProbeMessage::Retarget => {
                self.generation += 1;
                self.feed = None;
                self.on_event(ScheduleEvent::Changed, cx);
            }
            ProbeMessage::Ask(reply) => {
                self.waiting.retain(|reply| !reply.is_abandoned());
                self.queued.retain(|reply| !reply.is_abandoned());
                // A dropped reply is answered with `AskError::Gone`.
                if self.waiting.len() + self.queued.len() < MAX_WAITING {
                    self.queued.push(reply);
                    self.on_event(ScheduleEvent::Requested, cx);
                }
            }
            ProbeMessage::Due => self.on_event(ScheduleEvent::Due, cx),
            ProbeMessage::End => self.end(cx),
        }
    }

    fn observe(&self) -> Value {
        let seen = self.seen.as_ref().map(|(catalogue, _)| catalogue);
        json!({
            "server": self.target.target().server.to_string(),
            "probing": self.schedule.is_probing(),
            "failures": self.schedule.failures(),
            "listening": self.feed.is_some(),
            "tools": seen.map(|catalogue| catalogue.tools.len()),
            "prompts": seen.map(|catalogue| catalogue.prompts.len()),
            "resources": seen.map(|catalogue| catalogue.resources.len()),
            "problem": seen.and_then(|it| it.problem.as_ref()).map(|problem| problem.text.as_str()),
        })
    }
}

fn listen(generation: u64, feed: Box<DefinitionsFeed>, cx: &mut ActorContext<ProbeActor>) {
    cx.perform(async move { ProbeMessage::Feed(generation, feed.listen().await) });
}

async fn run_probe(
    shared: &ProbeContext,
    target: &ProbeTarget,
    seen: Option<(ServerDefinitions, Option<Timestamp>)>,
    generation: u64,
    on_demand: bool,
) -> ProbeResult {
    let (earlier, stored_at) = match seen {
        Some((catalogue, stored)) => (Some(catalogue), stored),
        None => {
            // Definitions stored before this process started, or by another control plane.
            let earlier = shared.sink.earlier(&target.server).await;
            let stored = earlier.as_ref().map(|catalogue| catalogue.probed);
            (earlier, stored)
        }
    };
    // The semaphore is never closed.
    let permits = permits_for(earlier.as_ref()).min(shared.concurrency);
    let _turn = shared.permits.acquire_many(permits).await;
    let now = || shared.clock.now();
    let mut inspection = shared.inspector.inspect(target, earlier.clone(), now).await;
    inspection.definitions = inspection.definitions.with_problem_since(earlier.as_ref());
    let fresh =
        stored_at.is_some_and(|at| inspection.definitions.probed.since(at) < STORE_INTERVAL);
    let changed = !same(&inspection.definitions, earlier.as_ref());
    let (storing, problem) = if fresh && !on_demand && !changed {
        (StoringResult::NotNeeded, None)
    } else {
        store(shared, &inspection.definitions).await
    };
    ProbeResult {
        generation,
        inspection,
        storing,
        problem,
        changed,
    }
}

/// Returns the number of permits of an inspection: more for a server that was seen to have large definitions, so that few
/// such servers are read at once.
fn permits_for(earlier: Option<&ServerDefinitions>) -> u32 {
    let lists = earlier.map(ServerDefinitions::lists).into_iter().flatten();
    let bytes: usize = lists.flatten().map(|it| it.json.len()).sum();
    u32::try_from(1 + bytes / PERMIT_BYTES).unwrap_or(u32::MAX)
}

async fn store(
    shared: &ProbeContext,
    catalogue: &ServerDefinitions,
) -> (StoringResult, Option<ProbeProblem>) {
    match shared.sink.store(catalogue.clone()).await {
        Ok(report) => (StoringResult::Done(report.effect), report.problem),
        Err(error) => {
            tracing::warn!(server = %catalogue.server, %error, "will be tried again");
            (StoringResult::Failed, None)
        }
    }
}

/// Joins the problem of an inspection and that of storing its result.
pub fn joined_problem(
    first: Option<ProbeProblem>,
    second: Option<ProbeProblem>,
) -> Option<ProbeProblem> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.joined("; ", &second)),
        (first, second) => first.or(second),
    }
}

/// Returns `true` if the definitions differ at most in their time.
fn same(catalogue: &ServerDefinitions, earlier: Option<&ServerDefinitions>) -> bool {
    earlier.is_some_and(|earlier| {
        let earlier = ServerDefinitions {
            probed: catalogue.probed,
            ..earlier.clone()
        };
        earlier == *catalogue
    })
}
