//! Tests that a store that was lost or went back is not followed although others write to it, that what was served stays in
//! force, and that writes are answered with the cause.

use std::sync::{Arc, atomic::Ordering};

use toolgate_control_core::{
    Command, ObjectKey, OperatorObject, StoreRefusal,
    key::ROOT,
    port::{PublishedState, Store, StoreError, SubmitError, Txn, WriteOp},
};

use crate::fixture::{
    FaultyStore, HANG_GUARD, WritePathFixture, memory, organization, put, ready, server, token,
};

/// Control plane whose server shows that its state is served.
async fn furnished(store: &Arc<FaultyStore>) -> WritePathFixture {
    let plane = ready(store.clone()).await;
    let object = OperatorObject::Server(server("files"));
    let done = plane.create(object).await.unwrap();
    plane.shows(|state| state.revision() >= done.revision).await;
    plane
}

/// Waits until the control plane refuses its store. Returns the cause.
async fn refused(plane: &WritePathFixture) -> &'static str {
    let mut published = plane.writer.published.clone();
    let refused = published.wait_for(|it| it.refusal.is_some());
    let refused = tokio::time::timeout(HANG_GUARD, refused).await;
    let refused = refused.expect("the store is refused").unwrap();
    refused
        .refusal
        .as_deref()
        .map_or("none", StoreRefusal::cause)
}

