//! Tests that the published state converges to the store under any faults of the watch, and that an unreadable entry
//! affects no other object.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use toolgate_control_core::{
    Command, ControlObject, ObjectKey, OperatorObject,
    port::{Store, Txn, TxnOutcome, WriteOp},
};
use toolgate_model::{ProxyStatus, Timestamp, Version, change_log::MAX_CHANGES};

use crate::{
    fixture::{
        FaultyStore, HANG_GUARD, WritePathFixture, catalogue, gateway, memory, name, organization,
        put, ready, server, slug, start, token,
    },
    record_codec,
};

mod over_etcd;

async fn furnished(store: Arc<dyn Store>) -> WritePathFixture {
    let plane = ready(store).await;
    plane
        .create(OperatorObject::Server(server("files")))
        .await
        .unwrap();
    plane
        .run(Command::RecordDefinitions(catalogue("files")))
        .await
        .unwrap();
    let done = plane
        .create(OperatorObject::Gateway(gateway("tools", "files")))
        .await
        .unwrap();
    plane.shows(|state| state.revision() >= done.revision).await;
    plane
}

#[tokio::test]
async fn events_lost_by_the_watch_are_found_by_a_full_listing() {
    let store = FaultyStore::new();
    let plane = furnished(store.clone()).await;
    store.drops_one_in.store(3, Ordering::Relaxed);
    let lossy = start(store.clone());
    lossy.readiness.ready().await;
    for n in 0..30 {
        plane
            .create(OperatorObject::Token(token(&format!("t{n}"))))
            .await
            .unwrap();
    }
    for n in 0..10 {
        let key = ObjectKey::Token(name(&format!("t{n}")));
        plane
            .run(Command::Delete {
                key,
                expected: None,
            })
            .await
            .unwrap();
    }
    let last = plane.writer.state_at(0).await.revision();
    lossy.shows(|state| state.revision() >= last.min(40)).await;
    lossy.resync.notify_one();
    plane.shows(|state| state.tokens.len() == 20).await;
    lossy.shows(|state| state.tokens.len() == 20).await;
    let (should, is) = (plane.published(), lossy.published());
    assert_eq!(
        is.compiled.snapshot.entries,
        should.compiled.snapshot.entries
    );
    let metrics = lossy.metrics.render();
    let repairs = metrics
        .lines()
        .find(|line| line.starts_with("toolgate_store_repairs"));
    assert!(
        repairs.is_some_and(|line| !line.ends_with(" 0")),
        "{metrics}"
    );
}

#[tokio::test]
async fn after_compaction_during_a_disconnect_the_state_is_equal_including_deletions() {
    let store = FaultyStore::new();
    let plane = furnished(store.clone()).await;
    let away = start(store.clone());
    away.readiness.ready().await;
    for n in 0..20 {
        plane
            .create(OperatorObject::Token(token(&format!("t{n}"))))
            .await
            .unwrap();
    }
    away.shows(|state| state.tokens.len() == 20).await;
    drop(away);
    for n in 0..5 {
        let key = ObjectKey::Token(name(&format!("t{n}")));
        plane
            .run(Command::Delete {
                key,
                expected: None,
            })
            .await
            .unwrap();
    }
    plane.shows(|state| state.tokens.len() == 15).await;
    store
        .compact(plane.published().state.revision())
        .await
        .unwrap();
    let back = start(store);
    back.readiness.ready().await;
    back.shows(|state| state.tokens.len() == 15).await;
    assert_eq!(back.published().state, plane.published().state);
    assert_eq!(
        back.published().compiled.snapshot,
        plane.published().compiled.snapshot
    );
}

#[tokio::test]
async fn a_watch_that_cannot_be_opened_is_retried_until_it_opens() {
    let store = FaultyStore::new();
    store.watch_unavailable.store(true, Ordering::Relaxed);
    let plane = start(store.clone());
    plane.readiness.ready().await;
    let other = ready(memory()).await;
    drop(other);
    store
        .commit(put("/v1/desired/acme/gateway/poison", b"?"))
        .await
        .unwrap();
    store.watch_unavailable.store(false, Ordering::Relaxed);
    plane.shows(|state| state.quarantine.len() == 1).await;
}

