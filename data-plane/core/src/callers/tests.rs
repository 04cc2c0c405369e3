//! Tests of message delivery: a server request outside of a call's stream is delivered only if exactly one call is in
//! flight.

use super::*;

struct Hears(Mutex<usize>);

impl Ear for Hears {
    fn hear(&self, _message: &Bytes, _asks: bool) -> bool {
        *self.0.lock().unwrap() += 1;
        true
    }
}

#[test]
fn only_a_call_that_is_alone_is_asked() {
    let callers = Callers::default();
    let message = Bytes::from_static(b"{}");
    assert!(!callers.hear(&message, true));
    let first = Arc::new(Hears(Mutex::default()));
    let ear: Arc<dyn Ear> = first.clone();
    callers.enter(&ear);
    assert!(callers.hear(&message, true));
    let second: Arc<dyn Ear> = Arc::new(Hears(Mutex::default()));
    callers.enter(&second);
    assert!(!callers.hear(&message, true));
    drop(second);
    assert!(callers.hear(&message, true));
    assert_eq!(*first.0.lock().unwrap(), 2);
    drop((first, ear));
    assert!(!callers.hear(&message, true));
}

#[test]
fn one_listens_at_a_time() {
    let callers = Callers::default();
    assert!(callers.listen());
    assert!(!callers.listen());
    callers.listened();
    assert!(callers.listen());
}

#[test]
fn who_is_in_flight_stays_the_same_until_another_begins_or_the_last_ends() {
    let callers = Callers::default();
    assert_eq!(callers.flying(), None);
    let first: Arc<dyn Ear> = Arc::new(Hears(Mutex::default()));
    callers.enter(&first);
    let flying = callers.flying();
    assert!(flying.is_some() && flying == callers.flying());
    let second: Arc<dyn Ear> = Arc::new(Hears(Mutex::default()));
    callers.enter(&second);
    assert_ne!(callers.flying(), flying);
    drop(first);
    drop(second);
    assert_eq!(callers.flying(), None);
}
