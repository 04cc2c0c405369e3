//! Tests that writes that wait at the same time share commits, and that none of them changes the result of another.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};
use toolgate_control_core::{
    Command, ObjectKey, OperatorObject, Rejection,
    port::{MAX_TXN_OPS, StoreError, SubmitError, Txn, TxnCompare, WriteOp},
};

use super::{ANSWER_GRACE, GroupTxn, WRITE_TIMEOUT, write_queue_timeout};
use crate::fixture::{
    FaultyStore, HANG_GUARD, WritePathFixture, gateway, memory, name, ready, server, token,
};

const WRITES: usize = 60;

async fn create_tokens(plane: &WritePathFixture, prefix: &str) -> Vec<super::WriteResult> {
    let creates = (0..WRITES).map(|n| {
        let token = token(&format!("{prefix}{n}"));
        plane.create(OperatorObject::Token(token))
    });
    join_all(creates).await
}

#[tokio::test]
async fn writes_that_wait_at_the_same_time_share_commits() {
    let plane = ready(memory()).await;
    let before = plane.published().state.revision();
    let written = create_tokens(&plane, "t").await;
    let revisions: BTreeSet<u64> = written
        .into_iter()
        .map(|written| written.unwrap().revision)
        .collect();
    assert!(revisions.len() * 4 < WRITES, "{revisions:?}");
    let last = *revisions.last().unwrap();
    assert_eq!(last - before, revisions.len() as u64);
    plane.shows(|state| state.revision() >= last).await;
    let state = Arc::clone(&plane.published().state);
    assert_eq!(state.tokens.len(), WRITES);
    // Each write has an entry of its own in the version log.
    let log: Vec<&str> = state
        .history
        .iter()
        .flat_map(|(_, record)| record.object.changes.iter().map(String::as_str))
        .filter(|line| line.starts_with("create token"))
        .collect();
    let distinct: BTreeSet<&str> = log.iter().copied().collect();
    assert_eq!((log.len(), distinct.len()), (WRITES, WRITES));
    let uids: BTreeSet<_> = state.tokens.iter().map(|(_, it)| it.meta.uid).collect();
    assert_eq!(uids.len(), WRITES);
}

#[tokio::test]
async fn of_writes_of_the_same_object_one_wins_and_the_others_are_rejected() {
    let plane = ready(memory()).await;
    let creates = (0..20).map(|_| plane.create(OperatorObject::Server(server("one"))));
    let written = join_all(creates).await;
    let taken = written.iter().filter(|written| {
        matches!(
            written,
            Err(SubmitError::Rejected(Rejection::AlreadyExists(_)))
        )
    });
    assert_eq!(taken.count(), 19, "{written:?}");
}

#[tokio::test]
async fn a_rejected_write_does_not_affect_those_that_wait_with_it() {
    let plane = ready(memory()).await;
    plane
        .create(OperatorObject::Server(server("files")))
        .await
        .unwrap();
    let creates = (0..20).map(|n| {
        let over = if n % 5 == 2 { "gone" } else { "files" };
        plane.create(OperatorObject::Gateway(gateway(&format!("g{n}"), over)))
    });
    for (n, written) in join_all(creates).await.into_iter().enumerate() {
        assert_eq!(written.is_err(), n % 5 == 2, "{n}: {written:?}");
    }
}

/// A write may depend on an earlier write of the same group.
#[tokio::test]
async fn a_write_sees_those_that_arrived_before_it() {
    let plane = ready(memory()).await;
    let objects = (0..10).flat_map(|n| {
        let id = format!("s{n}");
        let server = OperatorObject::Server(server(&id));
        let gateway = OperatorObject::Gateway(gateway(&format!("g{n}"), &id));
        [server, gateway]
    });
    for written in join_all(objects.map(|object| plane.create(object))).await {
        written.unwrap();
    }
}