#[tokio::test]
async fn an_undecodable_external_write_affects_no_other_object() {
    let store = memory();
    let plane = furnished(Arc::clone(&store)).await;
    let before = plane.published();
    let whole = record_codec::encode(
        &before
            .state
            .object(&ObjectKey::Gateway(name("tools")))
            .unwrap(),
        Timestamp(1),
        "system",
    );
    let poison: [(&str, &[u8]); 7] = [
        (
            "/v1/desired/acme/gateway/truncated",
            &whole[..whole.len() / 2],
        ),
        ("/v1/desired/acme/gateway/renamed", &whole),
        ("/v1/desired/acme/server/empty", b""),
        ("/v1/desired/acme/token/random", b"\xff\xfe\xfd\x00\x01"),
        ("/v1/desired/acme/unknown/kind", b"x"),
        ("/v1/observed/catalogues/acme/files/too/deep", b"x"),
        ("/v1/nonsense", b"\x08\x63"),
    ];
    for (key, value) in poison {
        store.commit(put(key, value)).await.unwrap();
    }
    plane
        .shows(|state| state.quarantine.len() == poison.len())
        .await;
    assert_eq!(
        plane.published().compiled.snapshot.entries,
        before.compiled.snapshot.entries
    );

    let fresh = ready(Arc::clone(&store)).await;
    assert_eq!(fresh.published().state.quarantine.len(), poison.len());
    assert_eq!(
        fresh.published().compiled.snapshot.entries,
        before.compiled.snapshot.entries
    );
    // An unreadable entry with a valid key can be deleted through the API.
    let key = ObjectKey::Gateway(name("truncated"));
    plane
        .run(Command::Delete {
            key,
            expected: None,
        })
        .await
        .unwrap();
    plane
        .shows(|state| state.quarantine.len() == poison.len() - 1)
        .await;
}

#[tokio::test]
async fn garbage_over_a_live_object_leaves_its_last_readable_form_in_force() {
    let store = memory();
    let plane = furnished(Arc::clone(&store)).await;
    let served = plane.published().compiled.snapshot.entries.clone();
    let key = ObjectKey::Gateway(name("tools"));
    store
        .commit(put(&key.to_string(), b"garbage"))
        .await
        .unwrap();
    plane.shows(|state| state.quarantine.len() == 1).await;
    let published = plane.published();
    assert_eq!(published.compiled.snapshot.entries, served);
    let faults: Vec<_> = toolgate_api::faults_of_objects(&published).collect();
    assert_eq!(faults[0].subject, "gateway acme/tools");
    assert!(faults[0].text.contains("last readable form"), "{faults:?}");
    // A control plane that starts afterwards finds the form in the history.
    let fresh = ready(Arc::clone(&store)).await;
    assert_eq!(fresh.published().compiled.snapshot.entries, served);
    // The next update repairs the entry.
    let mut next = gateway("tools", "files");
    next.instructions = "Mended.".to_owned();
    let expected = published.state.mod_revision_at(&key).unwrap();
    let object = next.into();
    let update = Command::Update { object, expected };
    plane.run(update).await.unwrap();
    plane.shows(|state| state.quarantine.is_empty()).await;
}

#[tokio::test]
async fn objects_of_a_vanished_organization_are_named_and_take_no_gateway_ids() {
    let store = memory();
    let plane = furnished(Arc::clone(&store)).await;
    let key = ObjectKey::Organization(slug("acme")).to_string();
    let writes = vec![WriteOp::Delete(key)];
    let compares = Vec::new();
    store.commit(Txn { compares, writes }).await.unwrap();
    plane
        .shows(|state| !state.has_organization(&slug("acme")))
        .await;
    let published = plane.published();
    let faults: Vec<_> = toolgate_api::faults_of_objects(&published).collect();
    let subjects: Vec<&str> = faults.iter().map(|it| it.subject.as_str()).collect();
    assert!(subjects.contains(&"gateway acme/tools"), "{subjects:?}");
    plane.create(organization("other").into()).await.unwrap();
    let mut taken = gateway("tools", "files");
    taken.name.org = slug("other");
    taken.bindings.clear();
    plane.create(taken.into()).await.unwrap();
}

