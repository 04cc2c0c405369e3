//! Tests that one control plane probes, and that a control plane that lost the leadership unnoticed writes nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use toolgate_catalog::{CatalogueSink as _, Targets};
use toolgate_control_core::{
    Desired,
    port::{Commit, Guard, Store, Txn, Write},
};
use toolgate_runtime::{Trigger, drain};

use super::*;
use crate::{
    fixture::{catalogue, memory, name, ready, server},
    probes::{Sink, derive_targets},
};

fn run_for(store: &Arc<dyn Store>, alone: bool) -> (Tenure, Trigger) {
    let (candidate, tenure) = Candidate::new(Arc::clone(store), alone);
    let (drain, trigger) = drain::new();
    drain.spawn("tenure", candidate.run(drain.clone()));
    (tenure, trigger)
}

async fn becomes(tenure: &Tenure, held: bool) {
    let mut watch = tenure.watch();
    let changed = watch.wait_for(|revision| revision.is_some() == held);
    let changed = timeout(Duration::from_secs(20), changed).await;
    assert!(changed.is_ok(), "the tenure does not change");
}

#[tokio::test]
async fn one_of_two_control_planes_probes_and_the_other_takes_over() {
    let store = memory();
    let (first, trigger) = run_for(&store, false);
    becomes(&first, true).await;
    let (second, _trigger) = run_for(&store, false);
    tokio::time::sleep(EVERY * 2).await;
    assert!(first.fence().is_some() && second.fence().is_none());
    trigger.drain(Duration::from_secs(5)).await;
    becomes(&second, true).await;
    assert!(first.fence().is_none());
}

#[tokio::test]
async fn a_prober_that_lost_its_tenure_unawares_writes_nothing_and_finds_out() {
    let store = memory();
    let plane = ready(Arc::clone(&store)).await;
    plane
        .create(Desired::Server(server("files")))
        .await
        .unwrap();
    let (tenure, _trigger) = run_for(&store, false);
    becomes(&tenure, true).await;
    let sink = Sink {
        writer: plane.writer.clone(),
        tenure: tenure.clone(),
        asked: watch::channel(BTreeMap::new()).1,
    };
    // The lease expired while the process was stopped, and another control plane took over.
    let Some(Guard::Modified(key, revision)) = tenure.fence() else {
        panic!("no fence");
    };
    let taken = Txn {
        guards: vec![Guard::Modified(key.clone(), revision)],
        writes: vec![Write::Put {
            key,
            value: b"another".to_vec(),
            lease: None,
        }],
    };
    assert!(matches!(store.commit(taken).await, Ok(Commit::Done(_))));

    let late = timeout(Duration::from_secs(3), sink.store(catalogue("files"))).await;
    assert!(late.unwrap().is_err());
    becomes(&tenure, false).await;
    assert!(sink.store(catalogue("files")).await.is_err());
    assert!(plane.published().state.catalogues.is_empty());
}

#[tokio::test]
async fn what_was_left_behind_in_a_store_of_ones_own_does_not_count() {
    let store = memory();
    let lease = store.grant_lease(600).await.unwrap();
    let left = Txn {
        guards: Vec::new(),
        writes: vec![Write::Put {
            key: ENTRY.to_owned(),
            value: b"killed".to_vec(),
            lease: Some(lease),
        }],
    };
    store.commit(left).await.unwrap();
    let (tenure, _trigger) = run_for(&store, true);
    let mut watch = tenure.watch();
    let held = watch.wait_for(Option::is_some);
    timeout(Duration::from_secs(2), held)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn whoever_stands_by_probes_what_its_operators_ask_for() {
    let store = memory();
    let plane = ready(store).await;
    for id in ["files", "mail"] {
        plane.create(Desired::Server(server(id))).await.unwrap();
    }
    plane.shows(|state| state.servers.len() == 2).await;
    let (held, receiver) = watch::channel(None);
    let tenure = Tenure {
        held: receiver,
        doubt: Arc::default(),
    };
    let (asked, questions) = watch::channel(BTreeMap::new());
    let (sender, mut targets) = watch::channel(Arc::<Targets>::default());
    let published = plane.writer.published.clone();
    let deriving = derive_targets(published, tenure.clone(), questions.clone(), sender);
    let (drain, _trigger) = drain::new();
    let deriving = drain.spawn("deriving", deriving);
    let mut are = async |wanted: &[&str]| {
        let names: Vec<_> = wanted.iter().map(|id| name(id)).collect();
        let reached = targets.wait_for(|targets| targets.keys().eq(names.iter()));
        timeout(Duration::from_secs(5), reached)
            .await
            .unwrap()
            .unwrap();
    };
    are(&[]).await;
    asked.send_modify(|asked| *asked.entry(name("mail")).or_default() += 1);
    are(&["mail"]).await;
    let sink = Sink {
        writer: plane.writer.clone(),
        tenure,
        asked: questions,
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
