//! Tests of the push client: the log names each problem once, the status follows the stream, and the delay between
//! attempts grows until a stream has lasted.

use std::{io, sync::Mutex};

use toolgate_model::{ResourceKey, snapshot::SnapshotEntry};
use toolgate_runtime::memory;
use tracing::{Level, subscriber::DefaultGuard};

use super::*;
use crate::{
    ControlPlaneTransport, SyncOptions,
    fixture::{
        FakeControlPlane, connect, gateway, machine, options, serve, small, token, until, version,
    },
    start::start,
};

/// Log of the test's thread.
#[derive(Clone, Default)]
struct LogLines(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogLines {
    /// Records until the guard is dropped.
    fn record() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// Number of lines of this level that contain the text.
    fn count(&self, level: &str, text: &str) -> usize {
        let bytes = self.0.lock().unwrap();
        let log = String::from_utf8_lossy(&bytes);
        let named = |line: &&str| line.contains(level) && line.contains(text);
        log.lines().filter(named).count()
    }
}

/// Publishes the small configuration with further resources.
fn publish(
    fake: &FakeControlPlane,
    revision: u64,
    more: impl IntoIterator<Item = (ResourceKey, SnapshotEntry)>,
) {
    let mut wanted = small(revision);
    wanted.entries.extend(more);
    fake.wanted.send_replace(wanted);
}

fn is_broken(resource: &pb::Resource) -> bool {
    let id = resource.key.as_ref().map(|key| key.id.as_str());
    id.is_some_and(|id| id.starts_with("broken"))
}

fn without_body(update: &mut pb::Update) {
    let broken = update.puts.iter_mut().filter(|put| is_broken(put));
    broken.for_each(|put| put.body = None);
}

fn with_short_digest(update: &mut pb::Update) {
    let broken = update.puts.iter_mut().filter(|put| is_broken(put));
    broken.for_each(|put| put.digest.truncate(3));
}

fn incomplete(update: &mut pb::Update) {
    update.more = true;
}

#[tokio::test]
async fn a_refused_resource_is_logged_once_for_each_reason() {
    let (log, _recording) = LogLines::record();
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let _handle = serve(&fake, &machine).await;
    *fake.mutator.lock().unwrap() = Some(without_body);
    publish(&fake, 6, [token("broken", 8)]);
    until(|| fake.nacks().len() == 1).await;
    assert_eq!(log.count("WARN", "not taken as it is"), 1);
    // The next stream sends the resource again.
    fake.disconnect.send_replace(1);
    until(|| fake.nacks().len() == 2).await;
    assert_eq!(fake.nacks()[0].refused, fake.nacks()[1].refused);
    assert_eq!(log.count("WARN", "not taken as it is"), 1);
    *fake.mutator.lock().unwrap() = Some(with_short_digest);
    fake.disconnect.send_replace(2);
    until(|| fake.nacks().len() == 3).await;
    assert_ne!(fake.nacks()[1].refused, fake.nacks()[2].refused);
    assert_eq!(log.count("WARN", "not taken as it is"), 2);
}

#[tokio::test]
async fn of_many_refused_resources_the_log_names_twenty_and_the_number_of_the_others() {
    let (log, _recording) = LogLines::record();
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let _handle = serve(&fake, &machine).await;
    *fake.mutator.lock().unwrap() = Some(without_body);
    let broken = |id: u8| token(&format!("broken-{id}"), 100 + id);
    publish(&fake, 6, (0..20).map(broken));
    until(|| fake.nacks().len() == 1).await;
    assert_eq!(log.count("WARN", "broken-"), 20);
    assert_eq!(log.count("WARN", "further resources"), 0);
    publish(&fake, 7, (0..42).map(broken));
    until(|| fake.nacks().len() == 2).await;
    assert_eq!(fake.nacks()[1].refused.len(), 22);
    assert_eq!(log.count("WARN", "broken-"), 40);
    assert_eq!(log.count("WARN", "further resources"), 1);
    assert_eq!(log.count("WARN", "further=2"), 1);
}

#[tokio::test]
async fn of_many_unreadable_gateways_the_log_names_twenty_and_the_number_of_the_others() {
    let (log, _recording) = LogLines::record();
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    let unreadable = |id: u8| gateway(&format!("lost-{id}"), "files", &["unreadable_record"]);
    publish(&fake, 6, (0..20).map(unreadable));
    until(|| *handle.version().borrow() == version(6)).await;
    until(|| fake.answers.lock().unwrap().len() == 2).await;
    assert_eq!(log.count("WARN", "lost-"), 20);
    assert_eq!(log.count("WARN", "further gateways"), 0);
    publish(&fake, 7, (0..42).map(unreadable));
    until(|| fake.answers.lock().unwrap().len() == 3).await;
    assert_eq!(log.count("WARN", "lost-"), 40);
    assert_eq!(log.count("WARN", "further gateways"), 1);
    assert_eq!(log.count("WARN", "further=2"), 1);
    // A gateway that was unreadable before is not named again.
    publish(&fake, 8, (0..42).map(unreadable));
    until(|| fake.answers.lock().unwrap().len() == 4).await;
    assert_eq!(log.count("WARN", "lost-"), 40);
}

#[tokio::test]
async fn a_lost_control_plane_is_one_warning_however_often_the_connection_fails() {
    let (log, _recording) = LogLines::record();
    let (dialer, incoming) = memory::pair();
    drop(incoming);
    let (machine, _trigger) = machine();
    let link = ControlPlaneTransport::Memory(dialer);
    let handle = start(options(link), &machine).unwrap();
    until(|| log.count("DEBUG", "still no control plane") >= 3).await;
    assert_eq!(log.count("WARN", "no control plane"), 1);
    assert!(!handle.status().connected);
}

#[tokio::test]
async fn a_lost_control_plane_is_no_warning_during_a_drain() {
    let (log, _recording) = LogLines::record();
    let fake = FakeControlPlane::new(small(5));
    let (machine, trigger) = machine();
    let handle = serve(&fake, &machine).await;
    let request = machine.drain.blocker("request");
    let drained = machine
        .drain
        .spawn_unguarded(trigger.drain(crate::fixture::HANG_GUARD));
    machine.drain.draining().await;
    fake.disconnect.send_replace(1);
    until(|| fake.hellos.lock().unwrap().len() == 2).await;
    assert_eq!(log.count("DEBUG", "still no control plane"), 1);
    assert_eq!(log.count("WARN", "no control plane"), 0);
    assert_eq!(handle.current().counts(), [1, 1, 1]);
    drop(request);
    assert_eq!(drained.await.unwrap().to_string(), "drained");
}

#[tokio::test]
async fn the_status_tells_that_a_stream_has_ended_and_why() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let hour = Duration::from_secs(3_600);
    let link = ControlPlaneTransport::Memory(fake.dialer());
    let options = SyncOptions {
        reconnect_backoff: (hour, hour),
        ..options(link)
    };
    let handle = start(options, &machine).unwrap();
    machine.readiness.ready().await;
    assert!(handle.status().connected);
    fake.disconnect.send_replace(1);
    until(|| !handle.status().connected).await;
    let status = handle.status();
    assert_eq!(status.problem, "the control plane ended the stream");
    assert_eq!(status.version, version(5));
}

#[tokio::test]
async fn an_open_stream_is_a_connection_before_its_first_push_is_complete() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = serve(&fake, &machine).await;
    *fake.mutator.lock().unwrap() = Some(incomplete);
    fake.disconnect.send_replace(1);
    until(|| fake.hellos.lock().unwrap().len() == 2).await;
    until(|| handle.status().connected).await;
    let status = handle.status();
    assert_eq!((status.version, status.problem.as_str()), (version(5), ""));
}

#[tokio::test]
async fn a_configuration_that_has_not_arrived_is_no_connection() {
    let fake = FakeControlPlane::new(small(5));
    *fake.mutator.lock().unwrap() = Some(incomplete);
    let (machine, _trigger) = machine();
    let handle = connect(&fake, &machine);
    until(|| handle.status().connected).await;
    assert!(!machine.readiness.is_ready());
    assert_eq!(handle.current().counts(), [0, 0, 0]);
}

#[test]
fn the_delay_of_attempts_starts_anew_after_a_stream_of_more_than_half_a_minute() {
    assert!(!is_stable(Duration::ZERO));
    assert!(!is_stable(Duration::from_secs(30)));
    assert!(is_stable(Duration::from_millis(30_001)));
}
