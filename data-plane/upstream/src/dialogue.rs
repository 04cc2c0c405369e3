//! What a legacy client is asked in one call: the machine, the names of the questions, and the way of the answers.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use toolgate_data_core::{
    asking::{Asking, Event, Output, Question, QuestionId},
    rewrite::InputRequirement,
};
use toolgate_runtime::{Drain, SharedClock};

use crate::waiter::{Answered, Answers, Named, Waiter};

/// Made when the first question comes: most calls have none.
pub(crate) struct Dialogue {
    asking: Asking,
    names: Vec<Named>,
    answers: Answers,
    answered: Answered,
    clock: SharedClock,
    drain: Drain,
}

/// What comes of waiting.
pub(crate) enum Turn {
    /// The client answered.
    Answer(QuestionId, Bytes),
    /// Somebody took too long.
    Late,
    /// This proxy stops: nobody can wait for people.
    Draining,
}

impl Dialogue {
    pub(crate) fn new(asking: Asking, clock: SharedClock, drain: Drain) -> Self {
        let (answers, answered) = Answers::channel();
        Self {
            asking,
            names: Vec::new(),
            answers,
            answered,
            clock,
            drain,
        }
    }

    /// Whether somebody is being waited for.
    pub(crate) fn is_open(&self) -> bool {
        self.asking.open() > 0
    }

    /// A legacy server asks. Who is not `reachable` has no stream on which to be asked.
    pub(crate) fn asked(
        &mut self,
        id: Box<str>,
        question: Question,
        waiter: &impl Waiter,
        reachable: bool,
    ) -> Vec<Output> {
        let own = self.name(waiter, reachable);
        self.on(Event::Asked { id, question, own })
    }

    /// A modern server asks a round.
    pub(crate) fn required(
        &mut self,
        required: InputRequirement,
        waiter: &impl Waiter,
        reachable: bool,
    ) -> Vec<Output> {
        let name = |(key, question)| (key, question, self.name(waiter, reachable));
        let round = required.requests.into_iter().map(name).collect();
        self.on(Event::Required(round))
    }

    /// A legacy server takes its request of this id back.
    pub(crate) fn withdrawn(&mut self, id: Box<str>) -> Vec<Output> {
        self.on(Event::Withdrawn(id))
    }

    /// Its client has left.
    pub(crate) fn left(&mut self) {
        self.asking.left(self.clock.now());
    }

    /// Waits for something to happen. Safe to be dropped at any point.
    pub(crate) async fn turn(&mut self) -> Turn {
        let now = self.clock.now();
        let late = async {
            match self.asking.deadline() {
                // Not to wake a moment too early, and again, and again.
                Some(until) => sleep(until.since(now) + Duration::from_millis(1)).await,
                None => std::future::pending().await,
            }
        };
        let draining = async {
            match self.asking.open() {
                0 => std::future::pending().await,
                _ => self.drain.draining().await,
            }
        };
        tokio::select! {
            biased;
            Some((id, frame)) = self.answered.recv() => Turn::Answer(id, frame),
            () = draining => Turn::Draining,
            () = late => Turn::Late,
        }
    }

    /// What is to be done about it.
    pub(crate) fn took(&mut self, turn: Turn) -> Vec<Output> {
        self.on(match turn {
            Turn::Answer(id, frame) => Event::Answered(id, frame),
            Turn::Late => Event::Tick,
            Turn::Draining => Event::Over,
        })
    }

    fn on(&mut self, event: Event) -> Vec<Output> {
        let outputs = self.asking.on(event, self.clock.now());
        for output in &outputs {
            if let Output::Close(id) = output {
                self.names.retain(|named| named.id != *id);
            }
        }
        outputs
    }

    fn name(&mut self, waiter: &impl Waiter, reachable: bool) -> Option<QuestionId> {
        let askable = reachable && !self.drain.is_draining();
        let named = askable.then(|| waiter.name(&self.answers))??;
        let id = named.id.clone();
        self.names.push(named);
        Some(id)
    }
}
