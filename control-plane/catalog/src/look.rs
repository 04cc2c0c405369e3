//! One look at one server: find its era, open its feed of changes, list what it offers, and say what was seen. The feed
//! comes first, so that what changes while a list is read is heard.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{join, join_all};
use tokio::time::timeout;
use toolgate_client::{
    Caps, Changes, ClientError, Cut, Endpoint, Listing, Peer, ReadLimits, detect,
};
use toolgate_control_core::limits::{self, ListLimit};
use toolgate_egress::HttpClient;
use toolgate_mcp::{definition::Kind, message::Implementation};
use toolgate_model::{Catalogue, Definition, Digest, Timestamp};
use toolgate_runtime::drain::Drain;

use crate::{port::HeaderSource, target::Target, words};

/// What looking takes.
pub(crate) struct Eyes {
    pub(crate) http: HttpClient,
    pub(crate) headers: Arc<dyn HeaderSource>,
    pub(crate) us: Implementation,
    pub(crate) caps: Caps,
    pub(crate) drain: Drain,
}

/// What was seen.
pub(crate) struct Sight {
    pub(crate) catalogue: Catalogue,
    /// Whether the server answered as it should.
    pub(crate) well: bool,
    /// The conversation goes on where the server tells of changes.
    pub(crate) feed: Option<(Peer, Changes)>,
}

/// How long lists wait for the feed to stand. Some servers send nothing of a stream before there is something to say.
const HEAD_START: Duration = Duration::from_millis(200);

/// What was listed, kind by kind.
type Lists = Vec<(Kind, Result<Listing, ClientError>)>;

impl Eyes {
    /// Looks at `target`. What could not be seen stays as `earlier` says, with the problem.
    pub(crate) async fn look(
        &self,
        target: &Target,
        earlier: Option<Catalogue>,
        now: impl Fn() -> Timestamp,
    ) -> Sight {
        let (peer, feed, lists) = match self.talk(target).await {
            Ok(seen) => seen,
            Err(problem) => return failed(target, earlier, problem, now()),
        };
        match digest(target, &peer, &lists, earlier.as_ref()) {
            Ok((seen, well)) => {
                let catalogue = Catalogue {
                    probed: now(),
                    ..seen
                };
                let feed = match feed {
                    Some(feed) => Some((peer, feed)),
                    None => {
                        peer.close().await;
                        None
                    }
                };
                Sight {
                    catalogue,
                    well,
                    feed,
                }
            }
            Err(problem) => {
                peer.close().await;
                failed(target, earlier, problem, now())
            }
        }
    }

    async fn talk(&self, target: &Target) -> Result<(Peer, Option<Changes>, Lists), String> {
        let header = match &target.credential {
            None => None,
            Some(credential) => {
                let header = self.headers.header(&target.server, credential).await;
                Some(header.map_err(|error| words::of_header(&error, target))?)
            }
        };
        let in_words = |error: ClientError| {
            // What operators of an organization are told has neither addresses nor the server's own words.
            tracing::info!(server = %target.server, %error, "a server could not be probed");
            words::of_failure(&error, target)
        };
        // A page of a list is bounded by what may be kept of it, not by what an answer to a caller may be.
        let limits = ReadLimits {
            message: self.caps.bytes,
        };
        let endpoint = Endpoint::new(&target.url, header, target.timeouts)
            .map_err(in_words)?
            .within(self.caps.time)
            .with_limits(limits);
        let peer = detect(&self.http, &endpoint, target.era, &self.us, &self.drain)
            .await
            .map_err(in_words)?;
        let (feed, lists) = self.hear_and_list(&peer, target).await;
        Ok((peer, feed, lists))
    }

    async fn hear_and_list(&self, peer: &Peer, target: &Target) -> (Option<Changes>, Lists) {
        let mut opening = pin!(open_feed(peer, target));
        let early = timeout(HEAD_START, &mut opening).await;
        let late = async {
            match early {
                Ok(feed) => feed,
                Err(_elapsed) => opening.await,
            }
        };
        join(late, self.lists(peer, target)).await
    }

    async fn lists(&self, peer: &Peer, target: &Target) -> Lists {
        let list = async |kind| {
            let listing = Box::pin(peer.list(kind, &self.caps_of(kind))).await;
            if let Err(error) = &listing {
                let what = kind.list();
                tracing::info!(server = %target.server, what, %error, "a list could not be had");
            }
            (kind, listing)
        };
        // Side by side: a list that hangs keeps nobody from the others.
        join_all(Kind::ALL.map(list)).await
    }

