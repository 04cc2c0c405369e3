//! Random histories against a reference model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Step of a history. Small numbers collide often.
#[derive(Debug, Clone, Copy)]
enum Step {
    Asked(u8, bool),
    Withdrawn(u8),
    Answered(u8, bool),
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..24, any::<bool>()).prop_map(|(id, can)| Step::Asked(id, can)),
        1 => (0_u8..24).prop_map(Step::Withdrawn),
        4 => (0_u8..60, any::<bool>()).prop_map(|(at, good)| Step::Answered(at, good)),
        1 => (1_u64..200).prop_map(Step::Later),
    ]
}

/// Pending requests of the server with their own ids, and the number of answers that each got and had to get.
#[derive(Default)]
struct Model {
    now: Timestamp,
    next: u8,
    open: BTreeMap<u8, (u8, Timestamp)>,
    told: BTreeMap<u8, usize>,
    owed: BTreeMap<u8, usize>,
    named: BTreeSet<u8>,
    closed: BTreeSet<u8>,
}

impl Model {
    fn take(&mut self, step: Step) -> ElicitationEvent {
        match step {
            Step::Asked(id, can) => self.asked(id, can),
            Step::Withdrawn(id) => {
                self.open.remove(&id);
                ElicitationEvent::Withdrawn(id.to_string().into())
            }
            Step::Answered(name, good) => {
                self.settle(|(own, _)| *own == name);
                if good {
                    result(name, "{}")
                } else {
                    error(name)
                }
            }
            Step::Later(seconds) => {
                self.now = self.now.after(Duration::from_secs(seconds));
                let now = self.now;
                self.settle(|(_, until)| *until <= now);
                ElicitationEvent::Tick
            }
        }
    }

    fn asked(&mut self, id: u8, can: bool) -> ElicitationEvent {
        let name = can.then_some(self.next);
        if can {
            self.named.insert(self.next);
            self.next += 1;
        }
        if !self.open.contains_key(&id) {
            match name {
                Some(name) if self.open.len() < MAX_PENDING => {
                    self.open.insert(id, (name, self.now.after(ANSWER_TIMEOUT)));
                }
                // Rejected at once.
                Some(_) | None => *self.owed.entry(id).or_default() += 1,
            }
        }
        ElicitationEvent::Requested {
            id: id.to_string().into(),
            elicitation: form(),
            own: name.map(own),
        }
    }

    /// Counts the selected requests as answered.
    fn settle(&mut self, which: impl Fn(&(u8, Timestamp)) -> bool) {
        let found = self.open.iter().filter(|(_, open)| which(open));
        let found: Vec<u8> = found.map(|(id, _)| *id).collect();
        for id in found {
            self.open.remove(&id);
            *self.owed.entry(id).or_default() += 1;
        }
    }

    fn read(&mut self, outputs: &[ElicitationOutput]) {
        for output in outputs {
            match output {
                ElicitationOutput::Respond(told) => {
                    let id = u8::try_from(value(told)["id"].as_u64().unwrap()).unwrap();
                    *self.told.entry(id).or_default() += 1;
                }
                ElicitationOutput::Close(own) => {
                    assert!(self.closed.insert(own.random[0]), "closed twice")
                }
                ElicitationOutput::SendClient(_) => {}
                ElicitationOutput::SendRound(_) | ElicitationOutput::Fail => {
                    panic!("no round was asked")
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn every_server_request_gets_exactly_one_answer(steps in prop::collection::vec(step(), 0..80)) {
        let mut machine = asking();
        let mut model = Model { now: START, ..Model::default() };
        for step in steps {
            let event = model.take(step);
            let outputs = machine.on(event, model.now);
            model.read(&outputs);
            prop_assert_eq!(&model.told, &model.owed);
            prop_assert_eq!(machine.pending(), model.open.len());
            let open: BTreeSet<u8> = model.open.values().map(|(name, _)| *name).collect();
            let left: BTreeSet<u8> = model.named.difference(&model.closed).copied().collect();
            prop_assert_eq!(left, open, "every other name was let go of");
        }
    }
}
