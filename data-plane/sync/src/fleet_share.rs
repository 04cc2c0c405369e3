//! Number of proxies that serve together, as told by the control plane. It is stored, so that a proxy that starts while no
//! control plane is reachable keeps its share of the rate limits.

use std::num::NonZeroU32;

use tokio::task::spawn_blocking;
use toolgate_proto::push::v1::FleetShare;

use std::sync::Arc;

use crate::{disk::EncryptedDirectory, handle::SyncState};

const FILE: &str = "fleet-share";

/// Returns the stored number, or one.
pub(crate) fn load(disk: &EncryptedDirectory) -> NonZeroU32 {
    let bytes = disk.load(FILE);
    let stored = bytes.and_then(|bytes| <[u8; 4]>::try_from(bytes.as_slice()).ok());
    let stored = stored.and_then(|bytes| NonZeroU32::new(u32::from_be_bytes(bytes)));
    stored.unwrap_or(NonZeroU32::MIN)
}

/// Applies and stores a share.
pub(crate) async fn apply(
    share: FleetShare,
    shared: &SyncState,
    disk: Option<&Arc<EncryptedDirectory>>,
) {
    let proxies = NonZeroU32::new(share.serving_proxies).unwrap_or(NonZeroU32::MIN);
    if !shared.set_serving_proxies(proxies) {
        return;
    }
    tracing::info!(%proxies, "rate limits are divided by the number of serving proxies");
    let Some(disk) = disk.map(Arc::clone) else {
        return;
    };
    let saved = spawn_blocking(move || disk.save(FILE, &proxies.get().to_be_bytes()));
    if let Ok(Err(error)) = saved.await {
        tracing::warn!(%error, "the number of serving proxies could not be stored");
    }
}

#[cfg(test)]
mod tests;
