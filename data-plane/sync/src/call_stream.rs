//! Streams of records of requests, one to each control plane that this proxy knows: a reader is connected to one of them,
//! and the stream of the configuration only ever leads to one. A stream is silent while its control plane has no reader.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use toolgate_model::{CallQuery, CallRecord, Slug, Timestamp};
use toolgate_proto::push::v1::{CallQueries, CallReport, push_client::PushClient};
use toolgate_runtime::{Backoff, random};
use toolgate_wire::{
    limits::CALL_RECORDS,
    push::{call_queries, call_record_to_proto},
};

use crate::{
    call_log::{CallLog, LogPosition},
    control_channels::{ControlChannels, RoundRobinConnector},
    options::ProxyContext,
};

/// Interval at which the log is read for readers.
const READ_INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of records that one reader gets in an interval.
const MAX_RECORDS_PER_INTERVAL: usize = 256;

/// Interval after an attempt at a control plane of an earlier version, which has no such stream.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(30);

/// Task that keeps the streams open.
#[derive(Clone)]
pub(crate) struct CallStreamTask {
    pub(crate) proxy_id: Slug,
    pub(crate) log: Arc<CallLog>,
    pub(crate) channels: ControlChannels,
    pub(crate) context: ProxyContext,
    pub(crate) reconnect: (Duration, Duration),
}

/// Query of a control plane, and the position of its reader.
struct LogReader {
    query: CallQuery,
    position: LogPosition,
    /// True once the past records have been sent.
    caught_up: bool,
}

impl CallStreamTask {
    /// Runs until the drain has settled.
    pub(crate) async fn run(self) {
        let drain = self.context.drain.clone();
        tokio::select! {
            () = drain.settled() => {}
            () = self.keep_all_open() => {}
        }
    }

    /// Keeps the streams to all control planes open. Ends if the process shuts down before there is a connector.
    async fn keep_all_open(&self) {
        let mut connector = self.channels.connector();
        loop {
            let connectors: Vec<_> = match connector.wait_for(Option::is_some).await {
                Ok(known) => known.iter().flat_map(RoundRobinConnector::each).collect(),
                Err(_closed) => return,
            };
            // Without a control plane there is nothing to join.
            let streams = async {
                join_all(connectors.into_iter().map(|it| self.keep_open(it))).await;
                pending::<()>().await;
            };
            let replaced = async {
                // A connector whose setter has ended stays.
                if connector.changed().await.is_err() {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                () = streams => {}
                () = replaced => {}
            }
        }
    }

    /// Keeps the stream to one control plane open. Never ends.
    async fn keep_open(&self, connector: RoundRobinConnector) {
        let mut backoff = Backoff::new(self.reconnect.0, self.reconnect.1);
        loop {
            let ended = self.run_stream(connector.clone(), &mut backoff).await;
            let pause = match ended {
                Err(status) if status.code() == Code::Unimplemented => UNKNOWN_INTERVAL,
                ended => {
                    let reason = ended.err().map(|status| status.message().to_owned());
                    tracing::debug!(?reason, "a stream of records of requests ended");
                    backoff.next(random::number())
                }
            };
            sleep(pause).await;
        }
    }

    async fn run_stream(
        &self,
        connector: RoundRobinConnector,
        backoff: &mut Backoff,
    ) -> Result<(), Box<Status>> {
        let mut client = PushClient::new(connector.channel());
        let (reports, outgoing) = mpsc::channel(1);
        let hello = CallReport {
            proxy_id: self.proxy_id.to_string(),
            ..CallReport::default()
        };
        // The receiver is still alive: it is part of the request below.
        let _sent = reports.send(hello).await;
        let opened = client.calls(ReceiverStream::new(outgoing)).await;
        let mut queries = opened.map_err(Box::new)?.into_inner();
        let mut readers: Vec<LogReader> = Vec::new();
        let mut ticks = interval(READ_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = queries.message() => match message.map_err(Box::new)? {
                    Some(message) => {
                        backoff.reset();
                        self.update(&mut readers, &message);
                    }
                    None => return Ok(()),
                },
                _ = ticks.tick(), if !readers.is_empty() => {
                    for reader in &mut readers {
                        if !self.send_records(reader, &reports).await {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Replaces the queries. Readers that stay keep their positions.
    fn update(&self, readers: &mut Vec<LogReader>, message: &CallQueries) {
        let queries = call_queries(message);
        readers.retain(|reader| queries.iter().any(|query| query.id == reader.query.id));
        for query in queries {
            if !readers.iter().any(|reader| reader.query.id == query.id) {
                readers.push(LogReader {
                    position: self.log.end(&query.filter.gateway.org),
                    query,
                    caught_up: false,
                });
            }
        }
    }

    /// Sends the records that are due for a reader. Returns `false` if the stream has ended.
    async fn send_records(
        &self,
        reader: &mut LogReader,
        reports: &mpsc::Sender<CallReport>,
    ) -> bool {
        let (id, filter) = (reader.query.id, &reader.query.filter);
        if !reader.caught_up {
            reader.caught_up = true;
            let since = reader.query.since.unwrap_or(Duration::MAX);
            let oldest = before(self.context.now(), since);
            let past = self
                .log
                .past(reader.position, filter, oldest, reader.query.tail);
            if !send_all(reports, reports_of(id, past, 0, true)).await {
                return false;
            }
        }
        let page = self
            .log
            .follow(&mut reader.position, filter, MAX_RECORDS_PER_INTERVAL);
        if page.records.is_empty() && page.lost == 0 {
            return true;
        }
        let further = reports_of(id, page.records, page.lost, false);
        send_all(reports, further).await
    }
}

async fn send_all(reports: &mpsc::Sender<CallReport>, all: Vec<CallReport>) -> bool {
    for report in all {
        if reports.send(report).await.is_err() {
            return false;
        }
    }
    true
}

/// Returns the reports with these records, at least one. The last one has the number of lost records.
fn reports_of(query: u64, records: Vec<CallRecord>, lost: u64, caught_up: bool) -> Vec<CallReport> {
    let mut reports = Vec::new();
    let mut records = records.into_iter().map(call_record_to_proto).peekable();
    loop {
        let part = records.by_ref().take(CALL_RECORDS).collect();
        let is_last = records.peek().is_none();
        reports.push(CallReport {
            proxy_id: String::new(),
            query,
            records: part,
            lost: if is_last { lost } else { 0 },
            caught_up: caught_up && is_last,
        });
        if is_last {
            return reports;
        }
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Timestamp(now.0.saturating_sub(age))
}

#[cfg(test)]
mod tests;
