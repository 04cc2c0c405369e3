//! Listening to a server's feed of changes, beside the actor: what it says within a moment comes back as one message,
//! however much it is.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{sync::oneshot, time::sleep};
use toolgate_client::{Changes, ClientError, Peer};

/// How the opening of a feed ended; nothing if the server has none.
pub(crate) type Opened = Result<Option<Changes>, ClientError>;

/// A feed that stands, or that is asked for.
pub(crate) enum Source {
    Coming(BoxFuture<'static, Opened>),
    Stands(Box<Changes>),
    Failed,
}

/// A feed that is listened to.
pub(crate) struct Feed {
    peer: Arc<Peer>,
    source: Source,
    hang_up: oneshot::Receiver<()>,
}

/// What came of listening.
pub(crate) enum Heard {
    /// What the server offers has changed; there is more to hear.
    Changed(Box<Feed>),
    /// The server has ended it, or it broke.
    Ended,
    /// It could not be opened.
    Failed,
    /// The server has none.
    Nothing,
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
    pub(crate) fn new(peer: Arc<Peer>, source: Source) -> (Box<Self>, Line) {
        let (sender, hang_up) = oneshot::channel();
        let feed = Self {
            peer,
            source,
            hang_up,
        };
        (Box::new(feed), Line { _hang_up: sender })
    }

    /// Listens until something changes, first of all until it stands.
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

/// Ends the conversation, if nobody else is in it.
pub(crate) async fn goodbye(peer: Arc<Peer>) {
    if let Some(peer) = Arc::into_inner(peer) {
        peer.close().await;
    }
}

/// Waits for the next change; what else came of it. Cancel-safe.
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
                // Whichever list it is: the next look reads all of them.
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

/// What comes right after the first belongs to it, and what has come before a look belongs to that. That the feed has ended
/// meanwhile is found by whoever listens next.
pub(crate) fn skip(changes: &mut Changes) {
    for _ in 0..GATHERED {
        if !matches!(changes.next().now_or_never(), Some(Ok(Some(_)))) {
            break;
        }
    }
}
