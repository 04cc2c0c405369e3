//! Token revocations, on a connection of their own: a revocation takes effect at once, even during a large push. The
//! same stream tells the number of serving proxies.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use toolgate_data_core::{AuthnId, View};
use toolgate_model::{Slug, Version};
use toolgate_proto::push::v1::{self as pb, RevocationsRequest, push_client::PushClient};
use toolgate_runtime::{Backoff, random};
use toolgate_wire::push::version as version_of;

use crate::{
    control_channels::ControlChannels,
    disk::{DiskError, EncryptedDirectory},
    fleet_share,
    handle::SyncState,
    options::ProxyContext,
};

const FILE: &str = "revoked";

/// Maximum number of stored revocations. A revocation is kept until its token is no longer part of the configuration.
const MAX_REVOCATIONS: usize = 1_000_000;

/// Set of revoked tokens, as known to this proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RevokedTokens {
    /// Newest version that the set reflects.
    version: Version,
    pub(crate) hashes: Arc<BTreeSet<AuthnId>>,
}

/// Returns the stored revocations; `None` if there is no file that can be read.
pub(crate) fn load(disk: &EncryptedDirectory) -> Option<RevokedTokens> {
    let bytes = disk.load(FILE)?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    let version = rest.as_chunks::<8>().0;
    let number = |at: usize| version.get(at).copied().map(u64::from_be_bytes);
    Some(RevokedTokens {
        version: Version {
            epoch: number(0).unwrap_or_default(),
            revision: number(1).unwrap_or_default(),
        },
        hashes: Arc::new(hashes.iter().map(|hash| AuthnId(*hash)).collect()),
    })
}

/// Stores that there are no revocations yet. A configuration is saved later than this file, so that one without the other
/// tells that revocations were lost.
pub(crate) fn create(disk: &EncryptedDirectory) -> Result<(), DiskError> {
    disk.save(FILE, &to_bytes(&RevokedTokens::default()))
}

/// Encodes the hashes in order, then the version.
fn to_bytes(revoked: &RevokedTokens) -> Vec<u8> {
    let mut bytes: Vec<u8> = revoked.hashes.iter().flat_map(|hash| hash.0).collect();
    bytes.extend(revoked.version.epoch.to_be_bytes());
    bytes.extend(revoked.version.revision.to_be_bytes());
    bytes
}

/// Keeps the revoked tokens current until the drain has settled.
pub(crate) async fn follow(
    channels: ControlChannels,
    proxy_id: Slug,
    mut revoked: RevokedTokens,
    shared: Arc<SyncState>,
    disk: Option<Arc<EncryptedDirectory>>,
    context: ProxyContext,
    reconnect: (Duration, Duration),
) {
    let mut backoff = Backoff::new(reconnect.0, reconnect.1);
    loop {
        tokio::select! {
            () = context.drain.settled() => return,
            ended = run_stream(&channels, &proxy_id, (&mut revoked, &shared), disk.as_ref(), &mut backoff) => {
                let reason = ended.err().map(|status| status.message().to_owned());
                tracing::debug!(?reason, "the stream of revocations ended");
            }
        }
        tokio::select! {
            () = context.drain.settled() => return,
            () = sleep(backoff.next(random::number())) => {}
        }
    }
}

async fn run_stream(
    channels: &ControlChannels,
    proxy_id: &Slug,
    (revoked, shared): (&mut RevokedTokens, &SyncState),
    disk: Option<&Arc<EncryptedDirectory>>,
    backoff: &mut Backoff,
) -> Result<(), Box<tonic::Status>> {
    let mut client = PushClient::new(channels.new_channel().await);
    let request = RevocationsRequest {
        proxy_id: proxy_id.to_string(),
    };
    let mut messages = client
        .revocations(request)
        .await
        .map_err(Box::new)?
        .into_inner();
    while let Some(message) = messages.message().await.map_err(Box::new)? {
        backoff.reset();
        let share = message.fleet_share;
        let has_tokens = message.complete || !message.token_hashes.is_empty();
        if share.is_none() || has_tokens {
            *revoked = merge(revoked, &message, &shared.view.load());
            shared.set_revoked(Arc::clone(&revoked.hashes));
        }
        // After the revocations of the message: the share is written to disk, which may take its time.
        if let Some(share) = share {
            fleet_share::apply(share, shared, disk).await;
            if !has_tokens {
                continue;
            }
        }
        let bytes = to_bytes(revoked);
        if let Some(disk) = disk.map(Arc::clone) {
            let saved = spawn_blocking(move || disk.save(FILE, &bytes));
            if let Ok(Err(error)) = saved.await {
                tracing::warn!(%error, "revocations could not be kept");
            }
        }
    }
    Ok(())
}

/// Merges a message into the set.
///
/// Every message adds its tokens. A complete message that is not older also removes the tokens it does not list, except
/// tokens that the view contains, or may still get because it is older than the set: the control plane may omit a
/// revoked token because the token was deleted. At a new epoch, which begins when a store is restored from a copy, every
/// revocation is kept: the copy may have a token that was revoked after it was made. The next complete message removes the
/// revocations of tokens that the restored configuration does not contain.
fn merge(held: &RevokedTokens, message: &pb::Revocations, view: &View) -> RevokedTokens {
    let version = version_of(message.version.as_ref());
    let mut hashes = held.hashes.as_ref().clone();
    if message.complete && version >= held.version {
        // A view of an earlier epoch does not tell which tokens the restored configuration has.
        let is_current = version.epoch == held.version.epoch && view.version() >= held.version;
        hashes.retain(|hash| !is_current || view.caller(hash).is_some());
    }
    for hash in &message.token_hashes {
        match <[u8; 32]>::try_from(hash.as_slice()) {
            Ok(hash) if hashes.len() < MAX_REVOCATIONS => {
                hashes.insert(AuthnId(hash));
            }
            Ok(_beyond) => {
                tracing::error!(MAX_REVOCATIONS, "too many revocations; one was left out")
            }
            Err(_length) => tracing::warn!("a revocation is not the hash of a token"),
        }
    }
    RevokedTokens {
        version: version.max(held.version),
        hashes: Arc::new(hashes),
    }
}

#[cfg(test)]
mod tests;