    /// No more of a list is read than is kept of it, but for what lies between.
    fn caps_of(&self, kind: Kind) -> Caps {
        let limit = limit(kind);
        Caps {
            definitions: self.caps.definitions.min(limit.count),
            bytes: self.caps.bytes.min(4 * limit.bytes),
            ..self.caps
        }
    }
}

/// How much is kept of a list.
fn limit(kind: Kind) -> ListLimit {
    match kind {
        Kind::Tool => limits::CATALOGUE_TOOLS,
        Kind::Prompt => limits::CATALOGUE_PROMPTS,
        Kind::Resource => limits::CATALOGUE_RESOURCES,
        Kind::Template => limits::CATALOGUE_TEMPLATES,
    }
}

/// What was seen, and whether all of it went well. Nothing but failures is a failure as a whole.
fn digest(
    target: &Target,
    peer: &Peer,
    lists: &Lists,
    earlier: Option<&Catalogue>,
) -> Result<(Catalogue, bool), String> {
    let offered = |(kind, _): &&(Kind, _)| peer.facts().offers(*kind);
    let mut errors = lists
        .iter()
        .filter(offered)
        .map(|(_, it)| it.as_ref().err());
    if let Some(Some(first)) = errors.next()
        && errors.all(|error| error.is_some())
    {
        return Err(words::of_failure(first, target));
    }
    let facts = peer.facts().clone();
    let mut seen = Catalogue {
        era: Some(peer.era()),
        protocol_version: facts.version,
        server_name: facts.server_name,
        server_version: facts.server_version,
        instructions: facts.instructions,
        capabilities: facts.capabilities,
        ..nothing(target)
    };
    let (mut well, mut problems) = (true, Vec::new());
    for (kind, listing) in lists {
        let before = earlier.map_or(&[][..], |earlier| list_of(earlier, *kind));
        let taken = match listing {
            Ok(listing) if replaces(listing, before) => {
                let (taken, over) = kept(*kind, listing);
                problems.extend(words::of_listing(*kind, listing, over));
                taken
            }
            Ok(listing) => {
                well = false;
                problems.extend(words::of_listing(*kind, listing, 0));
                before.to_vec()
            }
            Err(error) => {
                // It would answer the same again and again: that is no reason to hurry.
                well &= error.is_unknown_method();
                problems.push(words::of_list(*kind, error, target));
                before.to_vec()
            }
        };
        *list_in(&mut seen, *kind) = taken;
    }
    seen.problem = words::all(&problems);
    Ok((seen, well))
}

/// A list that broke off in the middle tells less than a complete one from before.
fn replaces(listing: &Listing, before: &[Definition]) -> bool {
    match listing.cut {
        Some(Cut::Failed(_) | Cut::Time(_)) => before.is_empty(),
        Some(Cut::Pages(_) | Cut::Definitions(_) | Cut::Bytes(_) | Cut::Circle) | None => true,
    }
}

/// What the store takes of a list, and how many it does not.
fn kept(kind: Kind, listing: &Listing) -> (Vec<Definition>, usize) {
    let definition = |it: &toolgate_mcp::definition::Definition| Definition {
        name: it.name.clone(),
        digest: Digest(it.digest),
        json: it.json.as_str().into(),
    };
    let mut taken: Vec<Definition> = listing.taken.iter().map(definition).collect();
    let offered = taken.len();
    taken.truncate(limit(kind).keeps(&taken));
    let over = offered - taken.len();
    (taken, over)
}

fn list_of(catalogue: &Catalogue, kind: Kind) -> &[Definition] {
    match kind {
        Kind::Tool => &catalogue.tools,
        Kind::Prompt => &catalogue.prompts,
        Kind::Resource => &catalogue.resources,
        Kind::Template => &catalogue.templates,
    }
}

fn list_in(catalogue: &mut Catalogue, kind: Kind) -> &mut Vec<Definition> {
    match kind {
        Kind::Tool => &mut catalogue.tools,
        Kind::Prompt => &mut catalogue.prompts,
        Kind::Resource => &mut catalogue.resources,
        Kind::Template => &mut catalogue.templates,
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

async fn open_feed(peer: &Peer, target: &Target) -> Option<Changes> {
    if !Kind::ALL.iter().any(|kind| peer.facts().announces(*kind)) {
        return None;
    }
    match peer.changes().await {
        Ok(changes) => changes,
        // The list is good all the same, and is looked at again in time.
        Err(error) => {
            tracing::debug!(server = %target.server, %error, "no feed of changes");
            None
        }
    }
}
