//! Tests of the admission of writes by the room of the store.

use std::{collections::VecDeque, sync::Arc};

use toolgate_control_core::{
    Command,
    port::{Store, StoreError, StoreSpace, SubmitError},
};
use toolgate_model::Token;

use super::{SpaceMetrics, SpaceMonitorTask};
use crate::{
    fixture::{FaultyStore, WritePathFixture, catalogue, gateway, name, ready, server, token},
    leader_election::LeaderElection,
};

fn monitor(plane: &WritePathFixture, store: &Arc<FaultyStore>) -> SpaceMonitorTask {
    let store: Arc<dyn Store> = Arc::<FaultyStore>::clone(store);
    let published = plane.writer.published.clone();
    let (_, leadership) = LeaderElection::new(Arc::clone(&store), published, true);
    SpaceMonitorTask {
        monitor: plane.writer.space_monitor(),
        store,
        published: plane.writer.published.clone(),
        leadership,
        readiness: plane.readiness.clone(),
        metrics: SpaceMetrics::new(&plane.metrics),
        revisions: VecDeque::new(),
    }
}

fn filled(percent: u64) -> StoreSpace {
    StoreSpace {
        used: percent << 20,
        quota: 100 << 20,
        remedy: "make room",
        ..StoreSpace::default()
    }
}

fn no_room<T>(result: &Result<T, SubmitError>) -> bool {
    matches!(result, Err(SubmitError::Store(StoreError::NoSpace(_))))
}

#[tokio::test]
async fn observations_end_before_configuration_and_configuration_before_revocation() {
    let store = FaultyStore::new();
    let plane = ready(Arc::<FaultyStore>::clone(&store)).await;
    let mut monitor = monitor(&plane, &store);
    plane.create(server("files").into()).await.unwrap();
    let key: Token = token("ci");
    plane.create(key.into()).await.unwrap();
    let probed = || Command::RecordDefinitions(catalogue("files"));

    *store.space.lock().unwrap() = Some(filled(81));
    monitor.check().await;
    assert!(
        no_room(&plane.run(probed()).await),
        "an observation at 81 %"
    );
    plane.create(gateway("docs", "files").into()).await.unwrap();
    let warnings = plane.readiness.warnings();
    let told = warnings
        .iter()
        .any(|it| it.text.contains("81 % of 100 MiB"));
    assert!(told, "{warnings:?}");

    *store.space.lock().unwrap() = Some(filled(96));
    monitor.check().await;
    let refused = plane.create(gateway("more", "files").into()).await;
    assert!(no_room(&refused), "{refused:?}");
    plane.run(Command::RevokeToken(name("ci"))).await.unwrap();

    *store.space.lock().unwrap() = Some(filled(10));
    monitor.check().await;
    plane.run(probed()).await.unwrap();
    assert_eq!(plane.readiness.warnings(), Vec::new());
}

#[tokio::test]
async fn a_revocation_makes_room_in_a_full_store_and_other_writes_do_not() {
    let store = FaultyStore::new();
    let plane = ready(Arc::<FaultyStore>::clone(&store)).await;
    plane.create(token("ci").into()).await.unwrap();
    store
        .is_full
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = plane.create(server("files").into()).await;
    assert!(no_room(&refused), "{refused:?}");
    plane.run(Command::RevokeToken(name("ci"))).await.unwrap();
    plane
        .shows(|state| {
            state
                .tokens
                .get(&name("ci"))
                .is_some_and(|it| it.revoked.is_some())
        })
        .await;
}
