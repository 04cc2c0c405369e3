//! Readers of records of requests that are connected to this control plane, and the proxies that send them. Both
//! listeners share the registry: operators read at one, proxies send to the other. No step waits: records for which a
//! reader has no room are dropped and counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{mpsc, watch};
use tonic::Status;
use toolgate_control_core::CallerIdentity;
use toolgate_model::{CallQuery, CallRecord, Slug};
use toolgate_proto::push::v1::CallReport;
use toolgate_wire::{limits::CALL_RECORDS, push::call_record};

use crate::status;

/// Maximum number of readers of a control plane.
pub(crate) const MAX_READERS: usize = 32;
/// Maximum number of readers with one token.
pub(crate) const MAX_READERS_PER_CALLER: usize = 4;
/// Maximum number of readers with tokens of one organization.
pub(crate) const MAX_READERS_PER_ORGANIZATION: usize = 8;
/// Number of readers that only the deployment itself can use.
pub(crate) const RESERVED_READERS: usize = 4;
/// Number of messages of proxies that wait for one reader.
pub(crate) const WAITING_REPORTS: usize = 16;

/// Registry of the readers and of the proxies with an open stream. Cheap to clone.
#[derive(Clone, Default)]
pub struct CallReaders(Arc<ReaderRegistry>);

#[derive(Default)]
struct ReaderRegistry {
    readers: Mutex<ReaderTable>,
    /// Queries of all readers; the latest value wins.
    queries: watch::Sender<Arc<[CallQuery]>>,
    /// Number of open streams of each proxy.
    proxies: Mutex<BTreeMap<Slug, usize>>,
}

#[derive(Default)]
struct ReaderTable {
    last_id: u64,
    by_id: BTreeMap<u64, Arc<ReaderEntry>>,
}

struct ReaderEntry {
    query: CallQuery,
    author: String,
    /// Organization of the caller's token; `None` for the deployment itself.
    organization: Option<Slug>,
    reports: mpsc::Sender<ProxyCalls>,
    /// Records that were dropped because the reader had no room.
    dropped: AtomicU64,
}

/// Records of one message of a proxy.
#[derive(Debug)]
pub(crate) struct ProxyCalls {
    pub(crate) proxy: Slug,
    pub(crate) records: Vec<CallRecord>,
    /// Records that the proxy lost.
    pub(crate) lost: u64,
    /// True if the past records of the proxy end with this message.
    pub(crate) caught_up: bool,
}

/// Connected reader. It leaves the registry when it is dropped.
pub(crate) struct CallReader {
    registry: CallReaders,
    id: u64,
    entry: Arc<ReaderEntry>,
    reports: mpsc::Receiver<ProxyCalls>,
}

/// Open stream of a proxy. It leaves the registry when it is dropped.
pub(crate) struct ProxyCallStream {
    registry: CallReaders,
    proxy: Slug,
}

impl CallReaders {
    /// Adds a reader for `caller`. Its query gets a new id.
    pub(crate) fn open(
        &self,
        mut query: CallQuery,
        caller: &CallerIdentity,
    ) -> Result<CallReader, Status> {
        let (sender, reports) = mpsc::channel(WAITING_REPORTS);
        let author = caller.author();
        let organization = match caller {
            CallerIdentity::Token { org, .. } => Some(org.clone()),
            CallerIdentity::System | CallerIdentity::Proxy { .. } | CallerIdentity::Anonymous => {
                None
            }
        };
        let mut readers = self.readers();
        readers.check_room(&author, organization.as_ref())?;
        readers.last_id += 1;
        let id = readers.last_id;
        query.id = id;
        let entry = Arc::new(ReaderEntry {
            query,
            author,
            organization,
            reports: sender,
            dropped: AtomicU64::new(0),
        });
        readers.by_id.insert(id, Arc::clone(&entry));
        self.publish(&readers);
        drop(readers);
        Ok(CallReader {
            registry: self.clone(),
            id,
            entry,
            reports,
        })
    }

