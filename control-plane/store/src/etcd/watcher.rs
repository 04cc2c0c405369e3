//! Watch on etcd that fails with an error when the member stops responding.
//!
//! Only events advance the delivered revision. A progress notification proves that the member is alive and nothing
//! more: etcd before 3.4.25 and 3.5.8 could report a revision ahead of events that were not delivered yet.

use std::{pin::Pin, sync::Arc};

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use tokio::time::{Sleep, sleep, timeout};
use toolgate_control_core::port::{
    BoxFuture, KeyValue, Revision, StoreError, StoreEvent, StoreWatcher, WatchBatch,
};

use super::{
    CALL_TIMEOUT, MAX_MESSAGE_BYTES, WATCH_IDLE_TIMEOUT, WATCH_SILENT_INTERVALS,
    cluster_client::ClusterClient, error::from_etcd, key_namespace::KeyNamespace,
    revision_from_etcd, revision_to_etcd,
};

pub(super) struct EtcdWatcher {
    members: Arc<ClusterClient>,
    namespace: KeyNamespace,
    member_index: usize,
    stream: WatchStream,
    /// Batch received with the response to the watch request.
    first_batch: Option<WatchBatch>,
    /// Fires when the member sends nothing for an interval.
    idle_timer: Pin<Box<Sleep>>,
    /// Number of intervals in a row without a message. A progress request follows each of them.
    silent_intervals: u32,
}

impl EtcdWatcher {
    pub(super) async fn start(
        members: Arc<ClusterClient>,
        namespace: KeyNamespace,
        prefix: &str,
        from: Revision,
    ) -> Result<Self, StoreError> {
        let (start, end) = namespace.range(prefix, None);
        let options = WatchOptions::new()
            .with_range(end)
            .with_prev_key()
            .with_progress_notify()
            .with_start_revision(revision_to_etcd(from.max(1))?);
        let mut member_index = 0;
        let open = async {
            let member = members.member().await?;
            member_index = member.index;
            let mut client = member
                .client
                .watch_client()
                .max_decoding_message_size(MAX_MESSAGE_BYTES);
            let mut stream = client
                .watch(start, Some(options))
                .await
                .map_err(from_etcd)?;
            let created = stream.message().await.map_err(from_etcd)?;
            Ok((stream, created))
        };
        let opened: Result<_, StoreError> = match timeout(CALL_TIMEOUT, open).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(StoreError::Unavailable(
                "the watch was not opened within 2 s".to_owned(),
            )),
        };
        let (stream, created) = opened.inspect_err(|_| members.fail_over(member_index))?;
        let mut watcher = Self {
            members,
            namespace,
            member_index,
            stream,
            first_batch: None,
            idle_timer: Box::pin(sleep(WATCH_IDLE_TIMEOUT)),
            silent_intervals: 0,
        };
        watcher.first_batch = watcher.read(created)?;
        Ok(watcher)
    }

    async fn advance(&mut self) -> Result<WatchBatch, StoreError> {
        if let Some(batch) = self.first_batch.take() {
            return Ok(batch);
        }
        loop {
            tokio::select! {
                biased;
                message = self.stream.message() => {
                    self.idle_timer = Box::pin(sleep(WATCH_IDLE_TIMEOUT));
                    self.silent_intervals = 0;
                    let message = message.map_err(from_etcd)?;
                    if let Some(batch) = self.read(message)? {
                        return Ok(batch);
                    }
                }
                () = &mut self.idle_timer => {
                    self.silent_intervals += 1;
                    if self.silent_intervals >= WATCH_SILENT_INTERVALS {
                        let reason = "the member we watch has fallen silent".to_owned();
                        return Err(StoreError::Unavailable(reason));
                    }
                    self.idle_timer = Box::pin(sleep(WATCH_IDLE_TIMEOUT));
                    let ask = timeout(WATCH_IDLE_TIMEOUT, self.stream.request_progress()).await;
                    if !matches!(ask, Ok(Ok(()))) {
                        return Err(StoreError::Unavailable("the watch is closed".to_owned()));
                    }
                }
            }
        }
    }

    /// Returns the events of a message, if any. A message is one batch: etcd splits between revisions only, unless
    /// fragments are requested.
    fn read(&self, message: Option<WatchResponse>) -> Result<Option<WatchBatch>, StoreError> {
        let Some(message) = message else {
            return Err(StoreError::Unavailable("the watch has ended".to_owned()));
        };
        if message.compact_revision() > 0 {
            let compacted = revision_from_etcd(message.compact_revision());
            return Err(StoreError::Compacted(compacted));
        }
        if message.canceled() {
            let reason = message.cancel_reason();
            return Err(StoreError::Unavailable(format!(
                "the watch was cancelled: {reason}"
            )));
        }
        let events: Vec<StoreEvent> = message
            .events()
            .iter()
            .filter_map(|event| self.event(event))
            .collect();
        let revision = |event: &StoreEvent| match event {
            StoreEvent::Put(entry) => entry.mod_revision,
            StoreEvent::Delete { revision, .. } => *revision,
        };
        let last = events.iter().map(revision).max();
        Ok(last.map(|revision| WatchBatch { events, revision }))
    }

    fn event(&self, event: &etcd_client::Event) -> Option<StoreEvent> {
        let pair = event.kv()?;
        let key = self.namespace.strip(pair.key())?;
        let revision = revision_from_etcd(pair.mod_revision());
        Some(match event.event_type() {
            EventType::Put => StoreEvent::Put(KeyValue {
                key,
                value: pair.value().to_vec(),
                mod_revision: revision,
            }),
            EventType::Delete => StoreEvent::Delete { key, revision },
        })
    }
}

impl StoreWatcher for EtcdWatcher {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchBatch, StoreError>> {
        Box::pin(async move {
            let batch = self.advance().await;
            if let Err(StoreError::Unavailable(_)) = &batch {
                self.members.fail_over(self.member_index);
            }
            batch
        })
    }
}
