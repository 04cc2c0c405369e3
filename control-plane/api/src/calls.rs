//! Calls service: streams the records of the requests through a gateway to a reader, first the latest ones that proxies
//! have kept, then each as it ends.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use toolgate_control_core::{StateKind as _, StoreState, push::is_connected};
use toolgate_model::{CallRecord, Gateway, ObjectName, Slug, Uid};
use toolgate_proto::admin::v1::{CallSources, TailCallsRequest, TailCallsResponse, calls_server};
use toolgate_wire::{
    admin::{call_query, call_to_proto},
    limits::CALL_RECORDS,
};

use crate::{
    api_context::ApiContext,
    call_readers::{CallReader, ProxyCalls},
    caller::AdminCaller,
    status,
};

/// Number of messages buffered for the reader.
const BUFFER: usize = 4;
/// Maximum time to wait for the past records of all proxies.
const PAST_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of later records that wait for the end of the past ones.
const MAX_LATER: usize = 1_024;
/// Interval between two checks of the caller, the gateway and the proxies.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Time after which a reader that takes nothing is disconnected, so that others have its place.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(60);

type CallSender = mpsc::Sender<Result<TailCallsResponse, Status>>;

/// Stream to one reader.
struct CallTail {
    edge: ApiContext,
    caller: Arc<AdminCaller>,
    reader: CallReader,
    sender: CallSender,
    past_only: bool,
    /// Proxies as they were told last.
    sources: Option<CallSources>,
}

#[tonic::async_trait]
impl calls_server::Calls for ApiContext {
    type TailCallsStream = ReceiverStream<Result<TailCallsResponse, Status>>;

