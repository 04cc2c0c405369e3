//! Tests of message delivery: a server request outside of a call's stream is delivered only if exactly one call is in
//! flight.

use super::*;

struct RecordingReceiver(Mutex<usize>);

impl ServerMessageReceiver for RecordingReceiver {
    fn deliver(&self, _message: &Bytes, _is_request: bool) -> bool {
        *self.0.lock().unwrap() += 1;
        true
    }
}

#[test]
fn a_server_request_is_delivered_only_to_a_sole_call() {
    let calls = SharedStreamReceivers::default();
    let message = Bytes::from_static(b"{}");
    assert!(!calls.deliver_to_sole_call(&message, true));
    let first = Arc::new(RecordingReceiver(Mutex::default()));
    let receiver: Arc<dyn ServerMessageReceiver> = first.clone();
    calls.register(&receiver);
    assert!(calls.deliver_to_sole_call(&message, true));
    let second: Arc<dyn ServerMessageReceiver> = Arc::new(RecordingReceiver(Mutex::default()));
    calls.register(&second);
    assert!(!calls.deliver_to_sole_call(&message, true));
    drop(second);
    assert!(calls.deliver_to_sole_call(&message, true));
    assert_eq!(*first.0.lock().unwrap(), 2);
    drop((first, receiver));
    assert!(!calls.deliver_to_sole_call(&message, true));
}

#[test]
fn the_stream_is_claimed_by_one_call_at_a_time() {
    let calls = SharedStreamReceivers::default();
    assert!(calls.listen());
    assert!(!calls.listen());
    calls.release_stream();
    assert!(calls.listen());
}

#[test]
fn the_call_generation_changes_when_a_call_begins_or_the_last_one_ends() {
    let calls = SharedStreamReceivers::default();
    assert_eq!(calls.generation(), None);
    let first: Arc<dyn ServerMessageReceiver> = Arc::new(RecordingReceiver(Mutex::default()));
    calls.register(&first);
    let generation = calls.generation();
    assert!(generation.is_some() && generation == calls.generation());
    let second: Arc<dyn ServerMessageReceiver> = Arc::new(RecordingReceiver(Mutex::default()));
    calls.register(&second);
    assert_ne!(calls.generation(), generation);
    drop(first);
    drop(second);
    assert_eq!(calls.generation(), None);
}
