//! Push client: reports the held configuration, applies updates, acknowledges each push, and reconnects when the stream
//! breaks.

use std::{error::Error as _, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use toolgate_model::{Snapshot, SnapshotResource, Timestamp, Version};
use toolgate_proto::push::v1::{self as pb, from_proxy::Message, push_client::PushClient};
use toolgate_runtime::{Backoff, metrics::Counter, metrics::SnapshotGauge, random};
use toolgate_wire::push::{
    ReceivedUpdate, RejectedResource, UpdateAssembler, digests_to_proto, rejected_to_proto,
    version_to_proto,
};

use crate::{
    applied_config::AppliedConfig,
    connection_problem::{self, ConnectionProblem},
    control_channels::ControlChannels,
    expulsion::Expulsion,
    handle::SyncState,
    options::ProxyContext,
    repeated_problem::RepeatedProblems,
    report::ProxyReporter,
};

/// Maximum message size, in bytes. Pushes come in parts of one megabyte; control planes of earlier builds send a resource
/// in one part, however large it is.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// Interval at which an open stream confirms that the held configuration is current.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(2);

/// Stream duration after which the reconnect backoff is reset.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// Time for which requests in flight go on after this proxy was deleted. Their sessions and streams end with the gateways.
const FINISH_TIME: Duration = Duration::from_secs(10);

/// Maximum number of resources that a push logs for one reason; of the others it logs the number.
const MAX_LOGGED_RESOURCES: usize = 20;

/// Description of this proxy, as sent in a Hello.
#[derive(Debug, Clone)]
pub(crate) struct ProxyDescription {
    pub(crate) proxy_id: String,
    pub(crate) region: String,
    pub(crate) build: String,
    pub(crate) listen: String,
    pub(crate) started: Timestamp,
}

/// Task that receives pushes.
pub(crate) struct PushTask {
    pub(crate) channels: ControlChannels,
    pub(crate) state: Arc<SyncState>,
    pub(crate) context: ProxyContext,
    pub(crate) description: ProxyDescription,
    pub(crate) applied: AppliedConfig,
    pub(crate) version: watch::Sender<Version>,
    /// Snapshots to be stored on disk; the latest one wins.
    pub(crate) persist: watch::Sender<Arc<Snapshot>>,
    pub(crate) gauge: SnapshotGauge,
    pub(crate) reporter: ProxyReporter,
    pub(crate) reconnect: (Duration, Duration),
    pub(crate) problems: RepeatedProblems,
    /// Absent for a proxy in the process of its control plane, which cannot be deleted.
    pub(crate) expulsion: Option<Expulsion>,
}

/// Reason for the end of a push stream.
#[derive(Debug, thiserror::Error)]
enum PushStreamError {
    #[error("{}", .0.message())]
    Status(#[from] Box<tonic::Status>),
    #[error("the control plane ended the stream")]
    Closed,
    #[error("{0}")]
    InvalidUpdate(#[from] toolgate_wire::push::InvalidUpdate),
    #[error("{0}")]
    VersionRollback(#[from] crate::applied_config::VersionRollback),
    #[error("building the view was cut off")]
    BuildCancelled,
}

impl PushTask {
    /// Runs until the drain has settled.
    pub(crate) async fn run(mut self) {
        let rejections = self.context.metrics.counter(
            "toolgate.push.refused",
            "Resources that this proxy did not take",
            &[],
        );
        let drain = self.context.drain.clone();
        let mut backoff = Backoff::new(self.reconnect.0, self.reconnect.1);
        loop {
            let began = self.context.clock.monotonic();
            let ended = tokio::select! {
                () = drain.settled() => return,
                ended = self.stream(&rejections) => ended,
            };
            if is_stable(self.context.clock.monotonic().duration_since(began)) {
                backoff.reset();
            }
            self.report_disconnected(&ended).await;
            self.leave_if_expelled(&ended).await;
            tokio::select! {
                () = drain.settled() => return,
                () = sleep(backoff.next(random::number())) => {}
            }
        }
    }

    /// Serves nothing any more if the control plane has ended the stream because this proxy was deleted: no new request from
    /// now on, and after a while for those in flight, no gateway.
    async fn leave_if_expelled(&mut self, ended: &PushStreamError) {
        let PushStreamError::Status(status) = ended else {
            return;
        };
        let Some(expulsion) = &mut self.expulsion else {
            return;
        };
        if expulsion.is_in_force() || !expulsion.is_told_by(status) {
            return;
        }
        expulsion.begin().await;
        tokio::select! {
            () = self.context.drain.settled() => return,
            () = sleep(FINISH_TIME) => {}
        }
        self.applied = AppliedConfig::empty();
        self.state.view.store(Arc::clone(&self.applied.view));
        self.gauge.held(Version::default());
        self.version.send_replace(Version::default());
    }

    /// Runs one stream and returns the reason for its end.
    async fn stream(&mut self, rejections: &Counter) -> PushStreamError {
        match self.run_stream(rejections).await {
            Ok(()) => PushStreamError::Closed,
            Err(ended) => ended,
        }
    }

    async fn run_stream(&mut self, rejections: &Counter) -> Result<(), PushStreamError> {
        let channel = self.channels.new_channel().await;
        let mut client = PushClient::new(channel.clone()).max_decoding_message_size(MESSAGE_LIMIT);
        let (answers, outgoing) = mpsc::channel(4);
        let hello = Message::Hello(self.hello());
        // The receiver is still alive: it is part of the request below.
        let _sent = answers.send(to_proto(hello)).await;
        let answer = client
            .subscribe(ReceiverStream::new(outgoing))
            .await
            .map_err(Box::new)?;
        self.report_connected();
        let reporting = self.reporter.clone().run(channel);
        tokio::select! {
            ended = self.take_updates(answer.into_inner(), answers, rejections) => ended,
            () = reporting => Ok(()),
        }
    }

    /// Applies and answers updates until the stream ends.
    async fn take_updates(
        &mut self,
        mut updates: Streaming<pb::Update>,
        answers: mpsc::Sender<pb::FromProxy>,
        rejections: &Counter,
    ) -> Result<(), PushStreamError> {
        let mut assembly = UpdateAssembler::default();
        while let Some(part) = self.next_update(&mut updates).await? {
            let Some(incoming) = assembly.add_part(part)? else {
                continue;
            };
            let (nonce, version) = (incoming.nonce, incoming.version);
            let rejected = self.apply(incoming).await?;
            rejections.add(rejected.len() as u64);
            if answers
                .send(to_proto(acknowledgement(nonce, version, &rejected)))
                .await
                .is_err()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the next message; meanwhile confirms periodically that the stream is open.
    async fn next_update(
        &self,
        updates: &mut Streaming<pb::Update>,
    ) -> Result<Option<pb::Update>, PushStreamError> {
        let mut ticks = interval(CONFIRM_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = updates.message() => return Ok(message.map_err(Box::new)?),
                _ = ticks.tick() => self.gauge.mark_confirmed(),
            }
        }
    }

    /// Applies a push and publishes the view, on a blocking thread.
    async fn apply(
        &mut self,
        incoming: ReceivedUpdate,
    ) -> Result<Vec<RejectedResource>, PushStreamError> {
        let (held, shared) = (self.applied.clone(), Arc::clone(&self.state));
        let work = spawn_blocking(move || {
            let taken = held.apply(incoming)?;
            // Stored here, so that the former view is dropped on this thread too.
            shared.view.store(Arc::clone(&taken.0.view));
            Ok::<_, crate::applied_config::VersionRollback>(taken)
        });
        let (next, rejected) = work
            .await
            .map_err(|_cut_off| PushStreamError::BuildCancelled)??;
        let before = std::mem::replace(&mut self.applied, next);
        if let Some(expulsion) = &mut self.expulsion {
            expulsion.end().await;
        }
        self.report_applied(&rejected, &before);
        Ok(rejected)
    }

    fn report_applied(&self, rejected: &[RejectedResource], before: &AppliedConfig) {
        let version = self.applied.snapshot.version;
        self.gauge.held(version);
        self.gauge.mark_confirmed();
        self.persist
            .send_replace(Arc::clone(&self.applied.snapshot));
        self.version.send_replace(version);
        self.state.set_configured();
        self.state.set_status(true, version, String::new());
        // Rejections that were logged before are not logged again.
        let is_news = |it: &&RejectedResource| {
            let known = it.known.as_ref();
            known.and_then(|key| before.rejected.get(key)) != Some(&it.reason)
        };
        let mut news = rejected.iter().filter(is_news);
        for rejected in news.by_ref().take(MAX_LOGGED_RESOURCES) {
            let resource = rejected.known.as_ref().map(ToString::to_string);
            let resource = resource.unwrap_or_else(|| "of an unknown kind".to_owned());
            tracing::warn!(
                resource,
                reason = rejected.reason,
                "not taken as it is: what was held of it stays, a gateway that is not understood is denied"
            );
        }
        let further = news.count();
        if further > 0 {
            tracing::warn!(further, "further resources are not taken as they are");
        }
        self.report_unreadable(before);
        let [gateways, servers, tokens] = self.applied.view.counts();
        let (visited, refused) = (self.applied.view.visited(), rejected.len());
        tracing::debug!(%version, gateways, servers, tokens, visited, refused, "serving a new version");
    }

    /// Logs the gateways whose records can no longer be read.
    fn report_unreadable(&self, before: &AppliedConfig) {
        let changes = self.applied.snapshot.changes_from(&before.snapshot);
        let mut unreadable = changes.puts.iter().filter(|(_, entry)| {
            matches!(&*entry.resource, SnapshotResource::Gateway(gateway) if gateway.is_unreadable())
        });
        for (resource, _) in unreadable.by_ref().take(MAX_LOGGED_RESOURCES) {
            tracing::warn!(
                %resource,
                "its record in the store cannot be read: its requests are answered with 503; the log of the control plane and \
                 `toolgate doctor` name the record: restore it from a backup, or delete the gateway and create it again"
            );
        }
        let further = unreadable.count();
        if further > 0 {
            tracing::warn!(further, "the records of further gateways cannot be read");
        }
    }

    fn hello(&self) -> pb::Hello {
        let version = self.applied.snapshot.version;
        pb::Hello {
            proxy_id: self.description.proxy_id.clone(),
            region: self.description.region.clone(),
            build: self.description.build.clone(),
            listen: self.description.listen.clone(),
            start_time_ms: self.description.started.0,
            held: (version != Version::default()).then(|| version_to_proto(version)),
            resources: digests_to_proto(&self.applied.digests()),
            reads_continued: true,
        }
    }

    fn report_connected(&self) {
        tracing::info!("connected to the control plane");
        self.problems.clear();
        self.gauge.mark_confirmed();
        self.state
            .set_status(true, self.applied.snapshot.version, String::new());
    }

    async fn report_disconnected(&self, ended: &PushStreamError) {
        let ConnectionProblem { text, reason } = match ended {
            PushStreamError::Status(status) => self.problem_of(status).await,
            PushStreamError::Closed
            | PushStreamError::InvalidUpdate(_)
            | PushStreamError::VersionRollback(_)
            | PushStreamError::BuildCancelled => ConnectionProblem {
                text: ended.to_string(),
                reason: "",
            },
        };
        let version = self.applied.snapshot.version;
        self.state.set_status(false, version, text.clone());
        let now = self.context.clock.monotonic();
        // During a drain the end is expected: in a single process, the control plane stops first.
        if self.problems.is_due(&text, now) && !self.context.drain.is_draining() {
            tracing::warn!(
                problem = text,
                reason,
                "no control plane; serving on with what is held"
            );
        } else {
            tracing::debug!(problem = text, reason, "still no control plane");
        }
    }

    /// Describes a status. A connection that broke without a reason is diagnosed.
    async fn problem_of(&self, status: &tonic::Status) -> ConnectionProblem {
        let end = self.state.certificate_end();
        let problem = connection_problem::describe(status, end, self.context.now());
        let is_broken = problem.reason.is_empty() && status.source().is_some();
        if !is_broken {
            return problem;
        }
        let found = self.channels.diagnose().await;
        found.map_or(problem, |error| connection_problem::of_connect(&error))
    }
}

/// Returns `true` for a stream that lasted long enough for the next one to be opened without an increased delay.
fn is_stable(lasted: Duration) -> bool {
    lasted > STABLE_AFTER
}

fn to_proto(message: Message) -> pb::FromProxy {
    pb::FromProxy {
        message: Some(message),
    }
}

fn acknowledgement(nonce: u64, version: Version, rejected: &[RejectedResource]) -> Message {
    let version = Some(version_to_proto(version));
    if rejected.is_empty() {
        return Message::Ack(pb::Ack { nonce, version });
    }
    let rejected = rejected
        .iter()
        .take(toolgate_wire::limits::REFUSALS)
        .map(rejected_to_proto);
    Message::Nack(pb::Nack {
        nonce,
        version,
        refused: rejected.collect(),
    })
}

#[cfg(test)]
mod tests;
