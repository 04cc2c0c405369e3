//! Inspection of one server: detects its era, opens its change feed, lists its definitions and reports the result. The
//! feed is opened first, so that a change during listing is announced.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, Either, join, join_all, select};
use http::HeaderValue;
use tokio::time::timeout;
use toolgate_client::{
    ClientError, ConfiguredProtocol, ListingLimits, ListingTruncation, ServerClient,
    ServerEndpoint, ServerListing, spoken_legacy_version,
};
use toolgate_control_core::definitions::{
    DefinitionsLimit, LISTS, OfferedCount, OmittedDefinitions, count_limits, cut_to_limits,
};
use toolgate_egress::HttpClient;
use toolgate_mcp::{definition::DefinitionKind, message::Implementation};
use toolgate_model::{
    Definition, Digest, ProbeFailure, ProbeProblem, ServerDefinitions, Timestamp,
};
use toolgate_runtime::{MemoryBudget, drain::Drain};

use crate::{
    feed::{FeedOpening, FeedSource, close_peer, skip},
    port::HeaderSource,
    problem_text,
    target::ProbeTarget,
};

/// Dependencies of an inspection.
pub(crate) struct ServerInspector {
    pub(crate) http: HttpClient,
    /// Id of this deployment in `CDN-Loop`.
    pub(crate) cdn_id: Option<HeaderValue>,
    pub(crate) headers: Arc<dyn HeaderSource>,
    pub(crate) implementation: Implementation,
    pub(crate) list_limits: ListingLimits,
    /// Bytes of all lists that are being read.
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) drain: Drain,
}

/// Result of an inspection.
pub(crate) struct ServerInspection {
    pub(crate) definitions: ServerDefinitions,
    /// True if the server answered without errors.
    pub(crate) succeeded: bool,
    /// Peer and change feed, if the server announces changes or the feed is still being opened.
    pub(crate) feed: Option<(Arc<ServerClient>, FeedSource)>,
}

/// Maximum time that listing waits for the feed to open. Some servers send no response headers for a stream before its
/// first event, and listing must not wait for that.
const FEED_HEAD_START: Duration = Duration::from_millis(200);

/// Listings by kind.
type KindListings = Vec<(DefinitionKind, Result<ServerListing, ClientError>)>;

/// Timeout of the request that tells if a modern server also speaks the legacy era.
const LEGACY_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers of a server to the requests of an inspection.
struct ServerAnswers {
    peer: Arc<ServerClient>,
    feed: Option<FeedSource>,
    lists: KindListings,
    legacy_version: String,
    /// Warning about endpoints that could not be connected.
    warning: Option<ProbeProblem>,
}

impl ServerInspector {
    /// Inspects `target`. Definitions that could not be read are taken from `earlier`, and a problem is set.
    pub(crate) async fn inspect(
        &self,
        target: &ProbeTarget,
        earlier: Option<ServerDefinitions>,
        now: impl Fn() -> Timestamp,
    ) -> ServerInspection {
        let ServerAnswers {
            peer,
            feed,
            lists,
            legacy_version,
            warning,
        } = match self.connect_and_list(target, earlier.as_ref()).await {
            Ok(seen) => seen,
            Err(problem) => {
                // Definitions that came from this deployment itself grow with each probe.
                let is_loop = problem.failure == Some(ProbeFailure::GatewayLoop);
                return failed(target, earlier.filter(|_| !is_loop), problem, now());
            }
        };
        match assemble(target, &peer, &lists, earlier.as_ref()) {
            Ok((seen, succeeded)) => {
                let catalogue = ServerDefinitions {
                    probed: now(),
                    legacy_version,
                    problem: problem_text::join(Vec::from_iter(
                        warning.into_iter().chain(seen.problem.clone()),
                    )),
                    ..seen
                };
                let feed = match feed {
                    Some(feed) => Some((peer, feed)),
                    None => {
                        close_peer(peer).await;
                        None
                    }
                };
                ServerInspection {
                    definitions: catalogue,
                    succeeded,
                    feed,
                }
            }
            Err(problem) => {
                drop(feed);
                close_peer(peer).await;
                failed(target, earlier, problem, now())
            }
        }
    }

    async fn connect_and_list(
        &self,
        target: &ProbeTarget,
        earlier: Option<&ServerDefinitions>,
    ) -> Result<ServerAnswers, ProbeProblem> {
        let reached = self.reach(target).await?;
        let (endpoint, peer, warning) = (reached.endpoint, reached.peer, reached.warning);
        let peer = Arc::new(peer);
        let (opened, legacy_version) = join(
            self.open_feed_and_list(&peer, target),
            self.legacy_version(&peer, &endpoint, target, earlier),
        )
        .await;
        let (feed, lists) = opened;
        Ok(ServerAnswers {
            peer,
            feed,
            lists,
            legacy_version,
            warning,
        })
    }

