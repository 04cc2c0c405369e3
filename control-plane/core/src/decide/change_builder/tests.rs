//! Tests of the bookkeeping of changes: guards, numbers of the version log, request records, and the deletion of expired
//! records within the limits of a transaction.

use toolgate_model::ProxyStatus;

use super::*;
use crate::{
    Command, ObjectEvent, RequestId, decide,
    fixture::{StoreFixture, context, slug},
};

fn record(id: &str) -> ObjectKey {
    ObjectKey::Expelled(slug(id))
}

fn numbered(count: usize) -> impl ExactSizeIterator<Item = ObjectKey> {
    (0..count).map(|number| record(&format!("p{number}")))
}

#[test]
fn references_are_guarded_one_by_one_up_to_twenty_four() {
    let (state, context) = (StoreState::default(), context(1));
    let guarded = |count| {
        let mut draft = ChangeBuilder::new(&state, &context);
        draft.guard_references(numbered(count));
        (draft.guards.len(), draft.tolerated_commits)
    };
    assert_eq!(guarded(0), (0, None));
    assert_eq!(guarded(3), (3, None));
    assert_eq!(guarded(24), (24, None));
    assert_eq!(guarded(25), (0, Some(0)));
}

#[test]
fn the_number_of_a_version_record_is_its_time_followed_by_twenty_bits() {
    let (state, context) = (StoreState::default(), context(1_700_000_000_000));
    let draft = ChangeBuilder::new(&state, &context);
    let mut numbers = std::collections::BTreeSet::new();
    for key in numbered(16) {
        let number = draft.next_version_record(&key);
        assert_eq!(number >> 20, 1_700_000_000_000, "{key}");
        numbers.insert(number);
    }
    assert_eq!(numbers.len(), 16);
}

#[test]
fn a_version_record_passes_over_numbers_of_records_that_cannot_be_read() {
    let (mut state, context) = (StoreState::default(), context(1_700_000_000_000));
    let subject = record("p1");
    let first = ChangeBuilder::new(&state, &context).next_version_record(&subject);
    for (revision, number) in [(1, first), (2, first + 1)] {
        let unreadable = ObjectEvent::Put {
            key: ObjectKey::History(number).to_string(),
            modified: revision,
            object: Err("poisoned".to_owned()),
        };
        // The revision of the state, which the salt depends on, stays that of an empty store.
        state.apply([unreadable], 0);
    }
    let next = ChangeBuilder::new(&state, &context).next_version_record(&subject);
    assert_eq!(next, first + 2);
}

#[test]
fn expired_records_are_deleted_as_far_as_a_transaction_has_room() {
    let (state, context) = (StoreState::default(), context(1));
    for (puts, deletes, guards, room) in [
        (0, 0, 0, 20),
        (60, 30, 0, 10),
        (90, 20, 0, 0),
        (0, 0, 80, 8),
        (0, 0, 97, 0),
    ] {
        let mut draft = ChangeBuilder::new(&state, &context);
        for key in numbered(puts) {
            draft.put_unguarded(key, ControlObject::Expelled(Timestamp(1)));
        }
        numbered(deletes).for_each(|key| draft.delete_unguarded(key));
        numbered(guards).for_each(|key| draft.guard(&key));
        assert_eq!(draft.sweep_room(), room, "{puts} {deletes} {guards}");
    }
}

#[test]
fn an_expired_record_that_the_change_writes_is_not_deleted_by_it() {
    let mut world = StoreFixture::with(&["acme"]);
    for id in ["again", "over"] {
        let key = record(id).to_string();
        world.force(&key, ControlObject::Expelled(Timestamp(10)));
    }
    let context = context(20);
    let mut draft = ChangeBuilder::new(&world.state, &context);
    draft.put(record("again"), ControlObject::Expelled(Timestamp(30)));
    let change = draft.finish(record("again"));
    assert_eq!(change.deletes, [record("over")]);
}

#[test]
fn a_proxy_that_was_silent_for_long_and_reports_again_keeps_its_record() {
    let mut world = StoreFixture::with(&["acme"]);
    let status = |last_seen: u64| ProxyStatus {
        id: slug("p1"),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: Timestamp(1),
        last_seen: Timestamp(last_seen),
        connected: true,
        stream_started: Timestamp(last_seen),
        held: toolgate_model::Version::default(),
        acked: toolgate_model::Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    };
    world.run(Command::RecordProxy(status(1))).unwrap();
    let now = Timestamp(1).after(limits::PROXY_RETENTION * 3);
    let again = Command::RecordProxy(status(now.0));
    let change = decide(&world.state, &again, &context(now.0)).unwrap();
    assert_eq!(change.puts.len(), 1);
    assert_eq!(change.deletes, []);
}

#[test]
fn a_request_is_recorded_with_what_it_deletes_and_not_without_a_change() {
    let request = RequestId {
        id: "r1".to_owned(),
        digest: Digest::of_bytes(b"request"),
    };
    let context = CommandContext {
        request: Some(request.clone()),
        ..context(1)
    };
    let state = StoreState::default();
    let nothing = ChangeBuilder::new(&state, &context).finish(record("p1"));
    assert!(nothing.is_empty());
    let mut deleting = ChangeBuilder::new(&state, &context);
    deleting.delete_unguarded(record("p1"));
    let change = deleting.finish(record("p1"));
    let written: Vec<_> = change.puts.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(written, [request.key(&context.author)]);
    assert_eq!(change.deletes, [record("p1")]);
}

/// A commit writes at most a hundred keys.
#[test]
fn a_count_of_keys_tolerates_the_writes_that_leave_room_for_one_more() {
    let (state, context) = (StoreState::default(), context(1));
    for (found, revision) in [(0, 49), (899, 41), (900, 40), (999, 40)] {
        let mut draft = ChangeBuilder::new(&state, &context);
        draft.guard_count_of("/v1/some/".to_owned(), 40, found, 1_000);
        let guard = PrefixGuard {
            prefix: "/v1/some/".to_owned(),
            revision,
        };
        assert_eq!(draft.finish(record("p1")).prefix_guards, [guard], "{found}");
    }
}
