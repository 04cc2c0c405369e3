//! Room of an etcd cluster. A member whose file reaches the quota raises the alarm `NOSPACE`; from then on etcd refuses
//! every put, of all clients, until an operator disarms the alarm. Deletions, compaction and defragmentation are
//! allowed meanwhile. The file counts with its free pages, so it shrinks only by defragmentation:
//!
//! ```text
//! delete the reserve -> compact the history -> defragment one member after the other -> disarm the alarm
//! ```

use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, DeleteOptions, GetOptions,
    StatusResponse,
};
use tokio::time::timeout;
use toolgate_control_core::port::{StoreError, StoreSpace};

use super::{EtcdStore, error::from_etcd};

/// Quota of a member without `--quota-backend-bytes`.
pub(super) const DEFAULT_QUOTA: u64 = 2 * 1024 * 1024 * 1024;
/// Timeout of a status request.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of the defragmentation of one member. A member answers nothing meanwhile.
const DEFRAGMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// Next step when a cluster fills up.
const REMEDY: &str = "delete what is not needed, or raise --quota-backend-bytes of etcd's members (and --etcd-quota)";
/// Prefix of the reserve, in the namespace. Its entries are no objects.
const RESERVE: &str = "/reserve/";
/// Part of the quota that the reserve has. etcd notices the quota up to 100 ms late, so a file may be larger than its
/// quota by what is written meanwhile.
const RESERVE_SHARE: u64 = 16;
/// Number of entries of the reserve.
const RESERVE_ENTRIES: u64 = 32;
/// Maximum size of an entry of the reserve.
const MAX_RESERVE_ENTRY: u64 = 1024 * 1024;

impl EtcdStore {
    /// Measures the fullest of the members that answer.
    pub(super) async fn measure_space(&self) -> Result<StoreSpace, StoreError> {
        let mut fullest: Option<StoreSpace> = None;
        let mut problem = None;
        for client in self.members.each_member().await? {
            match status(&client).await {
                Ok(status) => {
                    let space = self.space_of(&status);
                    let before = fullest.take().unwrap_or(space);
                    let is_full = before.is_full || space.is_full;
                    let fuller = std::cmp::max_by_key(before, space, |it| it.used);
                    fullest = Some(StoreSpace { is_full, ..fuller });
                }
                Err(error) => problem = Some(error),
            }
        }
        let unknown = || StoreError::Unavailable("no etcd member tells its size".to_owned());
        fullest.ok_or_else(|| problem.unwrap_or_else(unknown))
    }

    fn space_of(&self, status: &StatusResponse) -> StoreSpace {
        let bytes = |size: i64| u64::try_from(size).unwrap_or_default();
        let used = bytes(status.db_size());
        let quota = Some(bytes(status.db_size_quota())).filter(|told| *told > 0);
        StoreSpace {
            used,
            reusable: used.saturating_sub(bytes(status.raft_used_db_size())),
            quota: quota.unwrap_or(self.quota),
            is_full: status.errors().iter().any(|it| it.contains("NOSPACE")),
            remedy: REMEDY,
        }
    }

    /// Writes the entries of the reserve that do not exist.
    pub(super) async fn write_reserve(&self) -> Result<(), StoreError> {
        let size = (self.quota / RESERVE_SHARE / RESERVE_ENTRIES).min(MAX_RESERVE_ENTRY);
        let size = usize::try_from(size).unwrap_or_default();
        let (start, end) = self.namespace.range(RESERVE, None);
        let count = self.members.call(move |client| async move {
            let options = GetOptions::new().with_range(end).with_count_only();
            client.kv_client().get(start, Some(options)).await
        });
        if u64::try_from(count.await?.count()).is_ok_and(|count| count >= RESERVE_ENTRIES) {
            return Ok(());
        }
        for entry in 0..RESERVE_ENTRIES {
            let key = self.namespace.key(&format!("{RESERVE}{entry}"));
            let put = move |client: Client| async move {
                client.kv_client().put(key, vec![b'0'; size], None).await
            };
            self.members.call(put).await?;
        }
        Ok(())
    }

    /// Makes room and disarms the alarm.
    pub(super) async fn make_room(&self, reserve: bool) -> Result<(), StoreError> {
        let (start, end) = self.namespace.range(RESERVE, None);
        let revision = if reserve {
            let deletion = self.members.call(move |client| async move {
                let options = DeleteOptions::new().with_range(end);
                client.kv_client().delete(start, Some(options)).await
            });
            deletion.await?.header().map(|header| header.revision())
        } else {
            let count = self.members.call(move |client| async move {
                let options = GetOptions::new().with_range(end).with_count_only();
                client.kv_client().get(start, Some(options)).await
            });
            count.await?.header().map(|header| header.revision())
        };
        let revision = revision.unwrap_or_default();
        let compaction = self.members.call(move |client| async move {
            let options = CompactionOptions::new().with_physical();
            client.kv_client().compact(revision, Some(options)).await
        });
        match compaction.await {
            Ok(_) | Err(StoreError::Compacted(_)) => {}
            Err(error) => return Err(error),
        }
        // One after the other, so that the cluster keeps its quorum.
        for client in self.members.each_member().await? {
            let mut maintenance = client.maintenance_client();
            match timeout(DEFRAGMENT_TIMEOUT, maintenance.defragment()).await {
                Ok(done) => done.map(drop).map_err(from_etcd)?,
                Err(_elapsed) => {
                    let reason = "an etcd member was not defragmented within 60 s".to_owned();
                    return Err(StoreError::Unavailable(reason));
                }
            }
        }
        self.disarm().await
    }

    /// Disarms the alarm of every member that raised it.
    async fn disarm(&self) -> Result<(), StoreError> {
        let raised = self.members.call(|client| async move {
            let mut maintenance = client.maintenance_client();
            maintenance
                .alarm(AlarmAction::Get, AlarmType::Nospace, None)
                .await
        });
        for raised in raised.await?.alarms() {
            if raised.alarm() != AlarmType::Nospace {
                continue;
            }
            let mut options = AlarmOptions::new();
            options.with_member(raised.member_id());
            let disarm = move |client: Client| async move {
                let mut maintenance = client.maintenance_client();
                let (action, kind) = (AlarmAction::Deactivate, AlarmType::Nospace);
                maintenance.alarm(action, kind, Some(options)).await
            };
            self.members.call(disarm).await?;
        }
        Ok(())
    }
}

async fn status(client: &Client) -> Result<StatusResponse, StoreError> {
    let mut maintenance = client.maintenance_client();
    match timeout(STATUS_TIMEOUT, maintenance.status()).await {
        Ok(status) => status.map_err(from_etcd),
        Err(_elapsed) => {
            let reason = "an etcd member did not tell its size within 2 s".to_owned();
            Err(StoreError::Unavailable(reason))
        }
    }
}
