//! Watch service: sends all objects that the caller may read, then `SYNCED`, then changes. A stream keeps a fingerprint
//! of each object it has sent and compares the changed objects with the newest published state. A slow reader therefore
//! skips intermediate changes, and no queue builds up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use toolgate_control_core::{AccessRight, ObjectKey, ObjectKind, port::PublishedState};
use toolgate_model::{Slug, Timestamp, Version};
use toolgate_proto::admin::v1::{
    ServerStatus, WatchEvent, WatchRequest,
    watch_event::{Object, Type},
    watch_server,
};

use crate::{
    api_context::ApiContext,
    caller::{AdminCaller, denied},
    crud, status,
    watch_limiter::WatchPermit,
};

mod show;

pub(crate) use show::WatchedKind;

/// Number of events buffered for the reader.
pub(crate) const BUFFER: usize = 64;
/// Minimum interval between two comparisons. Merges a burst of writes.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum interval between two checks of the caller's token.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum time for which the last message of a stream waits for the reader.
const LAST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Objects that one stream shows.
struct WatchScope {
    caller: Arc<AdminCaller>,
    parent: Option<Slug>,
    kinds: Vec<ObjectKind>,
}

/// Fingerprint of an object. It changes when the reader would see a different object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ObjectFingerprint {
    /// Changes with the stored revision.
    Stored(u64),
    /// Also changes with the compiled result.
    Compiled(u64, Option<toolgate_model::Digest>, Vec<String>),
    /// Also changes with the result of the last probe, and with the health that proxies see.
    Probed(u64, Box<Option<ServerStatus>>),
    /// Also changes with the version that proxies should have.
    TargetVersion(u64, Version),
}

/// Objects that one stream has sent.
#[derive(Default)]
struct SentObjects {
    fingerprints: BTreeMap<ObjectKey, ObjectFingerprint>,
    /// State that they were read from.
    published: Option<Arc<PublishedState>>,
}

type WatchEventSender = mpsc::Sender<Result<WatchEvent, Status>>;