    /// Returns the version in which a modern server also speaks the legacy era, unless the era is set by the operator. A
    /// server that names no legacy version is sent no `initialize`.
    async fn legacy_version(
        &self,
        peer: &ServerClient,
        endpoint: &ServerEndpoint,
        target: &ProbeTarget,
        earlier: Option<&ServerDefinitions>,
    ) -> String {
        let is_pinned = target.protocol != ConfiguredProtocol::default();
        let named = match peer {
            ServerClient::Modern(peer) if !is_pinned => peer.legacy_version(),
            ServerClient::Modern(_) | ServerClient::Legacy(_) => None,
        };
        let Some(named) = named else {
            return String::new();
        };
        let endpoint = endpoint.clone().with_max_timeout(LEGACY_TIMEOUT);
        match spoken_legacy_version(&self.http, &endpoint, named, &self.implementation).await {
            Ok(version) => version.unwrap_or_default().to_owned(),
            // Unknown: a server that is slow once does not change its era for legacy clients.
            Err(error) => {
                tracing::debug!(server = %target.server, %error, "the legacy era was not probed");
                let earlier = earlier.map(|earlier| earlier.legacy_version.clone());
                earlier.unwrap_or_default()
            }
        }
    }

    async fn open_feed_and_list(
        &self,
        peer: &Arc<ServerClient>,
        target: &ProbeTarget,
    ) -> (Option<FeedSource>, KindListings) {
        let mut opening = open_feed(Arc::clone(peer), target);
        if let Ok(opened) = timeout(FEED_HEAD_START, &mut opening).await {
            let mut feed = source(opened);
            if let Some(FeedSource::Open(changes)) = &mut feed {
                // This inspection covers the announcements that have already arrived.
                skip(changes);
            }
            return (feed, self.lists(peer, target).await);
        }
        match select(pin!(self.lists(peer, target)), opening).await {
            Either::Left((lists, opening)) => (Some(FeedSource::Opening(opening)), lists),
            Either::Right((opened, lists)) => (source(opened), lists.await),
        }
    }

    async fn lists(&self, peer: &ServerClient, target: &ProbeTarget) -> KindListings {
        let list = async |kind| {
            let listing = Box::pin(peer.list(kind, &self.limits_of(kind))).await;
            if let Err(error) = &listing {
                let what = kind.list();
                tracing::info!(server = %target.server, what, %error, "a list could not be had");
            }
            (kind, listing)
        };
        // Concurrent, so that a list that hangs does not delay the others.
        join_all(DefinitionKind::ALL.map(list)).await
    }

    /// Limits the read to the number of entries that are kept of a list.
    fn limits_of(&self, kind: DefinitionKind) -> ListingLimits {
        let [tools, prompts, resources, templates] = count_limits();
        let count = match kind {
            DefinitionKind::Tool => tools,
            DefinitionKind::Prompt => prompts,
            DefinitionKind::Resource => resources,
            DefinitionKind::Template => templates,
        };
        ListingLimits {
            definitions: self.list_limits.definitions.min(count),
            ..self.list_limits
        }
    }
}

/// Assembles the definitions and reports if all lists succeeded. Fails only if every offered list failed.
fn assemble(
    target: &ProbeTarget,
    peer: &ServerClient,
    lists: &KindListings,
    earlier: Option<&ServerDefinitions>,
) -> Result<(ServerDefinitions, bool), ProbeProblem> {
    let offered = |(kind, _): &&(DefinitionKind, _)| peer.facts().offers(*kind);
    let mut errors = lists
        .iter()
        .filter(offered)
        .map(|(_, it)| it.as_ref().err());
    if let Some(Some(first)) = errors.next()
        && errors.all(|error| error.is_some())
    {
        return Err(problem_text::failed_probe(first, target));
    }
    let facts = peer.facts().clone();
    let facts_problem = problem_text::of_facts(&facts).map(ProbeProblem::warning);
    let mut seen = ServerDefinitions {
        era: Some(peer.era()),
        protocol_version: facts.version,
        server_name: facts.server_name,
        server_version: facts.server_version,
        instructions: facts.instructions,
        capabilities: facts.capabilities,
        ..empty_definitions(target)
    };
    let (mut succeeded, mut problems) = (true, Vec::from_iter(facts_problem));
    let (mut omitted, mut left_out) = (Vec::new(), Vec::new());
    for (kind, listing) in lists {
        let before = earlier.map_or(&[][..], |earlier| list_of(earlier, *kind));
        let taken = match listing {
            Ok(listing) => {
                let warning = problem_text::of_listing(*kind, listing);
                problems.extend(warning.map(ProbeProblem::warning));
                if replaces(listing, before) {
                    omitted.extend(beyond_limit(*kind, listing));
                    left_out.extend(problem_text::beyond_definition_limits(*kind, listing));
                    listed_definitions(listing)
                } else {
                    succeeded = false;
                    before.to_vec()
                }
            }
            Err(error) => {
                // A server without the method would answer the same every time, so it is not a reason for an early
                // retry.
                succeeded &= error.is_unknown_method();
                problems.push(problem_text::unread_list(*kind, error, target));
                before.to_vec()
            }
        };
        *list_in(&mut seen, *kind) = taken;
    }
    for cut in cut_to_limits(&mut seen) {
        match omitted.iter_mut().find(|it| it.list == cut.list) {
            // The list tells how many definitions the server offers.
            Some(listed) => (listed.kept, listed.limit) = (cut.kept, cut.limit),
            None => omitted.push(cut),
        }
    }
    let cut = omitted.iter().map(ToString::to_string);
    seen.omissions = cut.chain(left_out).collect();
    seen.problem = problem_text::join(problems);
    Ok((seen, succeeded))
}

