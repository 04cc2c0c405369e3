//! Tests of a proxy that was deleted from the fleet, and of the age of its configuration.

use std::{collections::HashMap, path::Path, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use toolgate_egress::ControlConnector;
use toolgate_model::Timestamp;
use toolgate_runtime::DrainTrigger;
use toolgate_wire::push::{EXPELLED, EXPELLED_PROXY};

use super::*;
use crate::confirmation;

/// Refusal by a control plane, for this reason and about this proxy.
fn refusal(reason: &str, proxy: &str) -> Status {
    let metadata = HashMap::from([(EXPELLED_PROXY.to_owned(), proxy.to_owned())]);
    let details = ErrorDetails::with_error_info(reason, "toolgate", metadata);
    Status::with_error_details(
        Code::PermissionDenied,
        "the proxy has been deleted",
        details,
    )
}

fn network(dialer: memory::MemoryDialer) -> ControlPlaneTransport {
    ControlPlaneTransport::Custom(ControlConnector::memory(dialer))
}

fn start_in(
    folder: &Path,
    transport: ControlPlaneTransport,
) -> (SyncHandle, ProxyContext, DrainTrigger) {
    let (machine, trigger) = machine();
    let options = SyncOptions {
        data_dir: Some(folder.to_owned()),
        ..options(transport)
    };
    (start(options, &machine).unwrap(), machine, trigger)
}

/// Starts a proxy whose control plane cannot be reached.
fn start_alone(folder: &Path) -> (SyncHandle, ProxyContext, DrainTrigger) {
    let (dialer, incoming) = memory::pair();
    drop(incoming);
    start_in(folder, network(dialer))
}

fn has_left(handle: &SyncHandle, machine: &ProxyContext) -> bool {
    let warnings = machine.readiness.warnings();
    let is_told = warnings
        .iter()
        .any(|it| it.text.contains("proxy-1 was deleted") && it.text.contains("`--id`"));
    is_told && handle.keys().is_none()
}

#[tokio::test]
async fn a_deleted_proxy_serves_nothing_and_remembers_it_until_it_is_admitted() {
    let folder = tempfile::tempdir().unwrap();
    let fake = FakeControlPlane::new(small(5));
    let (handle, machine, trigger) = start_in(folder.path(), network(fake.dialer()));
    machine.readiness.ready().await;
    *fake.refusal.lock().unwrap() = Some(refusal(EXPELLED, "proxy-1"));
    fake.disconnect.send_replace(1);
    until(|| has_left(&handle, &machine)).await;
    assert!(!machine.readiness.is_ready());
    // Requests in flight go on for a while.
    until(|| handle.current().counts() == [0, 0, 0]).await;
    until(|| *handle.version().borrow() == Version::default()).await;
    trigger.drain(HANG_GUARD).await;

    let (handle, machine, trigger) = start_alone(folder.path());
    assert!(has_left(&handle, &machine));
    assert_eq!(handle.current().counts(), [0, 0, 0]);
    assert!(!machine.readiness.is_ready());
    trigger.drain(HANG_GUARD).await;

    // A control plane that sends a configuration has admitted it.
    *fake.refusal.lock().unwrap() = None;
    let (handle, machine, trigger) = start_in(folder.path(), network(fake.dialer()));
    machine.readiness.ready().await;
    assert_eq!(handle.current().counts(), [1, 1, 1]);
    assert!(handle.keys().is_some());
    assert!(
        machine
            .readiness
            .warnings()
            .iter()
            .all(|it| it.subject != "fleet")
    );
    trigger.drain(HANG_GUARD).await;
    let (handle, machine, _trigger) = start_alone(folder.path());
    assert!(machine.readiness.is_ready());
    assert_eq!(handle.current().counts(), [1, 1, 1]);
}

#[tokio::test]
async fn only_a_refusal_that_names_this_proxy_as_deleted_expels_it() {
    let folder = tempfile::tempdir().unwrap();
    let fake = FakeControlPlane::new(small(5));
    let (handle, machine, _trigger) = start_in(folder.path(), network(fake.dialer()));
    machine.readiness.ready().await;
    for (disconnects, refusal) in [
        Status::unavailable("away"),
        Status::permission_denied("proxy proxy-1 has been deleted"),
        refusal(EXPELLED, "proxy-2"),
        refusal("MISSING_RIGHT", "proxy-1"),
    ]
    .into_iter()
    .enumerate()
    {
        let message = refusal.message().to_owned();
        *fake.refusal.lock().unwrap() = Some(refusal);
        fake.disconnect.send_replace(disconnects as u32 + 1);
        until(|| handle.status().problem.contains(&message)).await;
        assert!(machine.readiness.is_ready(), "{message}");
        assert_eq!(handle.current().counts(), [1, 1, 1]);
        *fake.refusal.lock().unwrap() = None;
        until(|| handle.status().connected).await;
    }
    // The proxy in the process of its control plane is not told.
    let own = tempfile::tempdir().unwrap();
    let transport = ControlPlaneTransport::Memory(fake.dialer());
    let (local, machine, _trigger) = start_in(own.path(), transport);
    machine.readiness.ready().await;
    *fake.refusal.lock().unwrap() = Some(refusal(EXPELLED, "proxy-1"));
    fake.disconnect.send_replace(9);
    until(|| !local.status().connected && !local.status().problem.is_empty()).await;
    until(|| local.status().problem.contains("deleted")).await;
    assert!(machine.readiness.is_ready());
}

fn age(machine: &ProxyContext) -> Duration {
    let metrics = machine.metrics.render();
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with("toolgate_snapshot_age_seconds "));
    let seconds = line.unwrap().split_whitespace().next_back().unwrap();
    Duration::from_secs_f64(seconds.parse().unwrap())
}

#[tokio::test]
async fn the_age_of_the_configuration_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fake = FakeControlPlane::new(small(5));
    let (_handle, machine, trigger) = start_in(folder.path(), network(fake.dialer()));
    machine.readiness.ready().await;
    let began = machine.clock.now();
    until(|| age(&machine) < Duration::from_secs(60)).await;
    trigger.drain(HANG_GUARD).await;

    // The end of the process stored the time.
    let disk = EncryptedDirectory::open(folder.path()).unwrap();
    let confirmed = confirmation::load(&disk).unwrap();
    assert!(confirmed.0 + 60_000 >= began.0, "{confirmed:?} {began:?}");
    let hour = Duration::from_secs(3600);
    let before = Timestamp(began.0 - 3_600_000);
    confirmation::save(&disk, before).unwrap();
    drop(disk);
    let (_handle, alone, trigger) = start_alone(folder.path());
    assert!(age(&alone) >= hour, "{:?}", age(&alone));
    trigger.drain(HANG_GUARD).await;

    let (_handle, machine, _trigger) = start_in(folder.path(), network(fake.dialer()));
    until(|| age(&machine) < hour).await;
}
