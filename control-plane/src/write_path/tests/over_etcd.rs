//! The write path over a real etcd: writes to an older copy of the store, and gateways with many bindings beside deletions of
//! their servers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use toolgate_control_core::{
    Command, Revision, StateKind as _,
    port::{CommitOutcome, Store, SubmitError},
};
use toolgate_model::{Gateway, Server, ServerBinding};

use crate::fixture::{
    FaultyStore, HANG_GUARD, WritePathFixture, etcd_process::EtcdProcess, gateway, name, ready,
    server, slug, token,
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

/// Numbers of bindings of gateways: with each guarded by the revision of its server, and with more, which guard all inputs
/// of the configuration at once.
const BINDINGS: [usize; 2] = [20, 30];

fn binding(id: &str, servers: &[String]) -> Gateway {
    let bindings = servers.iter().map(|id| ServerBinding::all(slug(id)));
    Gateway {
        bindings: bindings.collect(),
        ..gateway(id, &servers[0])
    }
}

/// Two control planes over one etcd. The commits of the first one can be paused.
struct TwoControlPlanes {
    etcd: EtcdProcess,
    pausing: Arc<FaultyStore>,
    first: WritePathFixture,
    second: WritePathFixture,
}

impl TwoControlPlanes {
    async fn start() -> Self {
        let etcd = EtcdProcess::start().await;
        let pausing = FaultyStore::new();
        pausing.restore(etcd.store());
        let first = ready(pausing.clone()).await;
        let second = ready(etcd.store()).await;
        Self {
            etcd,
            pausing,
            first,
            second,
        }
    }

    /// Creates servers that both control planes know; returns their ids.
    async fn servers(&self, name: &str, count: usize) -> Vec<String> {
        let ids: Vec<String> = (0..count)
            .map(|number| format!("{name}-{number}"))
            .collect();
        let mut revision = 0;
        for id in &ids {
            let created = self.second.create(server(id).into()).await.unwrap();
            revision = created.revision;
        }
        for plane in [&self.first, &self.second] {
            plane.shows(|state| state.revision() >= revision).await;
        }
        ids
    }

    /// Runs a command at the first control plane. After it has been decided, and before it is committed, the second one
    /// runs another command, which must succeed.
    async fn overtake(
        &self,
        command: Command,
        overtaking: Command,
    ) -> Result<CommitOutcome, SubmitError> {
        let before = self.pausing.commits.load(Ordering::Relaxed);
        self.pausing.pauses.send_replace(true);
        let overtaking = async {
            while self.pausing.commits.load(Ordering::Relaxed) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.second.run(overtaking).await.unwrap();
            self.pausing.pauses.send_replace(false);
        };
        let both = async { tokio::join!(self.first.run(command), overtaking).0 };
        tokio::time::timeout(HANG_GUARD, both).await.unwrap()
    }
}

fn deletion(server: &str) -> Command {
    Command::Delete {
        key: Server::key(name(server)),
        expected: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_with_many_bindings_never_bind_a_server_that_another_control_plane_deletes() {
    let planes = TwoControlPlanes::start().await;
    for count in BINDINGS {
        let ids = planes.servers(&format!("deleted{count}"), count).await;
        let id = format!("late{count}");
        let create = Command::Create(binding(&id, &ids).into());
        let created = planes.overtake(create, deletion(&ids[count / 2])).await;
        assert!(
            matches!(created, Err(SubmitError::Rejected(_))),
            "{count}: {created:?}"
        );
        has_no_dangling_binding(&planes.etcd).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_another_control_plane_binds_among_many_is_not_deleted() {
    let planes = TwoControlPlanes::start().await;
    for count in BINDINGS {
        let ids = planes.servers(&format!("bound{count}"), count).await;
        let id = format!("early{count}");
        let create = Command::Create(binding(&id, &ids).into());
        let deleted = planes.overtake(deletion(&ids[count / 2]), create).await;
        assert!(
            matches!(deleted, Err(SubmitError::Rejected(_))),
            "{count}: {deleted:?}"
        );
        has_no_dangling_binding(&planes.etcd).await;
    }
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
