//! The Push service: one stream, one feed. A task of each stream carries what the proxy says, and what is published,
//! to the feed, one at a time.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use toolgate_actor::Handle;
use toolgate_control_core::push::{Event, Hello};
use toolgate_model::{Slug, Snapshot, Version};
use toolgate_proto::push::v1::{
    self as pb, FromProxy, RevocationsRequest, Update, from_proxy, push_server::Push,
};
use toolgate_wire::{Wire as _, push as wire};

use super::{
    Members,
    feed::{Feed, Message, Outgoing},
    revocations,
};
use crate::{
    caller::{Caller, Peer, not_expelled},
    desk::Published,
    status,
};

/// How long a feed may take to take an event.
const FEED_DEADLINE: Duration = Duration::from_secs(10);
/// Deltas between feed and stream: one in flight, and the end.
const BUFFER: usize = 2;

/// The feed of every proxy that is connected to this control plane.
#[derive(Default)]
pub(crate) struct Feeds {
    open: Mutex<BTreeMap<Slug, Handle<Feed>>>,
}

/// One stream's task.
struct Pump {
    members: Members,
    peer: Peer,
    feed: Handle<Feed>,
    out: mpsc::Sender<Outgoing>,
    /// Its id, once it has introduced itself.
    proxy: Option<Slug>,
    /// The snapshot handed to the feed last.
    wanted: Option<Arc<Snapshot>>,
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Push for Members {
    type SubscribeStream = BoxStream<Update>;
    type RevocationsStream = ReceiverStream<Result<pb::Revocations, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<FromProxy>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = Caller::of(&request)?;
        caller.everywhere()?;
        let (out, outgoing) = mpsc::channel(BUFFER);
        let (alive, ended) = oneshot::channel();
        let desk = Arc::clone(&self.edge.desk);
        // What the feed holds of the stream is made once; a feed that panics is not made again.
        let once = Mutex::new(Some((out.clone(), alive)));
        let feed = self.actors.spawn(move || {
            let taken = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (out, alive) = taken.unzip();
            Feed::new(Arc::clone(&desk), out, alive)
        });
        let pump = Pump {
            members: self.clone(),
            peer: caller.peer.clone(),
            feed,
            out,
            proxy: None,
            wanted: None,
        };
        let inbound = request.into_inner();
        self.edge
            .drain
            .spawn("push stream", pump.run(inbound, ended));
        let updates = ReceiverStream::new(outgoing).flat_map(parts);
        Ok(Response::new(Box::pin(updates)))
    }

    async fn revocations(
        &self,
        request: Request<RevocationsRequest>,
    ) -> Result<Response<Self::RevocationsStream>, Status> {
        let caller = Caller::of(&request)?;
        caller.everywhere()?;
        let proxy = match &caller.peer {
            Peer::Proxy(id) => Some(id.clone()),
            // In development a proxy is who it says; one that says nothing cannot be told to leave.
            Peer::Trusted | Peer::Unknown => request.get_ref().proxy_id.parse().ok(),
        };
        Ok(Response::new(revocations::stream(&self.edge, proxy)))
    }
}

/// A delta as messages, made one by one as the stream takes them.
fn parts(outgoing: Outgoing) -> BoxStream<Update> {
    match outgoing {
        Ok((nonce, delta)) => stream::iter(wire::updates(nonce, delta).map(Ok)).boxed(),
        Err(status) => stream::iter([Err(status)]).boxed(),
    }
}

impl Pump {
    async fn run(mut self, inbound: Streaming<FromProxy>, ended: oneshot::Receiver<()>) {
        let draining = self.members.edge.drain.draining();
        tokio::select! {
            () = draining => {}
            // Never sent: the feed has ended.
            _dropped = ended => {}
            failed = self.carry(inbound) => {
                if let Err(status) = failed {
                    let _reader_gone = self.out.try_send(Err(status));
                }
            }
        }
        // A feed that has ended already, or that another stream has replaced, has nothing to say any more.
        let _gone = self.hand_over(Event::Disconnected).await;
        if let Some(proxy) = &self.proxy {
            self.members.feeds.leave(proxy, &self.feed);
        }
    }

