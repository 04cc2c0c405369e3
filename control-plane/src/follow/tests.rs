//! Tests that the published state converges to the store under any faults of the watch, and that an unreadable entry
//! affects no other object.

use std::sync::{Arc, atomic::Ordering};

use toolgate_control_core::{
    Command, Desired, Key,
    port::{Store, Txn, Write},
};
use toolgate_model::{Proxy, Timestamp, Version};

use crate::{
    codec,
    fixture::{
        Faulty, Plane, catalogue, gateway, memory, name, put, ready, server, slug, start, token,
    },
};

async fn furnished(store: Arc<dyn Store>) -> Plane {
    let plane = ready(store).await;
    plane
        .create(Desired::Server(server("files")))
        .await
        .unwrap();
    plane
        .run(Command::RecordCatalogue(catalogue("files")))
        .await
        .unwrap();
    let done = plane
        .create(Desired::Gateway(gateway("tools", "files")))
        .await
        .unwrap();
    plane.shows(|state| state.revision() >= done.revision).await;
    plane
}

#[tokio::test]
async fn what_a_watch_loses_is_found_by_comparing() {
    let store = Faulty::new();
    let plane = furnished(store.clone()).await;
    store.loses_one_in.store(3, Ordering::Relaxed);
    let lossy = start(store.clone());
    lossy.readiness.ready().await;
    for n in 0..30 {
        plane
            .create(Desired::Token(token(&format!("t{n}"))))
            .await
            .unwrap();
    }
    for n in 0..10 {
        let key = Key::Token(name(&format!("t{n}")));
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
    lossy.suspicion.notify_one();
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
async fn after_compaction_while_away_the_state_is_equal_and_deletions_are_in_it() {
    let store = Faulty::new();
    let plane = furnished(store.clone()).await;
    let away = start(store.clone());
    away.readiness.ready().await;
    for n in 0..20 {
        plane
            .create(Desired::Token(token(&format!("t{n}"))))
            .await
            .unwrap();
    }
    away.shows(|state| state.tokens.len() == 20).await;
    drop(away);
    for n in 0..5 {
        let key = Key::Token(name(&format!("t{n}")));
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
async fn a_watch_that_cannot_be_opened_is_tried_again_until_it_can() {
    let store = Faulty::new();
    store.deaf.store(true, Ordering::Relaxed);
    let plane = start(store.clone());
    plane.readiness.ready().await;
    let other = ready(memory()).await;
    drop(other);
    store
        .commit(put("/v1/desired/acme/gateway/poison", b"?"))
        .await
        .unwrap();
    store.deaf.store(false, Ordering::Relaxed);
    plane.shows(|state| state.quarantine.len() == 1).await;
}

#[tokio::test]
async fn poison_behind_our_back_hurts_nobody_else() {
    let store = memory();
    let plane = furnished(Arc::clone(&store)).await;
    let before = plane.published();
    let whole = codec::encode(
        &before.state.object(&Key::Gateway(name("tools"))).unwrap(),
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
    let key = Key::Gateway(name("truncated"));
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
async fn what_proxies_report_is_not_compiled() {
    let plane = furnished(memory()).await;
    let before = plane.published();
    let proxy = Proxy {
        id: slug("p1"),
        region: String::new(),
        build: String::new(),
        listen: String::new(),
        started: Timestamp(1),
        last_seen: Timestamp(2),
        connected: true,
        held: Version::default(),
        acked: Version::default(),
        refusals: Vec::new(),
    };
    plane.run(Command::RecordProxy(proxy)).await.unwrap();
    plane.shows(|state| state.proxies.len() == 1).await;
    assert!(Arc::ptr_eq(&plane.published().compiled, &before.compiled));
}

#[tokio::test]
async fn a_store_that_went_back_in_time_is_adopted_with_a_new_epoch_only() {
    let store = Faulty::new();
    let plane = furnished(store.clone()).await;
    let known = plane.published().state.revision();

    let copy = memory();
    let older = ready(Arc::clone(&copy)).await;
    older.shows(|state| state.organizations.len() == 1).await;
    assert!(older.published().state.revision() < known);
    store.restore(Arc::clone(&copy));
    plane.suspicion.notify_one();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(
        plane.published().state.revision(),
        known,
        "not without a new epoch"
    );
    let refused = plane.metrics.render();
    let line = refused
        .lines()
        .find(|line| line.starts_with("toolgate_store_backwards"));
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{refused}");

    older.run(Command::BumpEpoch).await.unwrap();
    plane
        .shows(|state| state.epoch() == 2 && state.servers.is_empty())
        .await;
    assert_eq!(plane.published().compiled.snapshot.version.epoch, 2);
}

#[tokio::test]
async fn a_deletion_behind_our_back_is_published_too() {
    let store = memory();
    let plane = furnished(Arc::clone(&store)).await;
    let before = plane.published().compiled.snapshot.version;
    let key = Key::Gateway(name("tools")).to_string();
    let delete = Txn {
        guards: Vec::new(),
        writes: vec![Write::Delete(key)],
    };
    store.commit(delete).await.unwrap();
    plane.shows(|state| state.gateways.is_empty()).await;
    let after = plane.published();
    assert!(after.compiled.snapshot.version > before);
    assert_eq!(after.compiled.snapshot.version, after.state.version());
}
