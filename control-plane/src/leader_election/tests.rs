//! Tests that one control plane probes, and that a control plane that lost the leadership unnoticed writes nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{sync::watch, time::timeout};
use toolgate_control_core::{
    OperatorObject, StoreRefusal,
    port::{Store, Txn, TxnCompare, TxnOutcome, WriteOp},
};
use toolgate_discovery::{DefinitionsSink as _, ProbeTargets};
use toolgate_runtime::{DrainTrigger, drain};

use super::*;
use crate::{
    fixture::{HANG_GUARD, catalogue, memory, name, ready, server},
    probes::{DefinitionsWriter, derive_targets},
};

fn run_for(store: &Arc<dyn Store>, alone: bool) -> (Leadership, DrainTrigger) {
    run_with(store, watch::channel(Arc::default()).1, alone)
}

fn run_with(
    store: &Arc<dyn Store>,
    published: watch::Receiver<Arc<PublishedState>>,
    alone: bool,
) -> (Leadership, DrainTrigger) {
    let (candidate, leadership) = LeaderElection::new(Arc::clone(store), published, alone);
    let (drain, trigger) = drain::new();
    drain.spawn("tenure", candidate.run(drain.clone()));
    (leadership, trigger)
}

async fn becomes(leadership: &Leadership, held: bool) {
    let mut watch = leadership.watch();
    let changed = watch.wait_for(|revision| revision.is_some() == held);
    let changed = timeout(HANG_GUARD, changed).await;
    assert!(changed.is_ok(), "the tenure does not change");
}

#[tokio::test]
async fn one_of_two_control_planes_probes_and_the_other_takes_over() {
    let store = memory();
    let (first, trigger) = run_for(&store, false);
    becomes(&first, true).await;
    let (second, _trigger) = run_for(&store, false);
    tokio::time::sleep(RENEW_INTERVAL * 2).await;
    assert!(first.fence().is_some() && second.fence().is_none());
    trigger.drain(HANG_GUARD).await;
    becomes(&second, true).await;
    assert!(first.fence().is_none());
}

#[tokio::test]
async fn a_control_plane_that_does_not_follow_its_store_leaves_the_leadership_to_others() {
    let store = memory();
    let (published, receiver) = watch::channel(Arc::<PublishedState>::default());
    let (first, _trigger) = run_with(&store, receiver, false);
    becomes(&first, true).await;
    let (second, trigger) = run_for(&store, false);
    published.send_replace(Arc::new(PublishedState {
        refusal: Some(Arc::new(StoreRefusal::LacksRecords)),
        ..PublishedState::default()
    }));
    becomes(&first, false).await;
    becomes(&second, true).await;
    trigger.drain(HANG_GUARD).await;
    tokio::time::sleep(RENEW_INTERVAL * 2).await;
    assert!(first.fence().is_none(), "the store is not followed yet");
    published.send_replace(Arc::default());
    becomes(&first, true).await;
}

#[tokio::test]
async fn a_prober_that_lost_leadership_writes_nothing_and_notices() {
    let store = memory();
    let plane = ready(Arc::clone(&store)).await;
    plane
        .create(OperatorObject::Server(server("files")))
        .await
        .unwrap();
    let (leadership, _trigger) = run_for(&store, false);
    becomes(&leadership, true).await;
    let sink = DefinitionsWriter {
        writer: plane.writer.clone(),
        leadership: leadership.clone(),
        requested: watch::channel(BTreeMap::new()).1,
        limiter: Mutex::default(),
    };
    // The lease expired while the process was stopped, and another control plane took over.
    let fence = leadership.fence().unwrap();
    let TxnCompare::ModRevision(key, revision) = fence.compare() else {
        panic!("the fence is the revision of the leader's entry");
    };
    assert_eq!(fence.is_valid(store.as_ref()).await, Ok(true));
    let taken = Txn {
        compares: vec![TxnCompare::ModRevision(key.clone(), revision)],
        writes: vec![WriteOp::Put {
            key,
            value: b"another".to_vec(),
            lease: None,
        }],
    };
    assert!(matches!(
        store.commit(taken).await,
        Ok(TxnOutcome::Committed(_))
    ));
    assert_eq!(fence.is_valid(store.as_ref()).await, Ok(false));

    let late = timeout(HANG_GUARD, sink.store(catalogue("files"))).await;
    assert!(late.unwrap().is_err());
    becomes(&leadership, false).await;
    assert!(sink.store(catalogue("files")).await.is_err());
    assert!(plane.published().state.definitions.is_empty());
}

#[tokio::test]
async fn a_stale_leader_entry_in_an_exclusive_store_is_ignored() {
    let store = memory();
    let lease = store.grant_lease(600).await.unwrap();
    let left = Txn {
        compares: Vec::new(),
        writes: vec![WriteOp::Put {
            key: LEADER_KEY.to_owned(),
            value: b"killed".to_vec(),
            lease: Some(lease),
        }],
    };
    store.commit(left).await.unwrap();
    let (leadership, _trigger) = run_for(&store, true);
    let mut watch = leadership.watch();
    let held = watch.wait_for(Option::is_some);
    // The lease that was left lasts ten minutes: it is not waited for.
    timeout(HANG_GUARD, held).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_standby_runs_probes_on_demand() {
    let store = memory();
    let plane = ready(store).await;
    for id in ["files", "mail"] {
        plane
            .create(OperatorObject::Server(server(id)))
            .await
            .unwrap();
    }
    plane.shows(|state| state.servers.len() == 2).await;
    let (held, receiver) = watch::channel(None);
    let leadership = Leadership {
        held: receiver,
        invalidate: Arc::default(),
    };
    let (asked, questions) = watch::channel(BTreeMap::new());
    let (sender, mut targets) = watch::channel(Arc::<ProbeTargets>::default());
    let published = plane.writer.published.clone();
    let deriving = derive_targets(published, leadership.clone(), questions.clone(), sender);
    let (drain, _trigger) = drain::new();
    let deriving = drain.spawn("deriving", deriving);
    let mut are = async |wanted: &[&str]| {
        let names: Vec<_> = wanted.iter().map(|id| name(id)).collect();
        let reached = targets.wait_for(|targets| targets.servers().eq(names.iter()));
        timeout(HANG_GUARD, reached).await.unwrap().unwrap();
    };
    are(&[]).await;
    asked.send_modify(|asked| *asked.entry(name("mail")).or_default() += 1);
    are(&["mail"]).await;
    let sink = DefinitionsWriter {
        writer: plane.writer.clone(),
        leadership,
        requested: questions,
        limiter: Mutex::default(),
    };
    sink.store(catalogue("mail")).await.unwrap();
    assert!(sink.store(catalogue("files")).await.is_err());
    held.send_replace(Some(1));
    are(&["files", "mail"]).await;
    held.send_replace(None);
    asked.send_modify(BTreeMap::clear);
    are(&[]).await;
    deriving.abort();
}
