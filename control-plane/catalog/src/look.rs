//! One look at one server: find its era, list its tools, open its feed of changes, and say what was seen.

use std::sync::Arc;

use toolgate_client::{
    Caps, Changes, ClientError, Cut, Endpoint, Listing, Peer, ReadLimits, detect,
};
use toolgate_control_core::limits;
use toolgate_egress::HttpClient;
use toolgate_mcp::{message::Implementation, sse::SseLimits};
use toolgate_model::{Catalogue, Definition, Digest, Timestamp};

use crate::{port::HeaderSource, target::Target, words};

/// What looking takes.
pub(crate) struct Eyes {
    pub(crate) http: HttpClient,
    pub(crate) headers: Arc<dyn HeaderSource>,
    pub(crate) us: Implementation,
    pub(crate) caps: Caps,
}

/// What was seen.
pub(crate) struct Sight {
    pub(crate) catalogue: Catalogue,
    /// Whether the server answered as it should.
    pub(crate) well: bool,
    /// The conversation goes on where the server tells of changes.
    pub(crate) feed: Option<(Peer, Changes)>,
}

impl Eyes {
    /// Looks at `target`. If that fails, what `earlier` says stays, with the problem.
    pub(crate) async fn look(
        &self,
        target: &Target,
        earlier: Option<Catalogue>,
        now: impl Fn() -> Timestamp,
    ) -> Sight {
        match self.talk(target).await {
            Ok((peer, listing)) if replaces(&listing, earlier.as_ref()) => {
                let catalogue = catalogue(target, &peer, &listing, now());
                let feed = open_feed(peer, target).await;
                Sight {
                    catalogue,
                    well: true,
                    feed,
                }
            }
            Ok((peer, listing)) => {
                peer.close().await;
                let problem = words::of_listing(&listing, 0).unwrap_or_default();
                failed(target, earlier, problem, now())
            }
            Err(problem) => failed(target, earlier, problem, now()),
        }
    }

    async fn talk(&self, target: &Target) -> Result<(Peer, Listing), String> {
        let header = match &target.credential {
            None => None,
            Some(credential) => {
                let header = self.headers.header(&target.server, credential).await;
                Some(header.map_err(|error| words::of_header(&error, target))?)
            }
        };
        let in_words = |error: ClientError| words::of_failure(&error, target);
        let limits = ReadLimits {
            body: self.caps.bytes,
            sse: SseLimits {
                line: self.caps.bytes,
                event: self.caps.bytes,
            },
        };
        let endpoint = Endpoint::new(&target.url, header, target.timeouts)
            .map_err(in_words)?
            .within(self.caps.time)
            .with_limits(limits);
        let peer = detect(&self.http, &endpoint, target.era, &self.us)
            .await
            .map_err(in_words)?;
        match peer.list_tools(&self.caps).await {
            Ok(listing) => Ok((peer, listing)),
            Err(error) => {
                peer.close().await;
                Err(in_words(error))
            }
        }
    }
}

/// A list that broke off in the middle tells less than a complete one from before.
fn replaces(listing: &Listing, earlier: Option<&Catalogue>) -> bool {
    match listing.cut {
        Some(Cut::Failed(_) | Cut::Time(_)) => earlier.is_none_or(|e| e.tools.is_empty()),
        Some(Cut::Pages(_) | Cut::Tools(_) | Cut::Bytes(_) | Cut::Circle) | None => true,
    }
}

fn catalogue(target: &Target, peer: &Peer, listing: &Listing, now: Timestamp) -> Catalogue {
    let facts = peer.facts().clone();
    let mut room = limits::CATALOGUE_TOOLS.bytes;
    let mut tools = Vec::with_capacity(listing.tools.len());
    for tool in &listing.tools {
        let size = tool.json.len() + tool.name.len() + 128;
        // No gaps: what comes after a tool that does not fit is left out too, whatever its size.
        let Some(left) = room.checked_sub(size) else {
            break;
        };
        room = left;
        tools.push(Definition {
            name: tool.name.clone(),
            digest: Digest(tool.digest),
            json: tool.json.as_str().into(),
        });
    }
    let over = listing.tools.len() - tools.len();
    Catalogue {
        server: target.server.clone(),
        era: Some(peer.era()),
        protocol_version: facts.version,
        server_name: facts.server_name,
        server_version: facts.server_version,
        instructions: facts.instructions,
        capabilities: facts.capabilities,
        tools,
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        probed: now,
        problem: words::of_listing(listing, over),
    }
}

fn failed(target: &Target, earlier: Option<Catalogue>, problem: String, now: Timestamp) -> Sight {
    let catalogue = Catalogue {
        probed: now,
        problem: Some(problem),
        ..earlier.unwrap_or_else(|| nothing(target))
    };
    Sight {
        catalogue,
        well: false,
        feed: None,
    }
}

fn nothing(target: &Target) -> Catalogue {
    Catalogue {
        server: target.server.clone(),
        era: None,
        protocol_version: String::new(),
        server_name: String::new(),
        server_version: String::new(),
        instructions: String::new(),
        capabilities: "{}".to_owned(),
        tools: Vec::new(),
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        probed: Timestamp(0),
        problem: None,
    }
}

async fn open_feed(peer: Peer, target: &Target) -> Option<(Peer, Changes)> {
    if peer.facts().announces_tools() {
        match peer.changes().await {
            Ok(Some(changes)) => return Some((peer, changes)),
            Ok(None) => {}
            // The list is good all the same, and is looked at again in time.
            Err(error) => tracing::debug!(server = %target.server, %error, "no feed of changes"),
        }
    }
    peer.close().await;
    None
}