fn proxy(id: &str, last_seen: u64) -> ProxyStatus {
    ProxyStatus {
        id: slug(id),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: Timestamp(1),
        last_seen: Timestamp(last_seen),
        connected: true,
        stream_started: Timestamp(0),
        held: Version::default(),
        acked: Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    }
}

#[tokio::test]
async fn proxy_reports_cause_no_compilation() {
    let plane = furnished(memory()).await;
    let before = plane.published();
    plane
        .run(Command::RecordProxy(proxy("p1", 2)))
        .await
        .unwrap();
    plane.shows(|state| state.proxies.len() == 1).await;
    assert!(Arc::ptr_eq(
        &plane.published().compiled.snapshot,
        &before.compiled.snapshot
    ));
}

/// Reports of proxies in one commit.
const REPORTS: usize = 100;

#[tokio::test]
async fn a_write_after_any_number_of_proxy_reports_compiles_what_it_touches() {
    let store = memory();
    let plane = furnished(Arc::clone(&store)).await;
    // Together more than the log of changes holds.
    for round in 0..=MAX_CHANGES.div_ceil(REPORTS) {
        let report = |n: usize| {
            let status = ControlObject::from(proxy(&format!("p{n}"), round as u64));
            let key = ObjectKey::Proxy(slug(&format!("p{n}"))).to_string();
            let value = record_codec::encode(&status, Timestamp(1), "test");
            let lease = None;
            WriteOp::Put { key, value, lease }
        };
        let writes = (0..REPORTS).map(report).collect();
        let compares = Vec::new();
        let written = store.commit(Txn { compares, writes }).await.unwrap();
        let TxnOutcome::Committed(revision) = written else {
            panic!("{written:?}");
        };
        plane.shows(|state| state.revision() >= revision).await;
    }
    let before = plane.published();
    let done = plane
        .create(OperatorObject::Token(token("new")))
        .await
        .unwrap();
    plane.shows(|state| state.revision() >= done.revision).await;
    let visited = before
        .compiled
        .recompiled_resources(&plane.published().state);
    assert_eq!(visited, Some(1));
}

#[tokio::test(start_paused = true)]
async fn one_comparison_with_the_store_runs_at_a_time_and_delays_no_publication() {
    let store = FaultyStore::new();
    let plane = furnished(store.clone()).await;
    let lists = || store.key_lists.load(Ordering::Relaxed);
    let before = lists();
    store.list_delay_millis.store(20_000, Ordering::Relaxed);
    plane.resync.notify_one();
    let start = tokio::time::Instant::now();
    while lists() == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for n in 0..3 {
        let id = format!("t{n}");
        plane
            .create(OperatorObject::Token(token(&id)))
            .await
            .unwrap();
        plane.shows(|state| state.tokens.contains(&name(&id))).await;
        // As writers do whose commits are not shown.
        plane.resync.notify_one();
    }
    let deleted = ObjectKey::Token(name("t0"));
    let delete = Command::Delete {
        key: deleted,
        expected: None,
    };
    plane.run(delete).await.unwrap();
    plane.shows(|state| state.tokens.len() == 2).await;
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "not delayed by the listing"
    );
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(lists(), before + 1, "one comparison");
    let state = Arc::clone(&plane.published().state);
    assert_eq!(state.tokens.len(), 2);
    let fresh = start_beside(&store).await;
    assert_eq!(fresh.published().state, state);
}