#[tokio::test]
async fn a_group_that_other_control_planes_overtake_is_decided_again() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    store.overtaken.store(5, Ordering::Relaxed);
    for written in create_tokens(&plane, "t").await {
        written.unwrap();
    }
    assert_eq!(store.overtaken.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_two_control_planes_do_not_overwrite_each_other() {
    let store = memory();
    let planes = [ready(Arc::clone(&store)).await, ready(store).await];
    let both = planes.iter().zip(["a", "b"]);
    let written = join_all(both.map(|(plane, prefix)| create_tokens(plane, prefix))).await;
    let mut last = 0;
    for written in written.into_iter().flatten() {
        last = last.max(written.unwrap().revision);
    }
    for plane in &planes {
        plane.shows(|state| state.revision() >= last).await;
        let state = Arc::clone(&plane.published().state);
        assert_eq!(state.tokens.len(), 2 * WRITES);
        let log = state.history.iter();
        let lines = log.flat_map(|(_, record)| record.object.changes.iter());
        let tokens = lines.filter(|line| line.starts_with("create token"));
        assert_eq!(tokens.count(), 2 * WRITES);
    }
}

#[tokio::test]
async fn callers_that_go_away_do_not_affect_those_that_wait_with_them() {
    let plane = ready(memory()).await;
    let objects = (0..WRITES).map(|n| OperatorObject::Token(token(&format!("t{n}"))));
    let mut waiting: Vec<_> = objects.map(|it| Box::pin(plane.create(it))).collect();
    // The first caller has the turn, and its commit is under way.
    for create in &mut waiting {
        let _pending = futures_util::poll!(create);
    }
    drop(waiting.drain(..10));
    for written in timeout(HANG_GUARD, join_all(waiting)).await.unwrap() {
        written.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_of_a_group_is_not_decided_after_the_deadline_of_its_caller() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    // Each write is rejected, and each rejection reads the store first: far too slow for all of them.
    let read = Duration::from_millis(500);
    let millis = u64::try_from(read.as_millis()).unwrap();
    store.list_delay_millis.store(millis, Ordering::Relaxed);
    let start = Instant::now();
    let creates = (0..WRITES).map(|n| {
        let over_nothing = gateway(&format!("g{n}"), "gone");
        let create = plane.create(OperatorObject::Gateway(over_nothing));
        async { (create.await, start.elapsed()) }
    });
    let answers = join_all(creates).await;
    let mut decided = 0;
    for (answer, after) in answers {
        match answer {
            // The last decision may begin shortly before the deadline.
            Err(SubmitError::Rejected(_)) => {
                decided += 1;
                assert!(after < WRITE_TIMEOUT + 2 * read, "{after:?}");
            }
            other => {
                assert_eq!(other, Err(write_queue_timeout()));
                assert!(after < WRITE_TIMEOUT + ANSWER_GRACE, "{after:?}");
            }
        }
    }
    assert!(0 < decided && decided < WRITES, "{decided} of {WRITES}");
}

#[tokio::test]
async fn a_lost_answer_is_told_to_all_callers_of_the_group() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    store.loses_responses.store(true, Ordering::Relaxed);
    for written in create_tokens(&plane, "t").await {
        let unknown = Err(SubmitError::Store(StoreError::Unavailable(
            "the answer was lost".to_owned(),
        )));
        assert_eq!(written, unknown);
    }
}

#[tokio::test]
async fn a_removal_succeeds_in_a_full_store_although_others_wait_with_it() {
    let store = FaultyStore::new();
    let plane = ready(store.clone()).await;
    let done = plane
        .create(OperatorObject::Server(server("old")))
        .await
        .unwrap();
    plane.shows(|state| state.revision() >= done.revision).await;
    store.is_full.store(true, Ordering::Relaxed);
    let key = ObjectKey::Server(name("old"));
    let delete = Command::Delete {
        key,
        expected: None,
    };
    let (first, second, deleted) = tokio::join!(
        plane.create(OperatorObject::Token(token("t1"))),
        plane.create(OperatorObject::Token(token("t2"))),
        plane.run(delete),
    );
    assert!(
        matches!(first, Err(SubmitError::Store(StoreError::NoSpace(_)))),
        "{first:?}"
    );
    assert!(deleted.is_ok(), "{deleted:?} {second:?}");
}

fn txn(prefix: &str, compares: usize, writes: usize) -> Txn {
    let key = |n: usize| format!("{prefix}{n}");
    Txn {
        compares: (0..compares)
            .map(|n| TxnCompare::ModRevision(key(n), 1))
            .collect(),
        writes: (0..writes).map(|n| WriteOp::Delete(key(n))).collect(),
    }
}

#[test]
fn a_group_has_no_more_operations_than_a_store_accepts() {
    let mut group = GroupTxn::default();
    assert!(group.add(txn("a", 1, MAX_TXN_OPS - 1)));
    assert!(!group.add(txn("b", 1, 2)), "two more writes are too many");
    // Keys that the group writes need neither another write nor a compare.
    assert!(group.add(txn("a", 5, 5)));
    assert!(group.add(txn("b", 0, 1)));
    let made = group.into_txn();
    assert_eq!(made.writes.len(), MAX_TXN_OPS);
    assert_eq!(made.compares.len(), 1);
}
