//! Listens to the change feed of a server in a task beside the actor. Announcements in quick succession are merged into
//! one event.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{sync::oneshot, time::sleep};
use toolgate_client::{Changes, ClientError, Peer};

/// Result of opening a feed; `None` if the server has none.
pub(crate) type Opened = Result<Option<Changes>, ClientError>;

/// Feed that is open or being opened.
pub(crate) enum Source {
    Coming(BoxFuture<'static, Opened>),
    Stands(Box<Changes>),
    Failed,
}

/// Change feed of one server, with the peer that it belongs to.
pub(crate) struct Feed {
    peer: Arc<Peer>,
    source: Source,
    hang_up: oneshot::Receiver<()>,
}

/// Event of a change feed.
pub(crate) enum Heard {
    /// The definitions of the server have changed. The feed stays open.
    Changed(Box<Feed>),
    /// The server ended the feed, or it broke.
    Ended,
    /// The feed could not be opened.
    Failed,
    /// The server has no feed.
    Nothing,
    /// The handle was dropped.
    HungUp,
}

/// Handle of a feed. Dropping it closes the feed.
pub(crate) struct Line {
    _hang_up: oneshot::Sender<()>,
}

/// Time in which further announcements are merged into the first. Servers announce tools, prompts and resources
/// separately.
const BREATH: Duration = Duration::from_millis(40);

/// Maximum number of announcements merged into one. Further announcements stay in the connection.
const GATHERED: usize = 1_000;

impl Feed {
    pub(crate) fn new(peer: Arc<Peer>, source: Source) -> (Box<Self>, Line) {
        let (sender, hang_up) = oneshot::channel();
        let feed = Self {
            peer,
            source,
            hang_up,
        };
        (Box::new(feed), Line { _hang_up: sender })
    }

    /// Waits until the feed is open if necessary, then for the next event.
    pub(crate) async fn listen(mut self: Box<Self>) -> Heard {
        let source = &mut self.source;
        let heard = tokio::select! {
            biased;
            _hung_up = &mut self.hang_up => Some(Heard::HungUp),
            heard = next(source) => heard,
        };
        match heard {
            None => Heard::Changed(self),
            Some(over) => {
                let Self { peer, source, .. } = *self;
                drop(source);
                goodbye(peer).await;
                over
            }
        }
    }
}

/// Closes the session with the server, if no other reference to the peer exists.
pub(crate) async fn goodbye(peer: Arc<Peer>) {
    if let Some(peer) = Arc::into_inner(peer) {
        peer.close().await;
    }
}

/// Waits for the next change and returns `None`, or returns the event that ended the feed. Cancel-safe.
async fn next(source: &mut Source) -> Option<Heard> {
    loop {
        match source {
            Source::Coming(opening) => match opening.await {
                Ok(Some(changes)) => *source = Source::Stands(Box::new(changes)),
                Ok(None) => return Some(Heard::Nothing),
                Err(_) => return Some(Heard::Failed),
            },
            Source::Failed => return Some(Heard::Failed),
            Source::Stands(changes) => {
                // The kind of the list does not matter: the next probe reads all lists.
                if !matches!(changes.next().await, Ok(Some(_))) {
                    return Some(Heard::Ended);
                }
                sleep(BREATH).await;
                skip(changes);
                return None;
            }
        }
    }
}

/// Discards announcements that have already arrived. Announcements right after the first are merged into it;
/// announcements before a probe are covered by the probe. The end of the feed is reported by the next call of
/// [`ChangeFeed::listen`].
pub(crate) fn skip(changes: &mut Changes) {
    for _ in 0..GATHERED {
        if !matches!(changes.next().now_or_never(), Some(Ok(Some(_)))) {
            break;
        }
    }
}