/// Waits until the control plane has looked at the store several times.
async fn looked_at(store: &FaultyStore) {
    let looked = async {
        let before = store.lists.load(Ordering::Relaxed);
        while store.lists.load(Ordering::Relaxed) < before + 3 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let looked = tokio::time::timeout(HANG_GUARD, looked).await;
    assert!(looked.is_ok(), "the store is looked at");
}

/// Checks that the control plane serves what it served before, and says that it is out of order.
fn serves_as_before(plane: &WritePathFixture, before: &PublishedState) {
    let now = plane.published();
    assert!(Arc::ptr_eq(&now.state, &before.state));
    assert!(Arc::ptr_eq(
        &now.compiled.snapshot,
        &before.compiled.snapshot
    ));
    assert!(!plane.readiness.is_ready());
    let warnings = plane.readiness.warnings();
    let warned = warnings.iter().find(|it| it.reason == "STORE_NOT_FOLLOWED");
    assert!(warned.is_some_and(|it| it.is_failure), "{warnings:?}");
    let metrics = plane.metrics.render();
    let mut lines = metrics.lines();
    let gauge = lines.find(|line| line.starts_with("toolgate_store_refused"));
    assert!(gauge.is_some_and(|line| line.ends_with(" 1")), "{metrics}");
}

/// Checks that a write is refused with the cause, and without a request to the store.
async fn refuses_writes(plane: &WritePathFixture, store: &FaultyStore, cause: &str) {
    let commits = store.commits.load(Ordering::Relaxed);
    let one = plane.create(OperatorObject::Token(token("one")));
    let two = plane.create(OperatorObject::Token(token("two")));
    let epoch = plane.run(Command::BumpEpoch);
    let (one, two, epoch) = tokio::join!(one, two, epoch);
    for written in [one, two, epoch] {
        let Err(SubmitError::Store(StoreError::NotFollowed(refusal))) = written else {
            panic!("{written:?}");
        };
        assert_eq!(refusal.cause(), cause);
        assert!(refusal.to_string().contains("`--new-epoch`"), "{refusal}");
    }
    let read = plane.writer.catch_up(&[]).await;
    assert!(matches!(read, Err(StoreError::NotFollowed(_))), "{read:?}");
    assert_eq!(store.commits.load(Ordering::Relaxed), commits);
}

/// Writes so many changes that the revision of the store passes `revision`.
async fn write_past(other: &WritePathFixture, revision: u64) {
    for number in 0.. {
        let object = organization(&format!("other-{number}"));
        let done = other.create(object.into()).await.unwrap();
        if done.revision > revision {
            return;
        }
    }
}

#[tokio::test]
async fn a_store_that_was_refused_is_not_followed_after_others_have_written_to_it() {
    let store = FaultyStore::new();
    let plane = furnished(&store).await;
    let known = plane.published();
    let original = store.inner();
    let copy = memory();
    let other = ready(Arc::clone(&copy)).await;
    store.restore(Arc::clone(&copy));
    plane.resync.notify_one();
    let cause = refused(&plane).await;
    write_past(&other, known.state.revision() + 20).await;
    looked_at(&store).await;
    serves_as_before(&plane, &known);
    refuses_writes(&plane, &store, cause).await;

    // Also the right store is followed after a restart only.
    store.restore(original);
    looked_at(&store).await;
    serves_as_before(&plane, &known);
    let restarted = ready(store.clone()).await;
    assert_eq!(restarted.published().state.servers, known.state.servers);

    // An operator begins an epoch.
    store.restore(copy);
    other.run(Command::BumpEpoch).await.unwrap();
    plane
        .shows(|state| state.epoch() == 2 && state.servers.is_empty())
        .await;
    assert!(plane.published().refusal.is_none());
    plane.readiness.ready().await;
    plane.create(organization("new").into()).await.unwrap();
    let metrics = plane.metrics.render();
    let mut lines = metrics.lines();
    let gauge = lines.find(|line| line.starts_with("toolgate_store_refused"));
    assert!(gauge.is_some_and(|line| line.ends_with(" 0")), "{metrics}");
}

#[tokio::test]
async fn another_history_with_later_revisions_is_not_followed() {
    let store = FaultyStore::new();
    let plane = furnished(&store).await;
    let known = plane.published();
    let copy = memory();
    let other = ready(Arc::clone(&copy)).await;
    // Everything in it is later before this control plane sees it.
    write_past(&other, known.state.revision() + 20).await;
    store.restore(copy);
    plane.resync.notify_one();
    let cause = refused(&plane).await;
    serves_as_before(&plane, &known);
    refuses_writes(&plane, &store, cause).await;
}

#[tokio::test]
async fn a_write_that_finds_another_store_is_answered_with_the_cause() {
    let store = FaultyStore::new();
    let plane = furnished(&store).await;
    let copy = memory();
    let _other = ready(Arc::clone(&copy)).await;
    store.restore(copy);
    let written = plane.create(organization("late").into()).await;
    assert!(
        matches!(written, Err(SubmitError::Store(StoreError::NotFollowed(_)))),
        "{written:?}"
    );
}

async fn delete(store: &dyn Store, keys: impl IntoIterator<Item = String>) {
    let writes = keys.into_iter().map(WriteOp::Delete).collect();
    let compares = Vec::new();
    store.commit(Txn { compares, writes }).await.unwrap();
}

#[tokio::test]
async fn a_deletion_of_the_keys_of_the_deployment_is_a_lost_store_and_no_empty_configuration() {
    let identity = [ObjectKey::Marker, ObjectKey::EpochStart].map(|key| key.to_string());
    for keys in [None, Some(&identity[..1]), Some(&identity[1..])] {
        let store = FaultyStore::new();
        let plane = furnished(&store).await;
        let known = plane.published();
        let all = store.list_keys(ROOT, None, 1000, None).await.unwrap();
        let all: Vec<String> = all.keys.into_iter().map(|it| it.key).collect();
        let deleted = keys.map_or_else(|| all.clone(), <[String]>::to_vec);
        delete(store.as_ref(), deleted).await;
        assert_eq!(refused(&plane).await, "LOST");
        serves_as_before(&plane, &known);
        refuses_writes(&plane, &store, "LOST").await;
        // Another control plane, which knows of nothing, begins a deployment in it.
        delete(store.as_ref(), all).await;
        let other = ready(store.clone()).await;
        write_past(&other, known.state.revision() + 20).await;
        looked_at(&store).await;
        serves_as_before(&plane, &known);
    }
}

#[tokio::test]
async fn a_store_whose_keys_were_deleted_unseen_is_lost() {
    let store = FaultyStore::new();
    let plane = furnished(&store).await;
    let known = plane.published();
    let empty = memory();
    for number in 0..=known.state.revision() {
        let heartbeat = put("/elsewhere", &number.to_be_bytes());
        empty.commit(heartbeat).await.unwrap();
    }
    store.restore(empty);
    plane.resync.notify_one();
    assert_eq!(refused(&plane).await, "LOST");
    serves_as_before(&plane, &known);
}
