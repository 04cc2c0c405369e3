//! Requests of proxies for credentials that their configuration does not refer to.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use toolgate_model::{ObjectName, ResourceKey, Snapshot, SnapshotResource, SnapshotResourceKind};
use toolgate_runtime::{Metrics, metrics::Counter};

/// Maximum number of requests that are remembered as logged.
const MAX_LOGGED: usize = 1024;

/// Server and credential of a request. A proxy of the previous build names no server.
pub(super) type ResolveTarget = (Option<ObjectName>, ObjectName);

/// Counts refused requests, and logs each target once.
pub(crate) struct UnreferencedResolves {
    count: Counter,
    logged: Mutex<BTreeSet<ResolveTarget>>,
}

impl UnreferencedResolves {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            count: metrics.counter(
                "toolgate.credentials.unreferenced",
                "Requests of proxies for credentials that the configuration does not refer to",
                &[],
            ),
            logged: Mutex::default(),
        }
    }

    pub(super) fn record(&self, proxy: &str, target: ResolveTarget) {
        self.count.increment();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.contains(&target) || logged.len() >= MAX_LOGGED {
            return;
        }
        let (server, credential) = &target;
        let server = server.as_ref().map(ToString::to_string);
        tracing::warn!(
            proxy,
            server,
            %credential,
            "a proxy asked for a credential that its configuration does not refer to"
        );
        logged.insert(target);
    }
}

/// Returns `true` if the snapshot contains the server, and the server refers to the credential. Without a server, any
/// server may refer to it. The snapshot contains the servers that a gateway binds.
pub(super) fn is_referenced(
    snapshot: &Snapshot,
    server: Option<&ObjectName>,
    credential: &ObjectName,
) -> bool {
    let refers = |resource: &SnapshotResource| match resource {
        SnapshotResource::Server(server) => {
            let reference = server.credential.as_ref();
            reference.is_some_and(|reference| reference.id == credential.id)
        }
        SnapshotResource::Gateway(_)
        | SnapshotResource::Catalogue(_)
        | SnapshotResource::Token(_) => false,
    };
    match server {
        Some(name) => {
            let key = ResourceKey {
                kind: SnapshotResourceKind::Server,
                name: name.clone(),
            };
            let entry = snapshot.entries.get(&key);
            name.org == credential.org && entry.is_some_and(|entry| refers(&entry.resource))
        }
        None => {
            let mut entries = snapshot.entries.iter();
            entries.any(|(key, entry)| key.name.org == credential.org && refers(&entry.resource))
        }
    }
}
