//! Listens to the change feed of a server in a task beside the actor. Announcements in quick succession are merged into
//! one event.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{sync::oneshot, time::sleep};
use toolgate_client::{ClientError, ServerChangeFeed, ServerClient};

/// Result of opening a feed; `None` if the server has none.
pub(crate) type FeedOpening = Result<Option<ServerChangeFeed>, ClientError>;

/// Feed that is open or being opened.
pub(crate) enum FeedSource {
    Opening(BoxFuture<'static, FeedOpening>),
    Open(Box<ServerChangeFeed>),
    Failed,
}

/// Change feed of one server, with the peer that it belongs to.
pub(crate) struct DefinitionsFeed {
    peer: Arc<ServerClient>,
    source: FeedSource,
    closed: oneshot::Receiver<()>,
}

/// Event of a change feed.
pub(crate) enum FeedEvent {
    /// The definitions of the server have changed. The feed stays open.
    Changed(Box<DefinitionsFeed>),
    /// The server ended the feed, or it broke.
    Ended,
    /// The feed could not be opened.
    Failed,
    /// The server has no feed.
    Unsupported,
    /// The handle was dropped.
    Closed,
}

/// Handle of a feed. Dropping it closes the feed.
pub(crate) struct FeedHandle {
    _close: oneshot::Sender<()>,
}

/// Time in which further announcements are merged into the first. Servers announce tools, prompts and resources
/// separately.
const DEBOUNCE: Duration = Duration::from_millis(40);

/// Maximum number of announcements merged into one. Further announcements stay in the connection.
const MAX_COALESCED: usize = 1_000;

impl DefinitionsFeed {
    pub(crate) fn new(peer: Arc<ServerClient>, source: FeedSource) -> (Box<Self>, FeedHandle) {
        let (sender, hang_up) = oneshot::channel();
        let feed = Self {
            peer,
            source,
            closed: hang_up,
        };
        (Box::new(feed), FeedHandle { _close: sender })
    }

    /// Waits until the feed is open if necessary, then for the next event.
    pub(crate) async fn listen(mut self: Box<Self>) -> FeedEvent {
        let source = &mut self.source;
        let event = tokio::select! {
            biased;
            _hung_up = &mut self.closed => Some(FeedEvent::Closed),
            event = next(source) => event,
        };
        match event {
            None => FeedEvent::Changed(self),
            Some(over) => {
                let Self { peer, source, .. } = *self;
                drop(source);
                close_peer(peer).await;
                over
            }
        }
    }
}

/// Closes the session with the server, if no other reference to the peer exists.
pub(crate) async fn close_peer(peer: Arc<ServerClient>) {
    if let Some(peer) = Arc::into_inner(peer) {
        peer.close().await;
    }
}

/// Waits for the next change and returns `None`, or returns the event that ended the feed. Cancel-safe.
async fn next(source: &mut FeedSource) -> Option<FeedEvent> {
    loop {
        match source {
            FeedSource::Opening(opening) => match opening.await {
                Ok(Some(changes)) => *source = FeedSource::Open(Box::new(changes)),
                Ok(None) => return Some(FeedEvent::Unsupported),
                Err(_) => return Some(FeedEvent::Failed),
            },
            FeedSource::Failed => return Some(FeedEvent::Failed),
            FeedSource::Open(changes) => {
                // The kind of the list does not matter: the next probe reads all lists.
                if !matches!(changes.next().await, Ok(Some(_))) {
                    return Some(FeedEvent::Ended);
                }
                sleep(DEBOUNCE).await;
                skip(changes);
                return None;
            }
        }
    }
}

/// Discards announcements that have already arrived. Announcements right after the first are merged into it;
/// announcements before a probe are covered by the probe. The end of the feed is reported by the next call of
/// [`ChangeFeed::listen`].
pub(crate) fn skip(changes: &mut ServerChangeFeed) {
    for _ in 0..MAX_COALESCED {
        if !matches!(changes.next().now_or_never(), Some(Ok(Some(_)))) {
            break;
        }
    }
}
