//! Revocations, on a connection of their own: a token that was revoked stops working at once, however large the push
//! that is under way.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use toolgate_data_core::View;
use toolgate_model::{Slug, TokenHash, Version};
use toolgate_proto::push::v1::{self as pb, RevocationsRequest, push_client::PushClient};
use toolgate_runtime::{Backoff, random};
use toolgate_wire::push::version as version_of;

use crate::{disk::Disk, handle::Shared, link::Link, options::Machine};

/// Name of the file.
const FILE: &str = "revoked";

/// Revocations kept at most: those of tokens that are not out of the configuration yet.
const LIMIT: usize = 1_000_000;

/// The tokens that are revoked, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Of the newest state that was heard of.
    version: Version,
    pub(crate) hashes: Arc<BTreeSet<TokenHash>>,
}

/// What was kept.
pub(crate) fn load(disk: &Disk) -> Told {
    let bytes = disk.load(FILE);
    let (hashes, rest) = bytes
        .as_ref()
        .map(|bytes| bytes.as_chunks::<32>())
        .unwrap_or_default();
    let version = rest.as_chunks::<8>().0;
    let number = |at: usize| version.get(at).copied().map(u64::from_be_bytes);
    Told {
        version: Version {
            epoch: number(0).unwrap_or_default(),
            revision: number(1).unwrap_or_default(),
        },
        hashes: Arc::new(hashes.iter().map(|hash| TokenHash(*hash)).collect()),
    }
}

/// The hashes, one after the other, then the version.
fn to_bytes(told: &Told) -> Vec<u8> {
    let mut bytes: Vec<u8> = told.hashes.iter().flat_map(|hash| hash.0).collect();
    bytes.extend(told.version.epoch.to_be_bytes());
    bytes.extend(told.version.revision.to_be_bytes());
    bytes
}

/// Keeps the revoked tokens current, until nothing is served any more.
pub(crate) async fn follow(
    link: Link,
    proxy_id: Slug,
    mut told: Told,
    shared: Arc<Shared>,
    disk: Option<Arc<Disk>>,
    machine: Machine,
    reconnect: (Duration, Duration),
) {
    let mut backoff = Backoff::new(reconnect.0, reconnect.1);
    loop {
        tokio::select! {
            () = machine.drain.settled() => return,
            ended = stream(&link, &proxy_id, (&mut told, &shared), disk.as_ref(), &mut backoff) => {
                let why = ended.err().map(|status| status.message().to_owned());
                tracing::debug!(?why, "the stream of revocations ended");
            }
        }
        tokio::select! {
            () = machine.drain.settled() => return,
            () = sleep(backoff.next(random::number())) => {}
        }
    }
}

async fn stream(
    link: &Link,
    proxy_id: &Slug,
    (told, shared): (&mut Told, &Shared),
    disk: Option<&Arc<Disk>>,
    backoff: &mut Backoff,
) -> Result<(), Box<tonic::Status>> {
    let mut client = PushClient::new(link.channel().await);
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
        *told = take(told, &message, &shared.view.load());
        shared.set_revoked(Arc::clone(&told.hashes));
        let bytes = to_bytes(told);
        if let Some(disk) = disk.map(Arc::clone) {
            let saved = spawn_blocking(move || disk.save(FILE, &bytes));
            if let Ok(Err(error)) = saved.await {
                tracing::warn!(%error, "revocations could not be kept");
            }
        }
    }
    Ok(())
}

/// A message adds to what is held. A complete one that is not older also replaces it, but for tokens that the view
/// still has, or may yet have because it is older than what is held: whoever is told of less has not heard of more
/// tokens that are good. Only a new epoch, which is what a restored store begins, forgets all that was before it.
fn take(held: &Told, message: &pb::Revocations, view: &View) -> Told {
    let version = version_of(message.version.as_ref());
    let mut hashes = held.hashes.as_ref().clone();
    if message.complete && version >= held.version {
        let current = view.version() >= held.version;
        hashes.retain(|hash| {
            version.epoch == held.version.epoch && (!current || view.token(hash).is_some())
        });
    }
    for hash in &message.token_hashes {
        match <[u8; 32]>::try_from(hash.as_slice()) {
            Ok(hash) if hashes.len() < LIMIT => {
                hashes.insert(TokenHash(hash));
            }
            Ok(_beyond) => tracing::error!(LIMIT, "too many revocations; one was left out"),
            Err(_length) => tracing::warn!("a revocation is not the hash of a token"),
        }
    }
    Told {
        version: version.max(held.version),
        hashes: Arc::new(hashes),
    }
}

#[cfg(test)]
mod tests;