#[tokio::test]
async fn a_comparison_reads_the_values_that_the_watch_has_missed_and_no_others() {
    let store = FaultyStore::new();
    // More than one page of a listing.
    for from in (0..2_000).step_by(100) {
        let write = |n: usize| {
            let id = format!("t{n:04}");
            let key = ObjectKey::Token(name(&id)).to_string();
            let object = ControlObject::Token(Arc::new(token(&id)));
            let value = record_codec::encode(&object, Timestamp(1), "test");
            let lease = None;
            WriteOp::Put { key, value, lease }
        };
        let writes = (from..from + 100).map(write).collect();
        let compares = Vec::new();
        store.commit(Txn { compares, writes }).await.unwrap();
    }
    let plane = furnished(store.clone()).await;
    let counts = || {
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        (load(&store.key_lists), load(&store.lists))
    };
    let before = counts();
    plane.resync.notify_one();
    while counts().0 < before.0 + 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(counts().1, before.1, "no value is read");
    // A control plane whose watch loses every event.
    store.drops_one_in.store(1, Ordering::Relaxed);
    let deaf = start(store.clone());
    deaf.readiness.ready().await;
    let missed = OperatorObject::Token(token("t1234x"));
    plane.create(missed).await.unwrap();
    let before = counts();
    deaf.resync.notify_one();
    deaf.shows(|state| state.tokens.contains(&name("t1234x")))
        .await;
    let after = counts();
    // The pages with the token, and with the version log and the marker.
    let read = after.1 - before.1;
    assert!(
        (1..=2).contains(&read),
        "{read} pages of {}",
        after.0 - before.0
    );
}

/// Starts another control plane, which reads the store without delay.
async fn start_beside(store: &Arc<FaultyStore>) -> WritePathFixture {
    store.list_delay_millis.store(0, Ordering::Relaxed);
    let fresh = start(store.clone());
    fresh.readiness.ready().await;
    fresh
}

/// Waits until the control plane has noticed that its store went back in time.
async fn went_backwards(plane: &WritePathFixture) {
    let noticed = async {
        loop {
            let shown = plane.metrics.render();
            let mut lines = shown.lines();
            let line = lines.find(|line| line.starts_with("toolgate_store_backwards"));
            if line.is_some_and(|line| !line.ends_with(" 0")) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let noticed = tokio::time::timeout(HANG_GUARD, noticed).await;
    assert!(noticed.is_ok(), "{}", plane.metrics.render());
}

#[tokio::test]
async fn a_restored_store_is_noticed_after_other_records_have_passed_the_known_revision() {
    let store = FaultyStore::new();
    let plane = furnished(store.clone()).await;
    let known = plane.published();
    let copy = memory();
    let older = ready(Arc::clone(&copy)).await;
    older.shows(|state| state.organizations.len() == 1).await;
    // Heartbeats of proxies go on being written.
    for number in 0..known.state.revision() {
        let heartbeat = put("/elsewhere", &number.to_be_bytes());
        copy.commit(heartbeat).await.unwrap();
    }
    store.restore(Arc::clone(&copy));
    plane.resync.notify_one();
    went_backwards(&plane).await;
    let kept = plane.published();
    assert_eq!(kept.state.version(), known.state.version());
    assert_eq!(kept.state.servers, known.state.servers);

    older.run(Command::BumpEpoch).await.unwrap();
    plane
        .shows(|state| state.epoch() == 2 && state.servers.is_empty())
        .await;
}

#[tokio::test]
async fn a_restored_older_store_is_adopted_only_with_a_new_epoch() {
    let store = FaultyStore::new();
    let plane = furnished(store.clone()).await;
    let known = plane.published().state.revision();

    let copy = memory();
    let older = ready(Arc::clone(&copy)).await;
    older.shows(|state| state.organizations.len() == 1).await;
    assert!(older.published().state.revision() < known);
    store.restore(Arc::clone(&copy));
    plane.resync.notify_one();
    went_backwards(&plane).await;
    assert_eq!(
        plane.published().state.revision(),
        known,
        "not without a new epoch"
    );

    older.run(Command::BumpEpoch).await.unwrap();
    plane
        .shows(|state| state.epoch() == 2 && state.servers.is_empty())
        .await;
    assert_eq!(plane.published().compiled.snapshot.version.epoch, 2);
}

#[tokio::test]
async fn an_external_deletion_is_published() {
    let store = memory();
    let plane = furnished(Arc::clone(&store)).await;
    let before = plane.published().compiled.snapshot.version;
    let key = ObjectKey::Gateway(name("tools")).to_string();
    let delete = Txn {
        compares: Vec::new(),
        writes: vec![WriteOp::Delete(key)],
    };
    store.commit(delete).await.unwrap();
    plane.shows(|state| state.gateways.is_empty()).await;
    let after = plane.published();
    assert!(after.compiled.snapshot.version > before);
    assert_eq!(after.compiled.snapshot.version, after.state.version());
}
