//! Listening to a server's feed of changes, beside the actor: what it says comes back one message at a time, and not
//! faster than four times a second.

use std::time::Duration;

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

/// Between two announcements that are heard.
const BREATH: Duration = Duration::from_millis(250);

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

    /// Listens until something changes. With `pause`, not before a moment has passed: what a flood says meanwhile waits
    /// in the connection.
    pub(crate) async fn listen(mut self: Box<Self>, pause: bool) -> Heard {
        let changes = &mut self.changes;
        let next = async {
            if pause {
                sleep(BREATH).await;
            }
            // Whichever list it is: the next look reads all of them.
            matches!(changes.next().await, Ok(Some(_)))
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
