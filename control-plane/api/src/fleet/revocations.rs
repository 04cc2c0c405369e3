//! Stream of revocations: hashes of tokens that are no longer valid, because they were revoked, have expired or were
//! deleted. It is separate from the push stream, so that a large push never delays a revocation. Each hash is sent
//! once. Each message names the version it was read from, so that a control plane that lags behind does not undo newer
//! revocations. The stream also tells how many proxies serve, by which a proxy divides rate limits.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use toolgate_control_core::{
    StoreState,
    port::{PublishedState, StateReader, StateWatcher},
    push::{FleetShareTracker, serving_proxies},
};
use toolgate_model::{Slug, Timestamp, TokenHash, Version};
use toolgate_proto::push::v1::{FleetShare, Revocations};
use toolgate_runtime::Drain;
use toolgate_wire::push::version_to_proto;

use crate::caller::not_expelled;

/// Maximum number of hashes in one message.
const MAX_HASHES_PER_MESSAGE: usize = 50_000;
/// Number of messages buffered for the reader.
const BUFFER: usize = 4;
/// Maximum delay until expired tokens are sent.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(30);

type RevocationSender = mpsc::Sender<Result<Revocations, Status>>;

/// State of one revocation stream.
#[derive(Default)]
struct RevocationTracker {
    sequence: u64,
    /// Hashes already sent.
    revoked: BTreeSet<TokenHash>,
    /// State and time of the last check.
    checked: Option<(Arc<StoreState>, Timestamp)>,
    version: Version,
    share: FleetShareTracker,
}

/// Opens a stream for `proxy`: first all revocations in force, then additions. It ends when the proxy is expelled.
pub(super) fn stream(
    state: &Arc<dyn StateReader>,
    drain: &Drain,
    proxy: Option<Slug>,
) -> ReceiverStream<Result<Revocations, Status>> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    let (owned, draining) = (Arc::clone(state), drain.draining());
    drain.spawn("revocations", async move {
        tokio::select! {
            () = draining => {}
            () = follow(&*owned, proxy.as_ref(), &sender) => {}
        }
    });
    ReceiverStream::new(receiver)
}

async fn follow(reader: &dyn StateReader, proxy: Option<&Slug>, sender: &RevocationSender) {
    let mut publications = reader.watch_state();
    let mut known = RevocationTracker::default();
    let mut complete = true;
    loop {
        let state = Arc::clone(&publications.latest().state);
        if let Some(proxy) = proxy
            && let Err(expelled) = not_expelled(&state, proxy, reader.now())
        {
            let _reader_gone = sender.try_send(Err(expelled));
            return;
        }
        // Before the first listing of the store the state is empty, and must not be sent as complete.
        if state.version() != Version::default() {
            let now = reader.now();
            let share = known.share.update(serving_proxies(&state, now), now);
            let fresh = known.update(&state, now);
            if (complete || !fresh.is_empty() || share.is_some())
                && !send_hashes(&mut known, fresh, complete, share, sender).await
            {
                return;
            }
            complete = false;
        }
        // Depends on the clock as well: after its expiry, the record of an expulsion has no effect.
        let expelled =
            |state: &StoreState| proxy.is_some_and(|proxy| state.is_expelled(proxy, reader.now()));
        if !changed(reader, publications.as_mut(), &known, expelled, sender).await {
            return;
        }
    }
}

/// Waits for a new version, another number of proxies, the next expiry check, or the expulsion of the proxy. Returns
/// `false` if the stream has ended.
async fn changed(
    reader: &dyn StateReader,
    publications: &mut dyn StateWatcher,
    known: &RevocationTracker,
    expelled: impl Fn(&StoreState) -> bool,
    sender: &RevocationSender,
) -> bool {
    let other = |published: &PublishedState| {
        let state = &published.state;
        // Before the first listing nothing is sent, so that no count is a change.
        let listed = state.version() != Version::default();
        let proxies = serving_proxies(state, reader.now());
        state.version() != known.version
            || (listed && known.share.differs(proxies))
            || expelled(state)
    };
    let due = known.share.next_update_in(reader.now());
    let wait = due.map_or(EXPIRY_CHECK_INTERVAL, |due| due.min(EXPIRY_CHECK_INTERVAL));
    tokio::select! {
        () = sender.closed() => false,
        () = sleep(wait) => true,
        changed = publications.wait_for(other) => changed.is_ok(),
    }
}

async fn send_hashes(
    known: &mut RevocationTracker,
    fresh: Vec<TokenHash>,
    complete: bool,
    share: Option<u32>,
    sender: &RevocationSender,
) -> bool {
    let mut complete = complete;
    let mut share = share.map(|serving_proxies| FleetShare { serving_proxies });
    let mut parts = fresh.chunks(MAX_HASHES_PER_MESSAGE);
    let mut part = parts.next().unwrap_or_default();
    loop {
        known.sequence += 1;
        let message = Revocations {
            sequence: known.sequence,
            token_hashes: part.iter().map(|hash| hash.0.to_vec()).collect(),
            complete,
            version: Some(version_to_proto(known.version)),
            fleet_share: share.take(),
        };
        if sender.send(Ok(message)).await.is_err() {
            return false;
        }
        complete = false;
        match parts.next() {
            Some(next) => part = next,
            None => return true,
        }
    }
}

impl RevocationTracker {
    /// Returns the hashes that became invalid since the last call. After the first call only tokens are looked at that
    /// changed or expired since.
    fn update(&mut self, state: &Arc<StoreState>, now: Timestamp) -> Vec<TokenHash> {
        let checked = self.checked.replace((Arc::clone(state), now));
        let since = checked
            .as_ref()
            .and_then(|(before, then)| state.tokens_ended_since(before, *then, now));
        // A token can reappear with its old hash only after a restore of the store, and proxies then start over.
        let mut fresh: Vec<TokenHash> = since.unwrap_or_else(|| {
            let before = checked.as_ref().map(|(before, _)| before);
            let removed = before.into_iter().flat_map(|it| state.removed_tokens(it));
            let ended = state.inactive_tokens(now).chain(removed);
            ended.copied().collect()
        });
        self.version = state.version();
        fresh.retain(|hash| self.revoked.insert(*hash));
        fresh
    }
}

#[cfg(test)]
mod tests;