    async fn tail_calls(
        &self,
        request: Request<TailCallsRequest>,
    ) -> Result<Response<Self::TailCallsStream>, Status> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let mut query = call_query(&request).map_err(status::invalid_message)?;
        let gateway = &query.filter.gateway;
        let key = Gateway::key(gateway.clone());
        caller.require_in_org(&gateway.org, &key)?;
        let Some(uid) = gateway_uid(&self.published().state, gateway) else {
            return Err(status::not_found(&key));
        };
        query.filter.gateway_uid = Some(uid);
        let reader = self.call_readers.open(query, &caller.identity)?;
        let (sender, receiver) = mpsc::channel(BUFFER);
        let tail = CallTail {
            edge: self.clone(),
            caller,
            reader,
            sender: sender.clone(),
            past_only: request.past_only,
            sources: None,
        };
        let draining = self.drain.draining();
        self.drain.spawn("tail of calls", async move {
            let ended = tokio::select! {
                () = draining => Err(ending()),
                () = sender.closed() => Ok(()),
                ended = tail.run() => ended,
            };
            if let Err(status) = ended {
                // A reader that does not read is not waited for.
                let _full_or_gone = timeout(CHECK_INTERVAL, sender.send(Err(status))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Returns the identity of the gateway of this name; `None` if there is none.
fn gateway_uid(state: &StoreState, gateway: &ObjectName) -> Option<Uid> {
    let stored = Gateway::table(state).get(gateway);
    stored.map(|stored| stored.meta.uid)
}

fn ending() -> Status {
    let message = "the control plane is ending; connect again".to_owned();
    status::unavailable("ENDING", message)
}

impl CallTail {
    async fn run(mut self) -> Result<(), Status> {
        self.send_past().await?;
        if self.past_only {
            self.send_sources().await?;
            return Ok(());
        }
        loop {
            self.check()?;
            self.send_sources().await?;
            let next_check = Instant::now() + CHECK_INTERVAL;
            // Ends with the interval, also if there is always a record.
            while let Ok(Some(report)) = timeout_at(next_check, self.reader.next()).await {
                self.send_report(report).await?;
                if Instant::now() >= next_check {
                    break;
                }
            }
            self.send_dropped().await?;
        }
    }

    /// Sends the past records of all proxies, in the order of their times. A proxy that does not answer in time is not
    /// waited for.
    async fn send_past(&mut self) -> Result<(), Status> {
        let deadline = Instant::now() + PAST_TIMEOUT;
        let mut awaited = self.edge.call_readers.connected();
        let tail = self.reader.query().tail;
        let mut past = PastCalls::new(tail);
        let (mut later, mut lost) = (VecDeque::new(), 0);
        while !awaited.is_empty() {
            let Ok(Some(report)) = timeout_at(deadline, self.reader.next()).await else {
                break;
            };
            lost = u64::saturating_add(lost, report.lost);
            if awaited.contains(&report.proxy) {
                if report.caught_up {
                    awaited.remove(&report.proxy);
                }
                past.add(&report.proxy, report.records);
            } else {
                let records = report.records.into_iter();
                later.extend(records.map(|record| (report.proxy.clone(), record)));
            }
            while later.len() > MAX_LATER {
                later.pop_front();
                lost = lost.saturating_add(1);
            }
        }
        lost = lost.saturating_add(self.reader.take_dropped());
        let calls = past.into_calls().into_iter().chain(later);
        let mut calls = calls.map(|(proxy, record)| call_to_proto(&proxy, record));
        loop {
            let part: Vec<_> = calls.by_ref().take(CALL_RECORDS).collect();
            let is_last = part.len() < CALL_RECORDS;
            self.send(TailCallsResponse {
                calls: part,
                lost: if is_last { lost } else { 0 },
                synced: is_last,
                sources: None,
            })
            .await?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn send_report(&self, report: ProxyCalls) -> Result<(), Status> {
        let calls = report.records.into_iter();
        let calls: Vec<_> = calls.map(|it| call_to_proto(&report.proxy, it)).collect();
        let lost = report.lost.saturating_add(self.reader.take_dropped());
        if calls.is_empty() && lost == 0 {
            return Ok(());
        }
        self.send(TailCallsResponse {
            calls,
            lost,
            ..TailCallsResponse::default()
        })
        .await
    }

    async fn send_dropped(&self) -> Result<(), Status> {
        let lost = self.reader.take_dropped();
        if lost == 0 {
            return Ok(());
        }
        self.send(TailCallsResponse {
            lost,
            ..TailCallsResponse::default()
        })
        .await
    }

    /// Sends the proxies if they have changed.
    async fn send_sources(&mut self) -> Result<(), Status> {
        let sending = self.edge.call_readers.connected();
        let (published, now) = (self.edge.published(), self.edge.state.now());
        let proxies = published.state.proxies.iter();
        let connected = proxies.filter(|(_, proxy)| is_connected(proxy, now));
        let missing: BTreeSet<&Slug> = connected
            .map(|(id, _)| id)
            .filter(|id| !sending.contains(*id))
            .collect();
        let sources = CallSources {
            proxies: sending.iter().map(ToString::to_string).collect(),
            missing: missing.into_iter().map(ToString::to_string).collect(),
        };
        if self.sources.as_ref() == Some(&sources) {
            return Ok(());
        }
        self.sources = Some(sources.clone());
        self.send(TailCallsResponse {
            sources: Some(sources),
            ..TailCallsResponse::default()
        })
        .await
    }

    /// Checks that the caller has its rights still, and that the gateway exists. A gateway made later under the same name
    /// does not count.
    fn check(&self) -> Result<(), Status> {
        let published = self.edge.published();
        self.caller
            .recheck(&published.state, self.edge.state.now())?;
        let filter = &self.reader.query().filter;
        if gateway_uid(&published.state, &filter.gateway) == filter.gateway_uid {
            return Ok(());
        }
        Err(status::not_found(&Gateway::key(filter.gateway.clone())))
    }

    /// Waits for room. Meanwhile records of proxies are dropped and counted. A reader that has gone ends the task, and so
    /// does a reader that takes nothing for [`STALL_TIMEOUT`].
    async fn send(&self, response: TailCallsResponse) -> Result<(), Status> {
        let deadline = Instant::now() + STALL_TIMEOUT;
        let mut response = Some(response);
        loop {
            tokio::select! {
                room = self.sender.reserve() => {
                    if let (Ok(room), Some(response)) = (room, response.take()) {
                        room.send(Ok(response));
                    }
                    return Ok(());
                }
                // A token that is revoked gets nothing further.
                () = sleep(CHECK_INTERVAL) => self.check()?,
            }
            if Instant::now() >= deadline {
                let message = format!("nothing was read for {} s", STALL_TIMEOUT.as_secs());
                return Err(status::overloaded(&message));
            }
        }
    }
}

/// Number of records beyond twice the limit from which on the records are sorted and cut, so that a low limit does not sort
/// them after each record.
const SHRINK_SLACK: usize = 64;

/// Latest past records of all proxies.
struct PastCalls {
    limit: usize,
    calls: Vec<(Slug, CallRecord)>,
}

impl PastCalls {
    fn new(limit: usize) -> Self {
        let calls = Vec::new();
        Self { limit, calls }
    }

    fn add(&mut self, proxy: &Slug, records: Vec<CallRecord>) {
        let records = records.into_iter().map(|record| (proxy.clone(), record));
        self.calls.extend(records);
        if self.calls.len() > 2 * self.limit + SHRINK_SLACK {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.calls
            .sort_by_key(|(_, record)| (record.received, record.sequence));
        let surplus = self.calls.len().saturating_sub(self.limit);
        self.calls.drain(..surplus);
    }

    fn into_calls(mut self) -> Vec<(Slug, CallRecord)> {
        self.shrink();
        self.calls
    }
}
