//! Tests that the published state converges to the store under any faults of the watch, and that an unreadable entry
//! affects no other object.

use std::sync::{Arc, atomic::Ordering};

use toolgate_control_core::{
    Command, ObjectKey, OperatorObject,
    port::{Store, Txn, WriteOp},
};
use toolgate_model::{ProxyStatus, Timestamp, Version};

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

#[tokio::test]
async fn proxy_reports_cause_no_compilation() {
    let plane = furnished(memory()).await;
    let before = plane.published();
    let proxy = ProxyStatus {
        id: slug("p1"),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: Timestamp(1),
        last_seen: Timestamp(2),
        connected: true,
        stream_started: Timestamp(0),
        held: Version::default(),
        acked: Version::default(),
        rejections: Vec::new(),
        clock: None,
        servers: Vec::new(),
    };
    plane.run(Command::RecordProxy(proxy)).await.unwrap();
    plane.shows(|state| state.proxies.len() == 1).await;
    assert!(Arc::ptr_eq(&plane.published().compiled, &before.compiled));
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
    let refused = async {
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
    let refused = tokio::time::timeout(HANG_GUARD, refused).await;
    assert!(refused.is_ok(), "{}", plane.metrics.render());
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
