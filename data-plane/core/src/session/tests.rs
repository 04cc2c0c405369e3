//! Tests of the session machine: each message goes to exactly one stream or waits for one, and all queues are bounded.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::pacer::UPDATES;

const TOOLS: Kinds = Kinds {
    tools: true,
    ..Kinds::NONE
};

const GATHER: Output = Output::Pause(Pause::Gather);
const REST: Output = Output::Pause(Pause::Rest);

fn message(n: usize) -> Bytes {
    Bytes::from(format!("m{n}"))
}

#[test]
fn what_waits_is_written_to_the_first_stream_in_order() {
    let mut session = Session::default();
    assert_eq!(session.on(Event::Say(message(1))), []);
    assert_eq!(session.on(Event::Say(message(2))), []);
    let one = StreamId(1);
    assert_eq!(
        session.on(Event::Open),
        [
            Output::Opened(one),
            Output::Write(one, message(1)),
            Output::Write(one, message(2)),
        ]
    );
    assert_eq!(
        session.on(Event::Say(message(3))),
        [Output::Write(one, message(3))]
    );
}

#[test]
fn any_number_of_changes_is_one_notice() {
    let mut session = Session::default();
    assert_eq!(session.on(Event::Changed(TOOLS)), [GATHER]);
    assert_eq!(session.on(Event::Changed(TOOLS)), []);
    // Without a stream the notification stays pending.
    assert_eq!(session.on(Event::Settled), []);
    let opened = session.on(Event::Open);
    let [Output::Opened(stream), Output::Write(to, notice), REST] = opened.as_slice() else {
        panic!("{opened:?}");
    };
    assert_eq!(stream, to);
    assert_eq!(
        &notice[..],
        br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#
    );
    // The next notification is sent only after the delay.
    assert_eq!(session.on(Event::Changed(TOOLS)), []);
    let told = session.on(Event::Settled);
    assert!(matches!(told[..], [Output::Write(..), REST]), "{told:?}");
    assert_eq!(session.on(Event::Settled), []);
    assert_eq!(session.on(Event::Changed(TOOLS)), [GATHER]);
}

#[test]
fn every_kind_and_every_resource_has_a_notice_of_its_own() {
    let mut session = Session::default();
    session.on(Event::Open);
    session.on(Event::Changed(Kinds::ALL));
    for uri in ["a:2", "a:1", "a:2"] {
        session.on(Event::Updated(uri.into()));
    }
    let told: Vec<String> = session
        .on(Event::Settled)
        .into_iter()
        .filter(|output| *output != REST)
        .map(|output| {
            let Output::Write(StreamId(1), text) = output else {
                panic!("{output:?}");
            };
            String::from_utf8(text.to_vec()).unwrap()
        })
        .collect();
    let notice = |name: &str| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{name}"}}"#);
    let updated = |uri: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#
        )
    };
    assert_eq!(
        told,
        [
            notice("tools/list_changed"),
            notice("prompts/list_changed"),
            notice("resources/list_changed"),
            updated("a:1"),
            updated("a:2"),
        ]
    );
}

#[test]
fn updates_that_wait_for_a_stream_have_a_bound() {
    let mut session = Session::default();
    for n in 0..2 * UPDATES {
        session.on(Event::Updated(format!("a:{n}").into()));
    }
    assert_eq!(session.updates(), UPDATES);
    session.on(Event::Settled);
    assert_eq!(session.on(Event::Open).len(), 1 + UPDATES + 1);
    assert_eq!(session.updates(), 0);
}

#[test]
fn the_oldest_stream_makes_room() {
    let mut session = Session::default();
    for _ in 0..STREAMS {
        session.on(Event::Open);
    }
    let newest = StreamId(STREAMS as u64 + 1);
    assert_eq!(
        session.on(Event::Open),
        [Output::Close(StreamId(1)), Output::Opened(newest)]
    );
    assert_eq!(
        session.on(Event::Say(message(1))),
        [Output::Write(newest, message(1))]
    );
}

