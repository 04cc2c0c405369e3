//! Expulsion of this proxy: an operator has deleted it from the fleet. A control plane tells it when it refuses the push
//! stream. The proxy then serves nothing, because revocations do not reach it any more, and a record in its folder keeps it so
//! across restarts. A control plane that sends a configuration has admitted the proxy, and the record is removed.
//!
//! Nothing else expels a proxy: without a control plane, and with one whose store was lost or restored, it goes on with what it
//! holds.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use tonic::Status;
use tonic_types::StatusExt as _;
use toolgate_model::Slug;
use toolgate_runtime::{Readiness, readiness::ReadyGuard};
use toolgate_wire::push::{EXPELLED, EXPELLED_PROXY};

use crate::{disk::EncryptedDirectory, handle::SyncState};

/// File with the id of the deleted proxy.
const FILE: &str = "expelled";

/// Prerequisite that a deleted proxy waits for.
const PENDING: &str = "a new id and join token: the proxy was deleted from the fleet";

/// Subject of the warning about the expulsion.
const SUBJECT: &str = "fleet";

/// Expulsion of this proxy, if there is one.
pub(crate) struct Expulsion {
    proxy: Slug,
    state: Arc<SyncState>,
    readiness: Readiness,
    disk: Option<Arc<EncryptedDirectory>>,
    /// Held while the proxy is expelled.
    unready: Option<ReadyGuard>,
}

impl Expulsion {
    /// Returns the expulsion that is recorded in the folder, if any.
    pub(crate) fn load(
        proxy: Slug,
        state: Arc<SyncState>,
        readiness: Readiness,
        disk: Option<Arc<EncryptedDirectory>>,
    ) -> Self {
        let mut expulsion = Self {
            proxy,
            state,
            readiness,
            disk,
            unready: None,
        };
        let disk = expulsion.disk.as_deref().filter(|disk| disk.contains(FILE));
        if let Some(disk) = disk {
            // The file counts even if it cannot be read.
            let deleted = disk.load(FILE);
            let deleted = deleted.map(|id| String::from_utf8_lossy(&id).into_owned());
            expulsion.block(&deleted.unwrap_or_else(|| expulsion.proxy.to_string()));
        }
        expulsion
    }

    /// Returns `true` while the proxy is expelled.
    pub(crate) fn is_in_force(&self) -> bool {
        self.unready.is_some()
    }

    /// Returns `true` if a control plane says with this status that an operator has deleted this proxy. A status of the
    /// transport has no such details.
    pub(crate) fn is_told_by(&self, status: &Status) -> bool {
        let details = status.get_error_details();
        let info = details.error_info();
        info.is_some_and(|info| {
            let proxy = info.metadata.get(EXPELLED_PROXY);
            info.reason == EXPELLED && proxy.is_some_and(|id| *id == *self.proxy.as_str())
        })
    }

    /// Makes the proxy unready, and records the expulsion.
    pub(crate) async fn begin(&mut self) {
        self.block(&self.proxy.to_string());
        let Some(disk) = self.disk.clone() else {
            return;
        };
        let proxy = self.proxy.clone();
        let saved = spawn_blocking(move || disk.save(FILE, proxy.as_str().as_bytes()));
        if let Ok(Err(error)) = saved.await {
            tracing::error!(%error, "the deletion of this proxy could not be recorded: stop it, and remove its data folder");
        }
    }

    /// Ends the expulsion: a control plane has admitted the proxy.
    pub(crate) async fn end(&mut self) {
        let Some(unready) = self.unready.take() else {
            return;
        };
        tracing::info!(proxy = %self.proxy, "the proxy is admitted to the fleet");
        if let Some(disk) = self.disk.clone() {
            let _ended = spawn_blocking(move || disk.remove(FILE)).await;
        }
        self.readiness.set_warnings(SUBJECT, Vec::<String>::new());
        self.state.set_expelled(false);
        unready.release();
    }

    fn block(&mut self, deleted: &str) {
        let text = format!(
            "proxy {deleted} was deleted from the fleet by an operator: it serves no gateway any more; stop the process, or start \
             it with another `--id` and a new join token (`toolgate proxies join-token`) in `--join`"
        );
        tracing::error!("{text}");
        self.state.set_expelled(true);
        self.readiness.set_warnings(SUBJECT, vec![text]);
        self.unready = Some(self.readiness.block(PENDING));
    }
}