/// Returns `true` if the listing may replace `before`. A listing that broke off holds less than an earlier complete
/// one.
fn replaces(listing: &ServerListing, before: &[Definition]) -> bool {
    match listing.truncation {
        Some(ListingTruncation::Failed(_) | ListingTruncation::Time(_)) => before.is_empty(),
        Some(
            ListingTruncation::Pages(_)
            | ListingTruncation::Definitions(_)
            | ListingTruncation::Bytes(_)
            | ListingTruncation::CursorLoop,
        )
        | None => true,
    }
}

fn listed_definitions(listing: &ServerListing) -> Vec<Definition> {
    let definition = |it: &toolgate_mcp::definition::ParsedDefinition| Definition {
        name: it.name.clone(),
        digest: Digest(it.digest),
        json: it.json.as_str().into(),
    };
    listing.definitions.iter().map(definition).collect()
}

/// Returns what is left out of a list because a limit cut it while it was read.
fn beyond_limit(kind: DefinitionKind, listing: &ServerListing) -> Option<OmittedDefinitions> {
    let limit = match listing.truncation.as_ref()? {
        ListingTruncation::Definitions(count) => DefinitionsLimit::Count(*count),
        ListingTruncation::Pages(pages) => DefinitionsLimit::Pages(*pages),
        ListingTruncation::Bytes(bytes) => DefinitionsLimit::ReadBytes(*bytes),
        ListingTruncation::Time(_)
        | ListingTruncation::CursorLoop
        | ListingTruncation::Failed(_) => return None,
    };
    let [tools, prompts, resources, templates] = LISTS;
    let list = match kind {
        DefinitionKind::Tool => tools,
        DefinitionKind::Prompt => prompts,
        DefinitionKind::Resource => resources,
        DefinitionKind::Template => templates,
    };
    let offered = match listing.goes_on {
        true => OfferedCount::MoreThan(listing.offered),
        false => OfferedCount::Exactly(listing.offered),
    };
    Some(OmittedDefinitions {
        list,
        kept: listing.definitions.len(),
        offered,
        limit,
    })
}

fn list_of(catalogue: &ServerDefinitions, kind: DefinitionKind) -> &[Definition] {
    match kind {
        DefinitionKind::Tool => &catalogue.tools,
        DefinitionKind::Prompt => &catalogue.prompts,
        DefinitionKind::Resource => &catalogue.resources,
        DefinitionKind::Template => &catalogue.templates,
    }
}

fn list_in(catalogue: &mut ServerDefinitions, kind: DefinitionKind) -> &mut Vec<Definition> {
    match kind {
        DefinitionKind::Tool => &mut catalogue.tools,
        DefinitionKind::Prompt => &mut catalogue.prompts,
        DefinitionKind::Resource => &mut catalogue.resources,
        DefinitionKind::Template => &mut catalogue.templates,
    }
}

fn failed(
    target: &ProbeTarget,
    earlier: Option<ServerDefinitions>,
    problem: ProbeProblem,
    now: Timestamp,
) -> ServerInspection {
    let catalogue = ServerDefinitions {
        probed: now,
        problem: Some(problem),
        ..earlier.unwrap_or_else(|| empty_definitions(target))
    };
    ServerInspection {
        definitions: catalogue,
        succeeded: false,
        feed: None,
    }
}

fn empty_definitions(target: &ProbeTarget) -> ServerDefinitions {
    ServerDefinitions {
        server: target.server.clone(),
        era: None,
        protocol_version: String::new(),
        legacy_version: String::new(),
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
        omissions: Vec::new(),
        parts: Vec::new(),
    }
}

fn open_feed(peer: Arc<ServerClient>, target: &ProbeTarget) -> BoxFuture<'static, FeedOpening> {
    let server = target.server.clone();
    Box::pin(async move {
        if !DefinitionKind::ALL
            .iter()
            .any(|kind| peer.facts().announces(*kind))
        {
            return Ok(None);
        }
        // On failure the lists are still valid, and are read again at the next interval.
        let opened = peer.changes().await;
        opened.inspect_err(|error| tracing::debug!(%server, %error, "no feed of changes"))
    })
}

fn source(opened: FeedOpening) -> Option<FeedSource> {
    match opened {
        Ok(changes) => changes.map(|changes| FeedSource::Open(Box::new(changes))),
        Err(_) => Some(FeedSource::Failed),
    }
}
