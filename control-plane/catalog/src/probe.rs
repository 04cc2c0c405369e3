//! Actor of one server: feeds events to the schedule and performs its actions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use toolgate_actor::{Actor, Context, Reply, TimerId};
use toolgate_model::{Catalogue, Timestamp};
use toolgate_runtime::{clock::SharedClock, random};

use crate::{
    feed::{Feed, Heard, Line, Source},
    look::{Eyes, Sight},
    port::CatalogueSink,
    schedule::{Event, Pace, Schedule, Step},
    target::Target,
};

/// Dependencies shared by all probes.
pub(crate) struct Shared {
    pub(crate) eyes: Eyes,
    pub(crate) sink: Arc<dyn CatalogueSink>,
    pub(crate) clock: SharedClock,
    pub(crate) pace: Pace,
    /// Permits for concurrent inspections.
    pub(crate) looking: Semaphore,
}

/// Current target. Survives a restart of the actor after a panic.
#[derive(Clone)]
pub(crate) struct Aim(Arc<Mutex<Arc<Target>>>);

/// Probe actor of one server.
pub(crate) struct Probe {
    shared: Arc<Shared>,
    aim: Aim,
    schedule: Schedule,
    born: Instant,
    alarm: Option<TimerId>,
    waiting: Vec<Reply<Catalogue>>,
    /// Definitions from the last inspection, and the time at which they were last stored.
    seen: Option<(Catalogue, Option<Timestamp>)>,
    /// Incremented with every new target and feed, to recognise late results of earlier ones.
    generation: u64,
    line: Option<Line>,
    ending: bool,
}

pub(crate) enum Message {
    /// The target may have changed.
    Retarget,
    /// Probe now and reply with the result.
    Ask(Reply<Catalogue>),
    /// The timer has fired.
    Due,
    /// A probe has ended.
    Looked(Box<Looked>),
    /// Event of the feed of this generation.
    Heard(u64, Heard),
    /// The server is no longer configured.
    End,
    /// The time to close the session is over.
    Gone,
}

pub(crate) struct Looked {
    generation: u64,
    sight: Sight,
    stored: bool,
    changed: bool,
}

/// Interval at which definitions are stored again although only their time has changed.
const STORED_ANYWAY: Duration = Duration::from_secs(3600);

/// Maximum time to close the session with the server.
const GOODBYE: Duration = Duration::from_secs(3);

/// Maximum number of operators that wait for one probe.
const MAX_WAITING: usize = 32;

impl Aim {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self(Arc::new(Mutex::new(target)))
    }

    pub(crate) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the target. Returns `true` if it differs from the one before.
    pub(crate) fn set(&self, target: &Arc<Target>) -> bool {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = **current != **target;
        *current = Arc::clone(target);
        differs
    }
}

impl Probe {
    pub(crate) fn new(shared: Arc<Shared>, aim: Aim) -> Self {
        let schedule = Schedule::new(shared.pace);
        let born = shared.clock.monotonic();
        Self {
            shared,
            aim,
            schedule,
            born,
            alarm: None,
            waiting: Vec::new(),
            seen: None,
            generation: 0,
            line: None,
            ending: false,
        }
    }

    fn happened(&mut self, event: Event, cx: &mut Context<Self>) {
        let now = self.shared.clock.monotonic().duration_since(self.born);
        match self.schedule.step(event, now, random::number()) {
            Step::Nothing => {}
            Step::Wake(wait) => {
                self.silence(cx);
                self.alarm = Some(cx.after(wait, Message::Due));
            }
            Step::Probe => {
                self.silence(cx);
                self.look(cx);
            }
        }
    }

    fn silence(&mut self, cx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            cx.cancel(alarm);
        }
    }

    fn look(&mut self, cx: &mut Context<Self>) {
        let shared = Arc::clone(&self.shared);
        let target = self.aim.target();
        let seen = self.seen.clone();
        let generation = self.generation;
        let asked = !self.waiting.is_empty();
        cx.perform(async move {
            let looked = look(&shared, &target, seen, generation, asked).await;
            Message::Looked(Box::new(looked))
        });
    }

    fn looked(&mut self, looked: Looked, cx: &mut Context<Self>) {
        let Looked {
            generation,
            sight,
            stored,
            changed,
        } = looked;
        let current = generation == self.generation && !self.ending;
        if current {
            let before = self.seen.take().and_then(|(_, stored)| stored);
            let now = stored.then_some(sight.catalogue.probed).or(before);
            self.seen = Some((sight.catalogue.clone(), now));
            if stored {
                for reply in self.waiting.drain(..) {
                    reply.send(sight.catalogue.clone());
                }
            }
        }
        if let Some((peer, source)) = sight.feed {
            // An open feed is better than a failed one.
            let worse = matches!(source, Source::Failed) && self.line.is_some();
            let (feed, line) = Feed::new(peer, source);
            if current && !worse {
                self.generation += 1;
                // Replaces an earlier handle, which closes the earlier feed.
                self.line = Some(line);
            }
            // The handle of an unwanted feed has been dropped, so the feed closes at once.
            listen(self.generation, feed, cx);
        }
        let well = sight.well && stored;
        self.happened(Event::Ended { well, changed }, cx);
    }

    fn heard(&mut self, generation: u64, heard: Heard, cx: &mut Context<Self>) {
        let current = generation == self.generation && self.line.is_some();
        match heard {
            Heard::Changed(feed) => {
                listen(generation, feed, cx);
                if current {
                    self.happened(Event::Announced, cx);
                }
            }
            Heard::Ended if current => self.unheard(true, cx),
            Heard::Failed if current => self.unheard(false, cx),
            Heard::Nothing if current => self.line = None,
            Heard::Ended | Heard::Failed | Heard::Nothing => {}
            Heard::HungUp if self.ending => cx.stop(),
            Heard::HungUp => {}
        }
    }

    fn unheard(&mut self, stood: bool, cx: &mut Context<Self>) {
        self.line = None;
        self.happened(Event::FeedEnded { stood }, cx);
    }

    fn end(&mut self, cx: &mut Context<Self>) {
        self.ending = true;
        self.waiting.clear();
        self.silence(cx);
        if self.line.take().is_some() {
            cx.after(GOODBYE, Message::Gone);
        } else {
            cx.stop();
        }
    }
}

