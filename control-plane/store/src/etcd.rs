//! Store of a fleet on etcd. `etcd-client` waits without a time limit for a member that is frozen, partitioned or
//! without quorum. Every operation here therefore has its own timeout:
//!
//! ```text
//! call     2 s, then the next member is used; a write that timed out may have taken effect
//! read     after 400 ms the next member is asked as well, and the first answer counts
//! watch    require-leader (a member without quorum reports it), HTTP/2 pings every 10 s with a timeout of 3 s,
//!          and a progress request after every 500 ms without messages; it fails after 1.5 s of silence
//! ```
//!
//! A failed watcher is not restarted here: its owner lists and watches again and thereby connects to the next
//! member. Keys are stored under a namespace, so one cluster can serve several deployments.

use std::{fmt, sync::Arc, time::Duration};

use etcd_client::{CompactionOptions, GetOptions};
use toolgate_control_core::port::{
    BoxFuture, KeyValue, Lease, Revision, Store, StoreError, StoreKeyPage, StorePage, StoreSpace,
    StoreWatcher, Txn, TxnOutcome,
};

use crate::request;

mod cluster_client;
mod error;
mod key_namespace;
mod space;
mod transaction;
mod watcher;

use cluster_client::ClusterClient;
use key_namespace::KeyNamespace;

/// Timeout of a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of connecting to one member, within the timeout of the call.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(600);
/// Interval of HTTP/2 pings. etcd closes connections that ping more often than every 5 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Timeout of an HTTP/2 ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time after which a read is sent to a second member.
const HEDGE_DELAY: Duration = Duration::from_millis(400);
/// Time without messages after which a watch sends a progress request.
const WATCH_IDLE_TIMEOUT: Duration = Duration::from_millis(500);
/// Number of [`WATCH_IDLE_TIMEOUT`]s in a row after which a watch fails.
const WATCH_SILENT_INTERVALS: u32 = 3;
/// Maximum number of entries in a page, so that a page of maximum-size values fits into one message.
const MAX_PAGE_ENTRIES: usize = 60;
/// Maximum size of a message from etcd in bytes.
const MAX_MESSAGE_BYTES: usize = 96 * 1024 * 1024;

/// Connection options of [`EtcdStore`].
#[derive(Clone, Default)]
pub struct EtcdOptions {
    /// Client URLs of the members, e.g. `https://etcd-1:2379`.
    pub endpoints: Vec<String>,
    /// Prefix of all keys, e.g. `/toolgate`; may be empty.
    pub namespace: String,
    /// TLS options for `https` endpoints.
    pub tls: Option<EtcdTls>,
    /// User and password, if etcd authentication is enabled.
    pub user: Option<(String, String)>,
    /// Quota of the members in bytes (`--quota-backend-bytes`); `None` for the default of etcd. etcd from 3.6 on tells it
    /// itself.
    pub quota: Option<u64>,
}

/// TLS options of the connection to etcd.
#[derive(Clone, Default)]
pub struct EtcdTls {
    /// Trusted CA certificates, PEM; empty to use the system roots.
    pub ca_pem: Vec<u8>,
    /// Client certificate and key, PEM, if etcd requires client certificates.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// Server name in the certificates of the members, if it differs from the URL.
    pub server_name: Option<String>,
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdOptions")
            .field("endpoints", &self.endpoints)
            .field("namespace", &self.namespace)
            .field("tls", &self.tls.is_some())
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("quota", &self.quota)
            .finish()
    }
}

/// [`Store`] implementation on etcd. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EtcdStore {
    members: Arc<ClusterClient>,
    namespace: KeyNamespace,
    quota: u64,
}

impl EtcdStore {
    /// Creates a store over the given members. Rejects invalid options; connects on first use.
    pub fn new(options: EtcdOptions) -> Result<Self, StoreError> {
        let namespace = KeyNamespace::new(&options.namespace)?;
        let quota = options.quota.unwrap_or(space::DEFAULT_QUOTA);
        let members = Arc::new(ClusterClient::new(options)?);
        Ok(Self {
            members,
            namespace,
            quota,
        })
    }