#[tonic::async_trait]
impl watch_server::Watch for ApiContext {
    type WatchStream = ReceiverStream<Result<WatchEvent, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let parent = match request.parent.as_str() {
            "" => None,
            parent => Some(crud::organization(self, &caller, parent)?),
        };
        let kinds = kinds(&caller, parent.as_ref(), &request.kinds)?;
        let permit = self.watch_limiter.acquire(caller.author())?;
        let scope = WatchScope {
            caller,
            parent,
            kinds,
        };
        let (sender, receiver) = mpsc::channel(BUFFER);
        let (edge, draining) = (self.clone(), self.drain.draining());
        self.drain.spawn("watch", async move {
            let _permit: WatchPermit = permit;
            tokio::select! {
                () = draining => {}
                ended = follow(&edge, &scope, &sender) => {
                    if let Err(status) = ended {
                        // A reader that does not read is not waited for.
                        let last = sender.send(Err(status));
                        let _full_or_gone = timeout(LAST_MESSAGE_TIMEOUT, last).await;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Sends events until the reader has gone or loses its rights.
async fn follow(
    edge: &ApiContext,
    scope: &WatchScope,
    sender: &WatchEventSender,
) -> Result<(), Status> {
    let mut publications = edge.state.watch_state();
    let mut sent = SentObjects::default();
    let mut synced = false;
    loop {
        let published = publications.latest();
        let now = edge.state.now();
        scope.caller.recheck(&published.state, now)?;
        if !send_changes((edge, scope), &published, now, &mut sent, sender).await? {
            return Ok(());
        }
        if !synced {
            synced = true;
            let synced = event(Type::Synced, None);
            if !send_event((edge, scope), sender, synced).await? {
                return Ok(());
            }
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = sleep(RECHECK_INTERVAL) => {}
            changed = publications.changed() => match changed {
                Ok(()) => sleep(MIN_INTERVAL).await,
                Err(_ended) => {
                    let message = "the control plane is ending; connect again".to_owned();
                    return Err(status::unavailable("ENDING", message));
                }
            },
        }
    }
}

/// Waits for room. Meanwhile the caller is checked: a token that is revoked gets nothing further. Returns `false` if the
/// reader has gone.
async fn send_event(
    (edge, scope): (&ApiContext, &WatchScope),
    sender: &WatchEventSender,
    event: WatchEvent,
) -> Result<bool, Status> {
    loop {
        if let Ok(room) = timeout(RECHECK_INTERVAL, sender.reserve()).await {
            let is_open = room.map(|room| room.send(Ok(event))).is_ok();
            return Ok(is_open);
        }
        let published = edge.published();
        scope.caller.recheck(&published.state, edge.state.now())?;
    }
}

/// Sends the objects that differ from what was sent. Returns `false` if the reader has gone.
async fn send_changes(
    (edge, scope): (&ApiContext, &WatchScope),
    published: &Arc<PublishedState>,
    now: Timestamp,
    sent: &mut SentObjects,
    sender: &WatchEventSender,
) -> Result<bool, Status> {
    let before = sent.published.replace(Arc::clone(published));
    let changed = before.and_then(|before| published.changed_objects(&before));
    let looks = scope.fingerprints(published, changed.as_ref(), now);
    let is_removed = |key: &&ObjectKey| !looks.contains_key(*key);
    let sent = &mut sent.fingerprints;
    let removed: Vec<ObjectKey> = match &changed {
        Some(changed) => {
            let known = changed.iter().filter(|key| sent.contains_key(*key));
            known.filter(is_removed).cloned().collect()
        }
        None => sent.keys().filter(is_removed).cloned().collect(),
    };
    for key in removed {
        let deleted = event(Type::Deleted, show::tombstone(&key));
        if !send_event((edge, scope), sender, deleted).await? {
            return Ok(false);
        }
        sent.remove(&key);
    }
    for (key, look) in looks {
        if sent.get(&key) == Some(&look) {
            continue;
        }
        // Built one by one, as the reader takes them.
        let put = event(Type::Put, show::object(&key, published, now));
        if put.object.is_some() && !send_event((edge, scope), sender, put).await? {
            return Ok(false);
        }
        sent.insert(key, look);
    }
    Ok(true)
}

fn event(kind: Type, object: Option<Object>) -> WatchEvent {
    let r#type = kind.into();
    WatchEvent { r#type, object }
}

/// Returns the kinds to show. The caller must have the read right for every kind that it names.
fn kinds(
    caller: &AdminCaller,
    parent: Option<&Slug>,
    requested: &[String],
) -> Result<Vec<ObjectKind>, Status> {
    let own = match &caller.identity {
        toolgate_control_core::CallerIdentity::Token { org, .. } => Some(org),
        toolgate_control_core::CallerIdentity::System
        | toolgate_control_core::CallerIdentity::Proxy { .. }
        | toolgate_control_core::CallerIdentity::Anonymous => None,
    };
    let readable = |kind: &ObjectKind| {
        let right = AccessRight::Read(*kind);
        match kind.is_deployment_wide() {
            true => parent.is_none() && caller.has_right(right, None),
            false => caller.has_right(right, parent.or(own)),
        }
    };
    if requested.is_empty() {
        return Ok(ObjectKind::ALL.iter().copied().filter(readable).collect());
    }
    let parse = |(at, given): (usize, &String)| {
        let mut all = ObjectKind::ALL.iter().copied();
        let found = all.find(|kind| kind.message() == given);
        let kind = found.ok_or_else(|| {
            let names: Vec<&str> = ObjectKind::ALL.iter().map(|kind| kind.message()).collect();
            let names = names.join(", ");
            let given: String = given.chars().take(100).collect();
            status::invalid(
                format!("kinds[{at}]"),
                format!("`{given}` is none of {names}"),
            )
        })?;
        if readable(&kind) {
            return Ok(kind);
        }
        Err(denied(
            caller.method,
            Some(AccessRight::Read(kind)),
            &caller.identity,
        ))
    };
    requested.iter().enumerate().map(parse).collect()
}

impl WatchScope {
    /// Returns the fingerprints of the objects in this scope: of those in `changed`, or of all.
    fn fingerprints(
        &self,
        published: &PublishedState,
        changed: Option<&BTreeSet<ObjectKey>>,
        now: Timestamp,
    ) -> BTreeMap<ObjectKey, ObjectFingerprint> {
        let Some(changed) = changed else {
            return self.all_fingerprints(published, now);
        };
        let shown = changed.iter().filter(|key| {
            let kind = key.kind().filter(|kind| self.kinds.contains(kind));
            kind.is_some_and(|kind| self.is_visible(kind, key.org()))
        });
        let looks = shown.map(|key| (key.clone(), show::fingerprint(key, published, now)));
        let existing = looks.filter_map(|(key, look)| Some((key, look?)));
        existing.collect()
    }

    fn all_fingerprints(
        &self,
        published: &PublishedState,
        now: Timestamp,
    ) -> BTreeMap<ObjectKey, ObjectFingerprint> {
        let mut looks = BTreeMap::new();
        for kind in &self.kinds {
            show::fingerprints(*kind, published, now, &mut |key, look| {
                if self.is_visible(*kind, key.org()) {
                    looks.insert(key, look);
                }
            });
        }
        looks
    }

    fn is_visible(&self, kind: ObjectKind, org: Option<&Slug>) -> bool {
        let within = match (&self.parent, org) {
            (None, _) => true,
            (Some(parent), org) => org == Some(parent),
        };
        within && self.caller.has_right(AccessRight::Read(kind), org)
    }
}
