//! Tests of the session machine: each message goes to exactly one stream or waits for one, and all queues are bounded.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::notify::debouncer::MAX_PENDING_UPDATES;

const TOOLS: ListChanges = ListChanges {
    tools: true,
    ..ListChanges::NONE
};

const START_INITIAL_DELAY: Output = Output::StartDelay(DebounceDelay::Initial);
const START_COOLDOWN: Output = Output::StartDelay(DebounceDelay::Cooldown);

fn message(n: usize) -> Bytes {
    Bytes::from(format!("m{n}"))
}

#[test]
fn queued_messages_are_written_to_the_first_stream_in_order() {
    let mut session = ClientSessionMachine::default();
    assert_eq!(session.on(Event::Send(message(1))), []);
    assert_eq!(session.on(Event::Send(message(2))), []);
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
        session.on(Event::Send(message(3))),
        [Output::Write(one, message(3))]
    );
}

#[test]
fn any_number_of_changes_is_one_notification() {
    let mut session = ClientSessionMachine::default();
    assert_eq!(session.on(Event::Changed(TOOLS)), [START_INITIAL_DELAY]);
    assert_eq!(session.on(Event::Changed(TOOLS)), []);
    // Without a stream the notification stays pending.
    assert_eq!(session.on(Event::DelayElapsed), []);
    let opened = session.on(Event::Open);
    let [
        Output::Opened(stream),
        Output::Write(to, notice),
        START_COOLDOWN,
    ] = opened.as_slice()
    else {
        panic!("{opened:?}");
    };
    assert_eq!(stream, to);
    assert_eq!(
        &notice[..],
        br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#
    );
    // The next notification is sent only after the delay.
    assert_eq!(session.on(Event::Changed(TOOLS)), []);
    let told = session.on(Event::DelayElapsed);
    assert!(
        matches!(told[..], [Output::Write(..), START_COOLDOWN]),
        "{told:?}"
    );
    assert_eq!(session.on(Event::DelayElapsed), []);
    assert_eq!(session.on(Event::Changed(TOOLS)), [START_INITIAL_DELAY]);
}

#[test]
fn each_list_kind_and_resource_has_its_own_notification() {
    let mut session = ClientSessionMachine::default();
    session.on(Event::Open);
    session.on(Event::Changed(ListChanges::ALL));
    for uri in ["a:2", "a:1", "a:2"] {
        session.on(Event::Updated(uri.into()));
    }
    let told: Vec<String> = session
        .on(Event::DelayElapsed)
        .into_iter()
        .filter(|output| *output != START_COOLDOWN)
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
fn queued_resource_updates_are_bounded() {
    let mut session = ClientSessionMachine::default();
    for n in 0..2 * MAX_PENDING_UPDATES {
        session.on(Event::Updated(format!("a:{n}").into()));
    }
    assert_eq!(session.pending_updates(), MAX_PENDING_UPDATES);
    session.on(Event::DelayElapsed);
    assert_eq!(session.on(Event::Open).len(), 1 + MAX_PENDING_UPDATES + 1);
    assert_eq!(session.pending_updates(), 0);
}

#[test]
fn the_oldest_stream_is_closed_at_the_limit() {
    let mut session = ClientSessionMachine::default();
    for _ in 0..MAX_STREAMS {
        session.on(Event::Open);
    }
    let newest = StreamId(MAX_STREAMS as u64 + 1);
    assert_eq!(
        session.on(Event::Open),
        [Output::Close(StreamId(1)), Output::Opened(newest)]
    );
    assert_eq!(
        session.on(Event::Send(message(1))),
        [Output::Write(newest, message(1))]
    );
}

#[test]
fn a_closed_session_ignores_all_events() {
    let mut session = ClientSessionMachine::default();
    session.on(Event::Open);
    assert_eq!(
        session.on(Event::Terminate),
        [Output::Close(StreamId(1)), Output::Stop]
    );
    for event in [
        Event::Open,
        Event::Terminate,
        Event::Send(message(1)),
        Event::Changed(TOOLS),
    ] {
        assert_eq!(session.on(event), []);
    }
}

#[test]
fn log_levels_are_those_of_the_protocol() {
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
struct ReferenceModel {
    open: Vec<u64>,
    received: BTreeMap<u64, Vec<Bytes>>,
    waiting: VecDeque<Bytes>,
    next: u64,
    over: bool,
}

impl ReferenceModel {
    fn on(&mut self, event: &Event) {
        if self.over {
            return;
        }
        match event {
            Event::Open => {
                if self.open.len() == MAX_STREAMS {
                    self.open.remove(0);
                }
                self.next += 1;
                self.open.push(self.next);
                let all = self.waiting.drain(..).collect();
                self.received.insert(self.next, all);
            }
            Event::Closed(StreamId(id)) => self.open.retain(|open| open != id),
            Event::Send(message) => match self.open.last() {
                Some(id) => self.received.entry(*id).or_default().push(message.clone()),
                None => {
                    self.waiting.push_back(message.clone());
                    while self.waiting.len() > MAX_QUEUED_MESSAGES
                        || self.waiting.iter().map(Bytes::len).sum::<usize>() > MAX_QUEUED_BYTES
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
            Event::SetLevel(_) | Event::Changed(_) | Event::Updated(_) | Event::DelayElapsed => {}
        }
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0_usize..40_000).prop_map(|n| Event::Send(Bytes::from(vec![b'x'; n]))),
        20 => (0_usize..100).prop_map(|n| Event::Send(message(n))),
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
    fn the_session_behaves_like_a_simple_model(events in events()) {
        let (mut session, mut reference) = (ClientSessionMachine::default(), ReferenceModel::default());
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
                    Output::Close(_) | Output::StartDelay(_) | Output::Dropped(_) | Output::Stop => {}
                }
            }
            let open: Vec<u64> = session.streams().iter().map(|id| id.0).collect();
            prop_assert_eq!(&open, &reference.open);
            prop_assert_eq!(session.queued(), reference.waiting.len());
            prop_assert!(session.queued() <= MAX_QUEUED_MESSAGES);
        }
        prop_assert_eq!(received, reference.received);
        prop_assert_eq!(session.is_terminated(), reference.over);
    }
}
