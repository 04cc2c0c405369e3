//! Push service: one feed per stream. A task per stream forwards the messages of the proxy and the published snapshots
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

/// Maximum time a feed may take to handle an event.
const FEED_DEADLINE: Duration = Duration::from_secs(10);
/// Number of items buffered between feed and stream: one delta in flight, and the final status.
const BUFFER: usize = 2;

/// Feeds of all proxies connected to this control plane.
#[derive(Default)]
pub(crate) struct Feeds {
    open: Mutex<BTreeMap<Slug, Handle<Feed>>>,
}

/// Task of one push stream.
struct Pump {
    members: Members,
    peer: Peer,
    feed: Handle<Feed>,
    out: mpsc::Sender<Outgoing>,
    /// Proxy id from the `Hello` message; `None` before it.
    proxy: Option<Slug>,
    /// Snapshot most recently sent to the feed.
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
        // The feed's half of the stream exists once. A feed that panics is not restarted.
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
            // In development the proxy states its own id. Without an id, its stream does not end on expulsion.
            Peer::Trusted | Peer::Unknown => request.get_ref().proxy_id.parse().ok(),
        };
        Ok(Response::new(revocations::stream(&self.edge, proxy)))
    }
}

/// Splits a delta into messages, lazily as the stream takes them.
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
            // Nothing is ever sent here; the drop means that the feed has ended.
            _dropped = ended => {}
            failed = self.carry(inbound) => {
                if let Err(status) = failed {
                    let _reader_gone = self.out.try_send(Err(status));
                }
            }
        }
        // Fails if the feed has already ended, for example because another stream replaced it.
        let _gone = self.hand_over(Event::Disconnected).await;
        if let Some(proxy) = &self.proxy {
            self.members.feeds.leave(proxy, &self.feed);
        }
    }

    /// Forwards events to the feed until the proxy ends the stream.
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

    /// Checks that the proxy has not been expelled since the stream was opened.
    fn recheck(&self) -> Result<(), Status> {
        let Some(id) = &self.proxy else {
            return Ok(());
        };
        let edge = &self.members.edge;
        not_expelled(&edge.published().state, id, edge.desk.now())
    }

    /// Sends the newest snapshot to the feed if it is not the one sent before. Compares by pointer and not by version:
    /// after the store's watch has lost an event, the repaired snapshot can have the version that was already sent
    /// without it. Before the first listing of the store nothing is sent, because an empty snapshot would remove all
    /// resources from the proxy.
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
    /// Registers the only feed of a proxy. Stops the feed of an earlier stream, whose connection broke unnoticed.
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
