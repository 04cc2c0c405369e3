//! Tests of several clients of one process on one modern server.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use toolgate_runtime::drain;

use super::next_id;
use crate::{
    detect::{
        detect,
        tests::{endpoint, http, us},
    },
    fake_server,
};

/// A server that identifies feeds by id alone mistakes a second feed for the first and ends both together.
#[tokio::test]
async fn every_feed_has_a_unique_id() {
    let (drain, _trigger) = drain::new();
    let ids = Arc::new(Mutex::new(Vec::new()));
    let seen_ids = Arc::clone(&ids);
    let url = fake_server::start(&drain, move |seen| match seen.rpc_method() {
        "server/discover" => fake_server::discovered(&seen),
        _ => {
            let id = seen.message["id"].clone();
            seen_ids.lock().unwrap().push(id);
            let (events, response) = fake_server::stream();
            std::mem::forget(events);
            response
        }
    });
    let url = url.await.unwrap();
    let mut feeds = Vec::new();
    for _ in 0..3 {
        let (http, endpoint, us) = (http(), endpoint(&url), us());
        let peer = detect(
            &http,
            &endpoint,
            crate::ConfiguredProtocol::default(),
            &us,
            &drain,
        )
        .await;
        let peer = peer.unwrap();
        feeds.push(peer.changes().await.unwrap().unwrap());
        // Id of another client in this process.
        ids.lock().unwrap().push(next_id().into());
    }
    let ids = ids.lock().unwrap();
    let different: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!((ids.len(), different.len()), (6, 6), "{ids:?}");
}
