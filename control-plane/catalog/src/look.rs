//! One look at one server: find its era, open its feed of changes, list what it offers, and say what was seen. The feed
//! comes first, so that what changes while a list is read is heard.

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
    /// The conversation goes on where the server tells of changes, or may yet do so.
    pub(crate) feed: Option<(Arc<Peer>, Source)>,
}

/// How long lists wait for the feed to stand. Some servers send nothing of a stream before there is something to say: what
/// was seen does not wait for that.
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
        let peer = Arc::new(peer);
        let (feed, lists) = self.hear_and_list(&peer, target).await;
        Ok((peer, feed, lists))
    }

    async fn hear_and_list(&self, peer: &Arc<Peer>, target: &Target) -> (Option<Source>, Lists) {
        let mut opening = open_feed(Arc::clone(peer), target);
        if let Ok(opened) = timeout(HEAD_START, &mut opening).await {
            let mut feed = source(opened);
            if let Some(Source::Stands(changes)) = &mut feed {
                // This look finds it.
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
        problem_since: None,
    }
}

fn open_feed(peer: Arc<Peer>, target: &Target) -> BoxFuture<'static, Opened> {
    let server = target.server.clone();
    Box::pin(async move {
        if !Kind::ALL.iter().any(|kind| peer.facts().announces(*kind)) {
            return Ok(None);
        }
        // The lists are good all the same, and are looked at again in time.
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
