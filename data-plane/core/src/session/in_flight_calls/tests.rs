//! Tests of message delivery: a server request outside of a call's stream is delivered only if exactly one call is in
//! flight.

use super::*;

struct RecordingReceiver(Mutex<usize>);

impl ServerMessageReceiver for RecordingReceiver {
    fn deliver(&self, _message: &Bytes, _asks: bool) -> bool {
        *self.0.lock().unwrap() += 1;
        true
    }
}

#[test]
fn a_server_request_is_delivered_only_to_a_sole_call() {
    let callers = InFlightCalls::default();
    let message = Bytes::from_static(b"{}");
    assert!(!callers.deliver_to_sole_call(&message, true));
    let first = Arc::new(RecordingReceiver(Mutex::default()));
    let ear: Arc<dyn ServerMessageReceiver> = first.clone();
    callers.register(&ear);
    assert!(callers.deliver_to_sole_call(&message, true));
    let second: Arc<dyn ServerMessageReceiver> = Arc::new(RecordingReceiver(Mutex::default()));
    callers.register(&second);
    assert!(!callers.deliver_to_sole_call(&message, true));
    drop(second);
    assert!(callers.deliver_to_sole_call(&message, true));
    assert_eq!(*first.0.lock().unwrap(), 2);
    drop((first, ear));
    assert!(!callers.deliver_to_sole_call(&message, true));
}

#[test]
fn the_stream_is_claimed_by_one_call_at_a_time() {
    let callers = InFlightCalls::default();
    assert!(callers.listen());
    assert!(!callers.listen());
    callers.release_stream();
    assert!(callers.listen());
}

#[test]
fn the_call_generation_changes_when_a_call_begins_or_the_last_one_ends() {
    let callers = InFlightCalls::default();
    assert_eq!(callers.generation(), None);
    let first: Arc<dyn ServerMessageReceiver> = Arc::new(RecordingReceiver(Mutex::default()));
    callers.register(&first);
    let flying = callers.generation();
    assert!(flying.is_some() && flying == callers.generation());
    let second: Arc<dyn ServerMessageReceiver> = Arc::new(RecordingReceiver(Mutex::default()));
    callers.register(&second);
    assert_ne!(callers.generation(), flying);
    drop(first);
    drop(second);
    assert_eq!(callers.generation(), None);
}