    /// Adds the stream of a proxy.
    pub(crate) fn register(&self, proxy: Slug) -> ProxyCallStream {
        *self.proxies().entry(proxy.clone()).or_default() += 1;
        ProxyCallStream {
            registry: self.clone(),
            proxy,
        }
    }

    /// Returns a receiver of the queries of all readers.
    pub(crate) fn queries(&self) -> watch::Receiver<Arc<[CallQuery]>> {
        self.0.queries.subscribe()
    }

    /// Returns the proxies with an open stream.
    pub(crate) fn connected(&self) -> BTreeSet<Slug> {
        self.proxies().keys().cloned().collect()
    }

    /// Hands a message of a proxy to its reader. Records that are not valid, and those above the limit of a message, count
    /// as lost.
    pub(crate) fn deliver(&self, proxy: &Slug, report: &CallReport) {
        let Some(entry) = self.readers().by_id.get(&report.query).cloned() else {
            // The reader has left.
            return;
        };
        let gateway = &entry.query.filter.gateway;
        let given = report.records.iter().take(CALL_RECORDS);
        let records: Vec<_> = given
            .filter_map(|record| call_record(record, gateway).ok())
            .collect();
        let invalid = report.records.len() - records.len();
        let lost = report.lost.saturating_add(invalid as u64);
        let count = records.len() as u64;
        let sent = entry.reports.try_send(ProxyCalls {
            proxy: proxy.clone(),
            records,
            lost,
            caught_up: report.caught_up,
        });
        if sent.is_err() {
            let dropped = count.saturating_add(lost);
            entry.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    fn publish(&self, readers: &ReaderTable) {
        let queries = readers.by_id.values().map(|it| it.query.clone());
        self.0.queries.send_replace(queries.collect());
    }

    fn readers(&self) -> MutexGuard<'_, ReaderTable> {
        let readers = &self.0.readers;
        readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proxies(&self) -> MutexGuard<'_, BTreeMap<Slug, usize>> {
        let proxies = &self.0.proxies;
        proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReaderTable {
    /// Succeeds if there is room for a further reader.
    fn check_room(&self, author: &str, organization: Option<&Slug>) -> Result<(), Status> {
        let count = |is_of: &dyn Fn(&ReaderEntry) -> bool| {
            let readers = self.by_id.values();
            readers.filter(|reader| is_of(reader)).count()
        };
        if count(&|reader| reader.author == author) >= MAX_READERS_PER_CALLER {
            return Err(status::overloaded(&format!(
                "{author} reads calls over {MAX_READERS_PER_CALLER} streams already: close one"
            )));
        }
        let Some(organization) = organization else {
            return self.check_total(MAX_READERS);
        };
        let own = count(&|reader| reader.organization.as_ref() == Some(organization));
        if own >= MAX_READERS_PER_ORGANIZATION {
            return Err(status::overloaded(&format!(
                "{MAX_READERS_PER_ORGANIZATION} readers of calls of the organization {organization} are connected already"
            )));
        }
        self.check_total(MAX_READERS - RESERVED_READERS)
    }

    fn check_total(&self, limit: usize) -> Result<(), Status> {
        if self.by_id.len() < limit {
            return Ok(());
        }
        let message = format!("{limit} readers of calls are connected already");
        Err(status::overloaded(&message))
    }
}

impl CallReader {
    /// Returns the query.
    pub(crate) fn query(&self) -> &CallQuery {
        &self.entry.query
    }

    /// Returns the next message of a proxy. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<ProxyCalls> {
        self.reports.recv().await
    }

    /// Returns the number of records that were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.entry.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for CallReader {
    fn drop(&mut self) {
        let mut readers = self.registry.readers();
        readers.by_id.remove(&self.id);
        self.registry.publish(&readers);
    }
}

impl Drop for ProxyCallStream {
    fn drop(&mut self) {
        let mut proxies = self.registry.proxies();
        if let Some(streams) = proxies.get_mut(&self.proxy) {
            *streams -= 1;
            if *streams == 0 {
                proxies.remove(&self.proxy);
            }
        }
    }
}

#[cfg(test)]
mod tests;