impl Actor for Probe {
    type Message = Message;

    const KIND: &'static str = "probe";

    fn started(&mut self, cx: &mut Context<Self>) {
        self.happened(Event::Changed, cx);
    }

    fn handle(&mut self, message: Message, cx: &mut Context<Self>) {
        match message {
            Message::Looked(looked) => self.looked(*looked, cx),
            Message::Heard(generation, heard) => self.heard(generation, heard, cx),
            Message::Gone => cx.stop(),
            Message::Retarget | Message::Ask(_) | Message::Due | Message::End if self.ending => {}
            Message::Retarget => {
                self.generation += 1;
                self.line = None;
                self.happened(Event::Changed, cx);
            }
            Message::Ask(reply) => {
                self.waiting.retain(|reply| !reply.is_abandoned());
                // A dropped reply is answered with `AskError::Gone`.
                if self.waiting.len() < MAX_WAITING {
                    self.waiting.push(reply);
                    self.happened(Event::Asked, cx);
                }
            }
            Message::Due => self.happened(Event::Due, cx),
            Message::End => self.end(cx),
        }
    }

    fn observe(&self) -> Value {
        let seen = self.seen.as_ref().map(|(catalogue, _)| catalogue);
        json!({
            "server": self.aim.target().server.to_string(),
            "probing": self.schedule.is_probing(),
            "failures": self.schedule.failures(),
            "listening": self.line.is_some(),
            "tools": seen.map(|catalogue| catalogue.tools.len()),
            "prompts": seen.map(|catalogue| catalogue.prompts.len()),
            "resources": seen.map(|catalogue| catalogue.resources.len()),
            "problem": seen.and_then(|catalogue| catalogue.problem.clone()),
        })
    }
}

fn listen(generation: u64, feed: Box<Feed>, cx: &mut Context<Probe>) {
    cx.perform(async move { Message::Heard(generation, feed.listen().await) });
}

async fn look(
    shared: &Shared,
    target: &Target,
    seen: Option<(Catalogue, Option<Timestamp>)>,
    generation: u64,
    asked: bool,
) -> Looked {
    // The semaphore is never closed.
    let _turn = shared.looking.acquire().await;
    let (earlier, stored_at) = match seen {
        Some((catalogue, stored)) => (Some(catalogue), stored),
        None => {
            // Definitions stored before this process started, or by another control plane.
            let earlier = shared.sink.earlier(&target.server).await;
            let stored = earlier.as_ref().map(|catalogue| catalogue.probed);
            (earlier, stored)
        }
    };
    let now = || shared.clock.now();
    let mut sight = shared.eyes.look(target, earlier.clone(), now).await;
    sight.catalogue = sight.catalogue.troubled_since(earlier.as_ref());
    let fresh = stored_at.is_some_and(|at| sight.catalogue.probed.since(at) < STORED_ANYWAY);
    let changed = !same(&sight.catalogue, earlier.as_ref());
    let stored = if fresh && !asked && !changed {
        true
    } else {
        store(shared, &sight.catalogue).await
    };
    Looked {
        generation,
        sight,
        stored,
        changed,
    }
}

async fn store(shared: &Shared, catalogue: &Catalogue) -> bool {
    let kept = shared.sink.store(catalogue.clone()).await;
    if let Err(error) = &kept {
        tracing::warn!(server = %catalogue.server, %error, "will be tried again");
    }
    kept.is_ok()
}

/// Returns `true` if the definitions differ at most in their time.
fn same(catalogue: &Catalogue, earlier: Option<&Catalogue>) -> bool {
    earlier.is_some_and(|earlier| {
        let earlier = Catalogue {
            probed: catalogue.probed,
            ..earlier.clone()
        };
        earlier == *catalogue
    })
}