    async fn page(
        &self,
        prefix: String,
        after: Option<String>,
        limit: usize,
        at: Option<Revision>,
        options: GetOptions,
    ) -> Result<StorePage, StoreError> {
        request::check_limit(limit)?;
        let limit = i64::try_from(limit.min(MAX_PAGE_ENTRIES)).unwrap_or(i64::MAX);
        let (start, end) = self.namespace.range(&prefix, after.as_deref());
        let mut options = options.with_range(end).with_limit(limit);
        if let Some(at) = at {
            options = options.with_revision(revision_to_etcd(at)?);
        }
        let response = self.members.read(|client| {
            let (start, options) = (start.clone(), options.clone());
            async move {
                let mut kv = client
                    .kv_client()
                    .max_decoding_message_size(MAX_MESSAGE_BYTES);
                kv.get(start, Some(options)).await
            }
        });
        let mut response = response.await?;
        let now = response.header().map_or(0, |header| header.revision());
        let more = response.more();
        let entry = |pair: etcd_client::KeyValue| {
            let modified = revision_from_etcd(pair.mod_revision());
            let (key, value) = pair.into_key_value();
            let key = self.namespace.strip(&key)?;
            Some(KeyValue {
                key,
                value,
                mod_revision: modified,
            })
        };
        Ok(StorePage {
            entries: response.take_kvs().into_iter().filter_map(entry).collect(),
            revision: at.unwrap_or_else(|| revision_from_etcd(now)),
            more,
        })
    }
}

fn revision_from_etcd(revision: i64) -> Revision {
    u64::try_from(revision).unwrap_or(0)
}

fn revision_to_etcd(revision: Revision) -> Result<i64, StoreError> {
    let beyond = || StoreError::InvalidRequest(format!("there is no revision {revision}"));
    i64::try_from(revision).map_err(|_| beyond())
}

impl Store for EtcdStore {
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage, StoreError>> {
        let options = GetOptions::new();
        let after = after.map(str::to_owned);
        Box::pin(self.page(prefix.to_owned(), after, limit, at, options))
    }

    fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> BoxFuture<'_, Result<StoreKeyPage, StoreError>> {
        let options = GetOptions::new().with_keys_only();
        let after = after.map(str::to_owned);
        let page = self.page(prefix.to_owned(), after, limit, at, options);
        Box::pin(async move { Ok(request::keys_of(page.await?)) })
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(async move {
            request::check(&txn)?;
            let txn = transaction::build(&self.namespace, txn)?;
            let call =
                |client: etcd_client::Client| async move { client.kv_client().txn(txn).await };
            let response = self.members.call(call).await?;
            if !response.succeeded() {
                return Ok(TxnOutcome::CompareFailed);
            }
            let revision = response.header().map_or(0, |header| header.revision());
            Ok(TxnOutcome::Committed(revision_from_etcd(revision)))
        })
    }

    fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> BoxFuture<'_, Result<Box<dyn StoreWatcher>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            let members = Arc::clone(&self.members);
            let namespace = self.namespace.clone();
            let watcher = watcher::EtcdWatcher::start(members, namespace, &prefix, from).await?;
            Ok(Box::new(watcher) as Box<dyn StoreWatcher>)
        })
    }

    fn grant_lease(&self, ttl_seconds: u64) -> BoxFuture<'_, Result<Lease, StoreError>> {
        Box::pin(async move {
            let ttl = i64::try_from(ttl_seconds).unwrap_or(i64::MAX);
            let call = move |client: etcd_client::Client| async move {
                client.lease_client().grant(ttl, None).await
            };
            Ok(Lease(self.members.call(call).await?.id()))
        })
    }

    fn keep_alive(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let call = move |client: etcd_client::Client| async move {
                client.lease_client().keep_alive(lease.0).await
            };
            self.members.call(call).await.map(drop)
        })
    }

    fn revoke_lease(&self, lease: Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let call = move |client: etcd_client::Client| async move {
                client.lease_client().revoke(lease.0).await
            };
            self.members.call(call).await.map(drop)
        })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let revision = revision_to_etcd(revision)?;
            let call = move |client: etcd_client::Client| async move {
                let options = CompactionOptions::new();
                client.kv_client().compact(revision, Some(options)).await
            };
            match self.members.call(call).await {
                // The revision is already compacted: etcd may compact by itself.
                Ok(_) | Err(StoreError::Compacted(_)) => Ok(()),
                Err(other) => Err(other),
            }
        })
    }

    fn space(&self) -> BoxFuture<'_, Result<StoreSpace, StoreError>> {
        Box::pin(self.measure_space())
    }

    fn set_reserve_aside(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write_reserve())
    }

    fn reclaim(&self, reserve: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.make_room(reserve))
    }
}
