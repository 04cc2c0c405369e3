//! Inspection of one server: detects its era, opens its change feed, lists its definitions and reports the result. The
//! feed is opened first, so that a change during listing is announced.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, Either, join_all, select};
use tokio::time::timeout;
use toolgate_client::{Caps, ClientError, Cut, Endpoint, Listing, Peer, ReadLimits, detect};
use toolgate_control_core::limits::{self, ListLimit};
use toolgate_egress::HttpClient;
use toolgate_mcp::{definition::Kind, message::Implementation};
use toolgate_model::{Catalogue, Definition, Digest, Timestamp};
use toolgate_runtime::drain::Drain;

use crate::{
    feed::{Opened, Source, goodbye, skip},
    port::HeaderSource,
    target::Target,
    words,
};

/// Dependencies of an inspection.
pub(crate) struct Eyes {
    pub(crate) http: HttpClient,
    pub(crate) headers: Arc<dyn HeaderSource>,
    pub(crate) us: Implementation,
    pub(crate) caps: Caps,
    pub(crate) drain: Drain,
}

/// Result of an inspection.
pub(crate) struct Sight {
    pub(crate) catalogue: Catalogue,
    /// True if the server answered without errors.
    pub(crate) well: bool,
    /// Peer and change feed, if the server announces changes or the feed is still being opened.
    pub(crate) feed: Option<(Arc<Peer>, Source)>,
}

/// Maximum time that listing waits for the feed to open. Some servers send no response headers for a stream before its
/// first event, and listing must not wait for that.
const HEAD_START: Duration = Duration::from_millis(200);

/// Listings by kind.
type Lists = Vec<(Kind, Result<Listing, ClientError>)>;

impl Eyes {
    /// Inspects `target`. Definitions that could not be read are taken from `earlier`, and a problem is set.
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
                        goodbye(peer).await;
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
                drop(feed);
                goodbye(peer).await;
                failed(target, earlier, problem, now())
            }
        }
    }

    async fn talk(&self, target: &Target) -> Result<(Arc<Peer>, Option<Source>, Lists), String> {
        let header = match &target.credential {
            None => None,
            Some(credential) => {
                let header = self.headers.header(&target.server, credential).await;
                Some(header.map_err(|error| words::of_header(&error, target))?)
            }
        };
        let in_words = |error: ClientError| {
            // The problem that operators of an organization see contains neither addresses nor text of the server.
            tracing::info!(server = %target.server, %error, "a server could not be probed");
            words::of_failure(&error, target)
        };
        // The limit for a page of a list is the limit for stored definitions, not the limit for answers to callers.
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
        let peer = Arc::new(peer);
        let (feed, lists) = self.hear_and_list(&peer, target).await;
        Ok((peer, feed, lists))
    }

    async fn hear_and_list(&self, peer: &Arc<Peer>, target: &Target) -> (Option<Source>, Lists) {
        let mut opening = open_feed(Arc::clone(peer), target);
        if let Ok(opened) = timeout(HEAD_START, &mut opening).await {
            let mut feed = source(opened);
            if let Some(Source::Stands(changes)) = &mut feed {
                // This inspection covers the announcements that have already arrived.
                skip(changes);
            }
            return (feed, self.lists(peer, target).await);
        }
        match select(pin!(self.lists(peer, target)), opening).await {
            Either::Left((lists, opening)) => (Some(Source::Coming(opening)), lists),
            Either::Right((opened, lists)) => (source(opened), lists.await),
        }
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
        // Concurrent, so that a list that hangs does not delay the others.
        join_all(Kind::ALL.map(list)).await
    }

    /// Limits the read to what is stored of a list, with a factor for JSON between the definitions.
    fn caps_of(&self, kind: Kind) -> Caps {
        let limit = limit(kind);
        Caps {
            definitions: self.caps.definitions.min(limit.count),
            bytes: self.caps.bytes.min(4 * limit.bytes),
            ..self.caps
        }
    }
}

/// Returns the limit of what is stored of a list.
fn limit(kind: Kind) -> ListLimit {
    match kind {
        Kind::Tool => limits::CATALOGUE_TOOLS,
        Kind::Prompt => limits::CATALOGUE_PROMPTS,
        Kind::Resource => limits::CATALOGUE_RESOURCES,
        Kind::Template => limits::CATALOGUE_TEMPLATES,
    }
}

/// Assembles the definitions and reports if all lists succeeded. Fails only if every offered list failed.
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
                // A server without the method would answer the same every time, so it is not a reason for an early
                // retry.
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

/// Returns `true` if the listing may replace `before`. A listing that broke off holds less than an earlier complete
/// one.
fn replaces(listing: &Listing, before: &[Definition]) -> bool {
    match listing.cut {
        Some(Cut::Failed(_) | Cut::Time(_)) => before.is_empty(),
        Some(Cut::Pages(_) | Cut::Definitions(_) | Cut::Bytes(_) | Cut::Circle) | None => true,
    }
}

/// Returns the definitions of a list that fit the store's limit, and the number of those left out.
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
        problem_since: None,
    }
}

fn open_feed(peer: Arc<Peer>, target: &Target) -> BoxFuture<'static, Opened> {
    let server = target.server.clone();
    Box::pin(async move {
        if !Kind::ALL.iter().any(|kind| peer.facts().announces(*kind)) {
            return Ok(None);
        }
        // On failure the lists are still valid, and are read again at the next interval.
        let opened = peer.changes().await;
        opened.inspect_err(|error| tracing::debug!(%server, %error, "no feed of changes"))
    })
}

fn source(opened: Opened) -> Option<Source> {
    match opened {
        Ok(changes) => changes.map(|changes| Source::Stands(Box::new(changes))),
        Err(_) => Some(Source::Failed),
    }
}
