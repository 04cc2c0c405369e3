//! Listening to a server's feed of changes, beside the actor: what it says within a moment comes back as one message,
//! however much it is.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::{sync::oneshot, time::sleep};
use toolgate_client::{Changes, Peer};

/// A feed that is listened to.
pub(crate) struct Feed {
    peer: Peer,
    changes: Changes,
    hang_up: oneshot::Receiver<()>,
}

/// What came of listening.
pub(crate) enum Heard {
    /// What the server offers has changed; there is more to hear.
    Changed(Box<Feed>),
    /// The server has ended it, or it broke.
    Ended,
    /// We have hung up.
    HungUp,
}

/// Dropping it hangs up.
pub(crate) struct Line {
    _hang_up: oneshot::Sender<()>,
}

/// How long more is gathered after the first announcement: servers tell of tools, prompts and resources one by one.
const BREATH: Duration = Duration::from_millis(40);

/// Announcements that are gathered at most; what a flood says beyond that waits in the connection.
const GATHERED: usize = 1_000;

impl Feed {
    pub(crate) fn new(peer: Peer, changes: Changes) -> (Box<Self>, Line) {
        let (sender, hang_up) = oneshot::channel();
        let feed = Self {
            peer,
            changes,
            hang_up,
        };
        (Box::new(feed), Line { _hang_up: sender })
    }

    /// Listens until something changes.
    pub(crate) async fn listen(mut self: Box<Self>) -> Heard {
        let changes = &mut self.changes;
        let next = async {
            // Whichever list it is: the next look reads all of them.
            let changed = matches!(changes.next().await, Ok(Some(_)));
            if changed {
                gather(changes).await;
            }
            changed
        };
        let heard = tokio::select! {
            heard = next => Some(heard),
            _hung_up = &mut self.hang_up => None,
        };
        match heard {
            Some(true) => Heard::Changed(self),
            Some(false) => {
                self.peer.close().await;
                Heard::Ended
            }
            None => {
                self.peer.close().await;
                Heard::HungUp
            }
        }
    }
}

/// What comes right after the first belongs to it. That the feed has ended meanwhile is found by whoever listens next.
async fn gather(changes: &mut Changes) {
    sleep(BREATH).await;
    for _ in 0..GATHERED {
        if !matches!(changes.next().now_or_never(), Some(Ok(Some(_)))) {
            break;
        }
    }
}