    /// Carries events to the feed until the proxy ends the stream.
    async fn carry(&mut self, mut inbound: Streaming<FromProxy>) -> Result<(), Status> {
        let mut published = self.members.edge.desk.published();
        self.want(&mut published).await?;
        loop {
            tokio::select! {
                message = inbound.message() => match message? {
                    Some(message) => {
                        let event = self.understand(message)?;
                        self.hand_over(event).await?;
                    }
                    None => return Ok(()),
                },
                changed = published.changed() => match changed {
                    Ok(()) => {
                        self.recheck()?;
                        self.want(&mut published).await?;
                    }
                    Err(_closed) => return Err(Status::unavailable("the control plane is ending")),
                },
            }
        }
    }

    /// A stream outlives the moment at which it was let in: an operator may have deleted the proxy since.
    fn recheck(&self) -> Result<(), Status> {
        let Some(id) = &self.proxy else {
            return Ok(());
        };
        let edge = &self.members.edge;
        not_expelled(&edge.published().state, id, edge.desk.now())
    }

    /// Hands over the newest snapshot, if it is another one than before. The version does not tell: when the store's
    /// watch had lost something, the repaired snapshot may carry the version that went out without it. Before the
    /// first listing of the store there is none: an empty one would take everything from the proxy.
    async fn want(
        &mut self,
        published: &mut watch::Receiver<Arc<Published>>,
    ) -> Result<(), Status> {
        let snapshot = Arc::clone(&published.borrow_and_update().compiled.snapshot);
        let known = |wanted: &Arc<Snapshot>| Arc::ptr_eq(wanted, &snapshot);
        if snapshot.version == Version::default() || self.wanted.as_ref().is_some_and(known) {
            return Ok(());
        }
        self.wanted = Some(Arc::clone(&snapshot));
        self.hand_over(Event::Wanted(snapshot)).await
    }

    async fn hand_over(&self, event: Event) -> Result<(), Status> {
        let taken = self.feed.ask(FEED_DEADLINE, |reply| {
            Message::Event(Box::new(event), reply)
        });
        taken.await.map_err(|error| {
            Status::unavailable(format!("the feed of this proxy is {error}; connect again"))
        })
    }

    fn understand(&mut self, message: FromProxy) -> Result<Event, Status> {
        match message.message {
            Some(from_proxy::Message::Hello(hello)) => self.hello(&hello).map(Event::Hello),
            Some(from_proxy::Message::Ack(ack)) => Ok(Event::Ack { nonce: ack.nonce }),
            Some(from_proxy::Message::Nack(nack)) => Ok(Event::Nack {
                nonce: nack.nonce,
                refused: wire::refusals(&nack.refused),
            }),
            None => Err(status::invalid(
                "message",
                "is missing or unknown to this build",
            )),
        }
    }

    fn hello(&mut self, given: &pb::Hello) -> Result<Hello, Status> {
        let hello = wire::Hello::from_proto(given).map_err(status::invalid_message)?;
        if let Peer::Proxy(id) = &self.peer
            && *id != hello.proxy
        {
            let reason = format!("is not `{id}`, which the certificate names");
            return Err(Status::permission_denied(format!("proxy_id: {reason}")));
        }
        self.proxy = Some(hello.proxy.clone());
        self.recheck()?;
        self.members.feeds.enter(&hello.proxy, &self.feed);
        Ok(Hello {
            id: hello.proxy,
            region: hello.region,
            build: hello.build,
            listen: hello.listen,
            started: hello.started,
            held: hello.held,
            resources: hello.resources,
        })
    }
}

impl Feeds {
    /// One proxy, one feed: the stream that came before is ended, it is a connection that broke unnoticed.
    fn enter(&self, proxy: &Slug, feed: &Handle<Feed>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let before = open.insert(proxy.clone(), feed.clone());
        if let Some(before) = before.filter(|before| before.id() != feed.id()) {
            before.stop();
        }
    }

    fn leave(&self, proxy: &Slug, feed: &Handle<Feed>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(proxy).is_some_and(|held| held.id() == feed.id()) {
            open.remove(proxy);
        }
    }
}
