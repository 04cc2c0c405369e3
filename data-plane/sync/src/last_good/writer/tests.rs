//! Tests of the task that saves.

use super::*;
use crate::fixture::{machine, small, until, version};

/// Version that a process that starts would find, without a change of the files.
fn stored_version(folder: &std::path::Path) -> toolgate_model::Version {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap().flatten() {
        // The task may replace a file meanwhile; the next look finds the new one.
        let _gone = std::fs::copy(file.path(), copy.path().join(file.file_name()));
    }
    let disk = Arc::new(EncryptedDirectory::open(copy.path()).unwrap());
    let (update, _files) = SavedConfig::load(&disk);
    update.map(|update| update.version).unwrap_or_default()
}

#[tokio::test]
async fn changes_are_durable_while_the_process_runs_and_a_burst_is_saved_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(EncryptedDirectory::open(folder.path()).unwrap());
    let files = SavedConfig::empty(Arc::clone(&disk));
    let snapshots = watch::Sender::new(Arc::clone(files.saved()));
    let (machine, trigger) = machine();
    let saving = save_changes(snapshots.subscribe(), files, disk, machine.clone());
    machine.drain.spawn_last("writer", saving);
    snapshots.send_replace(Arc::new(small(1)));
    until(|| stored_version(folder.path()) == version(1)).await;
    for revision in 2..=500 {
        snapshots.send_replace(Arc::new(small(revision)));
    }
    until(|| stored_version(folder.path()) == version(500)).await;
    let log = std::fs::read_dir(folder.path()).unwrap().flatten();
    let log = log.filter(|file| file.path().extension().is_some_and(|it| it == "log"));
    let lengths: Vec<u64> = log.map(|file| file.metadata().unwrap().len()).collect();
    // Five hundred records would be far longer.
    assert!(lengths.len() == 1 && lengths[0] < 1024, "{lengths:?}");
    // The last change is saved before the process ends.
    snapshots.send_replace(Arc::new(small(501)));
    let drained = trigger.drain(crate::fixture::HANG_GUARD).await;
    assert_eq!(drained.to_string(), "drained");
    assert_eq!(stored_version(folder.path()), version(501));
}
