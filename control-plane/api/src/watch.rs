//! Watch service: sends all objects that the caller may read, then `SYNCED`, then changes. A stream keeps a fingerprint
//! of each object it has sent and compares it with the newest published state. A slow reader therefore skips
//! intermediate changes, and no queue builds up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use toolgate_control_core::{Key, Kind, Right};
use toolgate_model::{Slug, Timestamp, Version};
use toolgate_proto::admin::v1::{
    ServerStatus, WatchEvent, WatchRequest,
    watch_event::{Object, Type},
    watch_server,
};

use crate::{
    caller::{Caller, denied},
    crud,
    desk::Published,
    edge::Edge,
    status,
    watches::Seat,
};

mod show;

/// Number of events buffered for the reader.
const BUFFER: usize = 64;
/// Minimum interval between two comparisons. Merges a burst of writes.
const PACE: Duration = Duration::from_millis(20);
/// Maximum interval between two checks of the caller's token.
const RECHECK: Duration = Duration::from_secs(5);

/// Objects that one stream shows.
struct Scope {
    caller: Arc<Caller>,
    parent: Option<Slug>,
    kinds: Vec<Kind>,
}

/// Fingerprint of an object. It changes when the reader would see a different object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// Changes with the stored revision.
    Stored(u64),
    /// Also changes with the compiled result.
    Compiled(u64, Option<toolgate_model::Digest>, Vec<String>),
    /// Also changes with the result of the last probe.
    Probed(u64, Box<Option<ServerStatus>>),
    /// Also changes with the version that proxies should have.
    Wanting(u64, Version),
}

type Sender = mpsc::Sender<Result<WatchEvent, Status>>;

#[tonic::async_trait]
impl watch_server::Watch for Edge {
    type WatchStream = ReceiverStream<Result<WatchEvent, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let parent = match request.parent.as_str() {
            "" => None,
            parent => Some(crud::organization(self, &caller, parent)?),
        };
        let kinds = kinds(&caller, parent.as_ref(), &request.kinds)?;
        let seat = self.watches.enter(caller.author())?;
        let scope = Scope {
            caller,
            parent,
            kinds,
        };
        let (sender, receiver) = mpsc::channel(BUFFER);
        let (edge, draining) = (self.clone(), self.drain.draining());
        self.drain.spawn("watch", async move {
            let _seat: Seat = seat;
            tokio::select! {
                () = draining => {}
                ended = follow(&edge, &scope, &sender) => {
                    if let Err(status) = ended {
                        let _reader_gone = sender.send(Err(status)).await;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Sends events until the reader has gone or loses its rights.
async fn follow(edge: &Edge, scope: &Scope, sender: &Sender) -> Result<(), Status> {
    let mut publications = edge.desk.published();
    let mut sent = BTreeMap::new();
    let mut synced = false;
    loop {
        let published = Arc::clone(&publications.borrow_and_update());
        let now = edge.desk.now();
        scope.caller.recheck(&published.state, now)?;
        if !send_changes(scope, &published, now, &mut sent, sender).await {
            return Ok(());
        }
        if !synced {
            synced = true;
            if sender.send(Ok(event(Type::Synced, None))).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = sleep(RECHECK) => {}
            changed = publications.changed() => match changed {
                Ok(()) => sleep(PACE).await,
                Err(_closed) => {
                    let message = "the control plane is ending; connect again".to_owned();
                    return Err(status::unavailable("ENDING", message));
                }
            },
        }
    }
}

/// Sends the objects that differ from what was sent. Returns `false` if the reader has gone.
async fn send_changes(
    scope: &Scope,
    published: &Published,
    now: Timestamp,
    sent: &mut BTreeMap<Key, Look>,
    sender: &Sender,
) -> bool {
    let looks = scope.looks(published);
    let gone: Vec<Key> = sent
        .keys()
        .filter(|key| !looks.contains_key(key))
        .cloned()
        .collect();
    for key in gone {
        let deleted = event(Type::Deleted, show::tombstone(&key));
        if sender.send(Ok(deleted)).await.is_err() {
            return false;
        }
        sent.remove(&key);
    }
    for (key, look) in looks {
        if sent.get(&key) == Some(&look) {
            continue;
        }
        // Built one by one, as the reader takes them.
        let put = event(Type::Put, show::object(&key, published, now));
        if put.object.is_some() && sender.send(Ok(put)).await.is_err() {
            return false;
        }
        sent.insert(key, look);
    }
    true
}

fn event(kind: Type, object: Option<Object>) -> WatchEvent {
    let r#type = kind.into();
    WatchEvent { r#type, object }
}

/// Returns the kinds to show. The caller must have the read right for every kind that it names.
fn kinds(caller: &Caller, parent: Option<&Slug>, asked: &[String]) -> Result<Vec<Kind>, Status> {
    let own = match &caller.identity {
        toolgate_control_core::Identity::Token { org, .. } => Some(org),
        toolgate_control_core::Identity::System
        | toolgate_control_core::Identity::Proxy { .. }
        | toolgate_control_core::Identity::Anonymous => None,
    };
    let readable = |kind: &Kind| {
        let right = Right::Read(*kind);
        match kind {
            Kind::Proxy => parent.is_none() && caller.has(right, None),
            Kind::Organization
            | Kind::Gateway
            | Kind::Server
            | Kind::Credential
            | Kind::Token
            | Kind::Catalogue => caller.has(right, parent.or(own)),
        }
    };
    if asked.is_empty() {
        return Ok(Kind::ALL.into_iter().filter(readable).collect());
    }
    let parse = |(at, given): (usize, &String)| {
        let found = Kind::ALL
            .into_iter()
            .find(|kind| show::message(*kind) == given);
        let kind = found.ok_or_else(|| {
            let names = Kind::ALL.map(show::message).join(", ");
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
            Some(Right::Read(kind)),
            &caller.identity,
        ))
    };
    asked.iter().enumerate().map(parse).collect()
}

impl Scope {
    /// Returns the fingerprints of all objects in this scope.
    fn looks(&self, published: &Published) -> BTreeMap<Key, Look> {
        let mut looks = BTreeMap::new();
        for kind in &self.kinds {
            show::looks(*kind, published, &mut |org, key, look| {
                if self.shows(*kind, org) {
                    looks.insert(key, look);
                }
            });
        }
        looks
    }

    fn shows(&self, kind: Kind, org: Option<&Slug>) -> bool {
        let within = match (&self.parent, org) {
            (None, _) => true,
            (Some(parent), org) => org == Some(parent),
        };
        within && self.caller.has(Right::Read(kind), org)
    }
}
