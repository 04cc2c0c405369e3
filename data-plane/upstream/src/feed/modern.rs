//! A feed of a modern server: one `subscriptions/listen`, opened anew when it is to tell of other resources.

use std::collections::VecDeque;

use futures_util::FutureExt as _;
use tokio::time::timeout;
use toolgate_client::{Change, Changes, listen};
use toolgate_data_core::{
    port::{Feed, LinkKey, Pending},
    refusal::UpstreamFailure,
    rewrite,
    subscription::Filter,
    watch::Uris,
};
use toolgate_mcp::{message::ModernMeta, versions};

use crate::failure;

use super::{Feeds, Opening};

/// Updates that are kept from the feed before while another takes its place.
const BACKLOG: usize = 1_000;

struct ModernFeed {
    feeds: Feeds,
    key: LinkKey,
    changes: Changes,
    agreed: Uris,
    /// Told by the feed before this one, and not yet heard.
    backlog: VecDeque<Box<str>>,
}

pub(super) async fn open(feeds: Feeds, key: LinkKey, uris: Uris) -> Opening {
    let (changes, agreed) = begin(&feeds, &key, &uris).await?;
    Ok(Box::new(ModernFeed {
        feeds,
        key,
        changes,
        agreed,
        backlog: VecDeque::new(),
    }))
}

async fn begin(
    feeds: &Feeds,
    key: &LinkKey,
    uris: &Uris,
) -> Result<(Changes, Uris), UpstreamFailure> {
    let mut reached = feeds.reach(&key.server).await?;
    let filter = Filter {
        uris: uris.clone(),
        ..Filter::default()
    };
    let meta = ModernMeta {
        version: versions::MODERN,
        capabilities: "{}",
        client: Some(rewrite::CLIENT),
        progress_token: None,
        log_level: None,
        carry: None,
    };
    let id = feeds.upstream.next_id().to_string();
    let (http, endpoint) = (&reached.station().target.http, &reached.presented.endpoint);
    let opening = async {
        let Some(mut changes) = listen(http, endpoint, &id, &filter.to_json(), &meta).await? else {
            return Ok(None);
        };
        let agreed = changes.acknowledged().await?;
        Ok(Some((changes, agreed)))
    };
    let opened = timeout(key.server.timeouts.first_byte, opening).await;
    match opened {
        Ok(Ok(opened)) => {
            reached.leave.worked();
            opened.ok_or(UpstreamFailure::Status)
        }
        Ok(Err(error)) => {
            let failure = failure::of(&error);
            tracing::debug!(server = %key.server.name, %error, "no feed of changes");
            if error.rpc().is_none() {
                reached.leave.failed(failure);
            }
            Err(failure)
        }
        Err(_elapsed) => {
            reached.leave.failed(UpstreamFailure::Timeout);
            Err(UpstreamFailure::Timeout)
        }
    }
}

impl ModernFeed {
    /// What it has told already.
    fn drain(&mut self) {
        while self.backlog.len() < BACKLOG {
            match self.changes.next().now_or_never() {
                Some(Ok(Some(Change::Updated(uri)))) => self.backlog.push_back(uri),
                Some(Ok(Some(Change::Tools | Change::Prompts | Change::Resources))) => {}
                Some(Ok(None) | Err(_)) | None => break,
            }
        }
    }
}

impl Feed for ModernFeed {
    fn agreed(&self) -> &Uris {
        &self.agreed
    }

    fn next(&mut self) -> Pending<'_, Option<Box<str>>> {
        Box::pin(async {
            if let Some(uri) = self.backlog.pop_front() {
                return Some(uri);
            }
            loop {
                match self.changes.next().await {
                    Ok(Some(Change::Updated(uri))) => return Some(uri),
                    // Lists are watched by the control plane.
                    Ok(Some(Change::Tools | Change::Prompts | Change::Resources)) => {}
                    Ok(None) | Err(_) => return None,
                }
            }
        })
    }

    fn change(mut self: Box<Self>, uris: Uris) -> Pending<'static, Opening> {
        Box::pin(async move {
            let (changes, agreed) = begin(&self.feeds, &self.key, &uris).await?;
            self.drain();
            self.changes = changes;
            self.agreed = agreed;
            let feed: Box<dyn Feed> = self;
            Ok(feed)
        })
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        // A closed stream says it all.
        Box::pin(async {})
    }
}
