//! The write path over a real etcd: writes to an older copy of the store, and gateways with many bindings beside deletions of
//! their servers.

use futures_util::future::join_all;
use toolgate_control_core::{
    Command, Revision, StateKind as _,
    port::{Store, SubmitError},
};
use toolgate_model::{Gateway, Server, ServerBinding};

use crate::fixture::{
    FaultyStore, WritePathFixture, etcd_process::EtcdProcess, gateway, name, ready, server, slug,
    token,
};

/// Lists all keys in a store with the revision of each value.
async fn everything(store: &dyn Store) -> Vec<(String, Revision)> {
    let page = store.list("", None, 1000, None).await.unwrap();
    let entries = page.entries.into_iter();
    entries
        .map(|entry| (entry.key, entry.mod_revision))
        .collect()
}

/// The copy has the same organization at the same revision, as a restored snapshot has. Only its version marker is older.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_a_restored_store_that_is_not_followed_yet_is_refused_over_etcd() {
    let (etcd, copy) = (EtcdProcess::start().await, EtcdProcess::start().await);
    let (original, restored) = (etcd.store(), copy.store());
    let plane = ready(original.clone()).await;
    let of_copy = ready(restored.clone()).await;
    let organization = |plane: &WritePathFixture| {
        let state = plane.published().state.clone();
        let organization = state.organizations.get(&slug("acme")).unwrap();
        organization.mod_revision
    };
    assert_eq!(organization(&plane), organization(&of_copy));
    drop(of_copy);

    let store = FaultyStore::new();
    store.restore(original);
    let plane = ready(store.clone()).await;
    for change in 0..3 {
        plane
            .create(token(&format!("t{change}")).into())
            .await
            .unwrap();
    }
    plane.shows(|state| state.tokens.len() == 3).await;
    let before = everything(restored.as_ref()).await;
    store.restore(restored.clone());
    let refused = plane.create(token("later").into()).await;
    assert!(
        matches!(refused, Err(SubmitError::Store(_) | SubmitError::Contended)),
        "{refused:?}"
    );
    assert_eq!(everything(restored.as_ref()).await, before);
}

/// Number of bindings of each gateway: each is guarded by the revision of its server.
const BINDINGS: usize = 20;
/// Number of gateways that are created at once, and of servers that are deleted meanwhile.
const AT_ONCE: usize = 4;
const ROUNDS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn gateways_with_many_bindings_never_bind_a_server_that_another_control_plane_deletes() {
    let etcd = EtcdProcess::start().await;
    let (one, two) = (ready(etcd.store()).await, ready(etcd.store()).await);
    let (mut created, mut deleted) = (0, 0);
    for round in 0..ROUNDS {
        let id = |number: usize| format!("s{round}-{number}");
        let mut seen = 0;
        for number in 0..BINDINGS {
            let made = one.create(server(&id(number)).into()).await.unwrap();
            seen = made.revision;
        }
        for plane in [&one, &two] {
            plane.shows(|state| state.revision() >= seen).await;
        }
        let bound = |number: usize| Gateway {
            bindings: (0..BINDINGS)
                .map(|number| ServerBinding::all(slug(&id(number))))
                .collect(),
            ..gateway(&format!("g{round}-{number}"), &id(0))
        };
        let planes = [&one, &two];
        let creations = (0..AT_ONCE).map(|number| {
            let plane = planes[number % 2];
            let gateway = bound(number);
            async move { plane.create(gateway.into()).await.is_ok() }
        });
        let deletions = (0..AT_ONCE).map(|number| {
            let plane = planes[(number + 1) % 2];
            let key = Server::key(name(&id((round + number * 5) % BINDINGS)));
            async move {
                let delete = Command::Delete {
                    key,
                    expected: None,
                };
                plane.run(delete).await.is_ok()
            }
        });
        let (made, ended) = tokio::join!(join_all(creations), join_all(deletions));
        let count = |done: &[bool]| done.iter().filter(|done| **done).count();
        created += count(&made);
        deleted += count(&ended);
        has_no_dangling_binding(&etcd).await;
    }
    println!("{created} gateways created, {deleted} servers deleted");
    assert!(created > 0 || deleted > 0);
}

/// Reads the store anew and checks that every server of a gateway exists.
async fn has_no_dangling_binding(etcd: &EtcdProcess) {
    let fresh = ready(etcd.store()).await;
    let state = fresh.published().state.clone();
    for (name, gateway) in state.gateways.iter() {
        for binding in &gateway.bindings {
            let server = toolgate_model::ObjectName::new(name.org.clone(), binding.server.clone());
            assert!(
                state.servers.contains(&server),
                "gateway {name} binds {server}, which does not exist"
            );
        }
    }
}