#[test]
fn nothing_happens_after_the_end() {
    let mut session = Session::default();
    session.on(Event::Open);
    assert_eq!(
        session.on(Event::Terminate),
        [Output::Close(StreamId(1)), Output::Stop]
    );
    for event in [
        Event::Open,
        Event::Terminate,
        Event::Say(message(1)),
        Event::Changed(TOOLS),
    ] {
        assert_eq!(session.on(event), []);
    }
}

#[test]
fn levels_are_those_of_the_protocol() {
    let names: Vec<&str> = LogLevel::ALL.iter().map(|level| level.as_str()).collect();
    assert_eq!(
        names,
        [
            "debug",
            "info",
            "notice",
            "warning",
            "error",
            "critical",
            "alert",
            "emergency"
        ]
    );
    assert!(LogLevel::ALL.is_sorted());
    assert!(
        names
            .iter()
            .all(|name| LogLevel::parse(name).map(LogLevel::as_str) == Some(name))
    );
    assert_eq!(LogLevel::parse("Debug"), None);
}

/// Reference model: the messages received by each stream, and the queue.
#[derive(Default)]
struct Reference {
    open: Vec<u64>,
    received: BTreeMap<u64, Vec<Bytes>>,
    waiting: VecDeque<Bytes>,
    next: u64,
    over: bool,
}

impl Reference {
    fn on(&mut self, event: &Event) {
        if self.over {
            return;
        }
        match event {
            Event::Open => {
                if self.open.len() == STREAMS {
                    self.open.remove(0);
                }
                self.next += 1;
                self.open.push(self.next);
                let all = self.waiting.drain(..).collect();
                self.received.insert(self.next, all);
            }
            Event::Closed(StreamId(id)) => self.open.retain(|open| open != id),
            Event::Say(message) => match self.open.last() {
                Some(id) => self.received.entry(*id).or_default().push(message.clone()),
                None => {
                    self.waiting.push_back(message.clone());
                    while self.waiting.len() > QUEUE
                        || self.waiting.iter().map(Bytes::len).sum::<usize>() > QUEUE_BYTES
                    {
                        self.waiting.pop_front();
                    }
                }
            },
            Event::Terminate => {
                self.over = true;
                self.open.clear();
                self.waiting.clear();
            }
            Event::SetLevel(_) | Event::Changed(_) | Event::Updated(_) | Event::Settled => {}
        }
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0_usize..40_000).prop_map(|n| Event::Say(Bytes::from(vec![b'x'; n]))),
        20 => (0_usize..100).prop_map(|n| Event::Say(message(n))),
        4 => Just(Event::Open),
        4 => (1_u64..12).prop_map(|n| Event::Closed(StreamId(n))),
        1 => Just(Event::SetLevel(LogLevel::Error)),
    ];
    let end = prop_oneof![3 => Just(None), 1 => Just(Some(Event::Terminate))];
    (prop::collection::vec(event, 0..200), end).prop_map(|(mut events, end)| {
        events.extend(end);
        events.push(Event::Open);
        events
    })
}

proptest! {
    #[test]
    fn behaves_as_the_plain_reference_does(events in events()) {
        let (mut session, mut reference) = (Session::default(), Reference::default());
        let mut received: BTreeMap<u64, Vec<Bytes>> = BTreeMap::new();
        for event in events {
            reference.on(&event);
            for output in session.on(event) {
                match output {
                    Output::Opened(id) => {
                        received.insert(id.0, Vec::new());
                    }
                    Output::Write(id, message) => {
                        prop_assert!(session.streams().contains(&id));
                        received.get_mut(&id.0).unwrap().push(message);
                    }
                    Output::Close(_) | Output::Pause(_) | Output::Forgot(_) | Output::Stop => {}
                }
            }
            let open: Vec<u64> = session.streams().iter().map(|id| id.0).collect();
            prop_assert_eq!(&open, &reference.open);
            prop_assert_eq!(session.waiting(), reference.waiting.len());
            prop_assert!(session.waiting() <= QUEUE);
        }
        prop_assert_eq!(received, reference.received);
        prop_assert_eq!(session.is_terminated(), reference.over);
    }
}
