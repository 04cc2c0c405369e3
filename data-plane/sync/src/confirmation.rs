//! Time at which a control plane last confirmed the served configuration. It is stored, so that a proxy that starts while no
//! control plane is reachable goes on to report the age of its configuration.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use toolgate_model::Timestamp;
use toolgate_runtime::{Drain, metrics::SnapshotGauge};

use crate::disk::{DiskError, EncryptedDirectory};

const FILE: &str = "confirmed";

/// Interval at which the time is stored: after a crash, the age is reported too high by that much.
const SAVE_INTERVAL: Duration = Duration::from_secs(30);

/// Time until it is stored first.
const FIRST_SAVE: Duration = Duration::from_secs(2);

/// Returns the stored time.
pub(crate) fn load(disk: &EncryptedDirectory) -> Option<Timestamp> {
    let bytes = disk.load(FILE)?;
    let bytes = <[u8; 8]>::try_from(bytes.as_slice()).ok()?;
    Some(Timestamp(u64::from_be_bytes(bytes)))
}

/// Stores the time.
pub(crate) fn save(disk: &EncryptedDirectory, at: Timestamp) -> Result<(), DiskError> {
    disk.save(FILE, &at.0.to_be_bytes())
}

/// Stores the time of the gauge as it changes, until the drain has settled.
pub(crate) async fn save_changes(
    gauge: SnapshotGauge,
    disk: Arc<EncryptedDirectory>,
    drain: Drain,
) {
    let mut saved = gauge.confirmed();
    let (mut wait, mut is_last) = (FIRST_SAVE, false);
    while !is_last {
        tokio::select! {
            () = drain.settled() => is_last = true,
            () = sleep(wait) => wait = SAVE_INTERVAL,
        }
        let Some(at) = gauge.confirmed().filter(|at| saved != Some(*at)) else {
            continue;
        };
        let disk = Arc::clone(&disk);
        match spawn_blocking(move || save(&disk, at)).await {
            Ok(Ok(())) => saved = Some(at),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the time of the last confirmation could not be stored");
            }
            Err(_ended) => {}
        }
    }
}
