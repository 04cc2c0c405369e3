//! Push service: one feed per stream. A task per stream forwards the messages of the proxy and the published snapshots
//! to the feed, one at a time.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use toolgate_actor::ActorHandle;
use toolgate_control_core::{
    port::StateWatcher,
    push::{PushEvent, PushHello, PushReport},
};
use toolgate_model::{Slug, Snapshot, Timestamp, Version};
use toolgate_proto::push::v1::{
    self as pb, FromProxy, RevocationsRequest, Update, from_proxy, push_server::Push,
};
use toolgate_wire::{ProtoConversion as _, push as wire};

use super::{
    ProxyServices,
    calls::CallStream,
    feed::{FeedItem, FeedMessage, ProxyFeed},
    revocations,
};
use crate::{
    caller::{AdminCaller, ConnectionPeer, check_proxy_id, not_expelled},
    status,
};

/// Maximum time a feed may take to handle an event.
const FEED_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of items buffered between feed and stream: one delta in flight, and the final status.
const BUFFER: usize = 2;

/// Feeds of all proxies connected to this control plane.
#[derive(Default)]
pub(crate) struct FeedRegistry {
    by_proxy: Mutex<BTreeMap<Slug, ActorHandle<ProxyFeed>>>,
}

/// Task of one push stream.
struct SubscriptionTask {
    services: ProxyServices,
    peer: ConnectionPeer,
    feed: ActorHandle<ProxyFeed>,
    out: mpsc::Sender<FeedItem>,
    /// Proxy id from the `Hello` message; `None` before it.
    proxy: Option<Slug>,
    /// True if the proxy reads resources that continue in further entries of a push. Known before anything is sent.
    reads_continued: Arc<AtomicBool>,
    /// Snapshot most recently sent to the feed.
    last_snapshot: Option<Arc<Snapshot>>,
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Push for ProxyServices {
    type SubscribeStream = BoxStream<Update>;
    type RevocationsStream = ReceiverStream<Result<pb::Revocations, Status>>;
    type CallsStream = ReceiverStream<Result<pb::CallQueries, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<FromProxy>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let (out, outgoing) = mpsc::channel(BUFFER);
        let (alive, ended) = oneshot::channel();
        let (state, writer) = (Arc::clone(&self.state), Arc::clone(&self.writer));
        // The feed's half of the stream exists once. A feed that panics is not restarted.
        let once = Mutex::new(Some((out.clone(), alive)));
        let feed = self.actors.spawn(move || {
            let taken = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (out, alive) = taken.unzip();
            ProxyFeed::new(Arc::clone(&state), Arc::clone(&writer), out, alive)
        });
        let reads_continued = Arc::new(AtomicBool::new(false));
        let task = SubscriptionTask {
            services: self.clone(),
            peer: caller.peer.clone(),
            feed,
            out,
            proxy: None,
            reads_continued: Arc::clone(&reads_continued),
            last_snapshot: None,
        };
        let inbound = request.into_inner();
        self.drain.spawn("push stream", task.run(inbound, ended));
        let updates = ReceiverStream::new(outgoing)
            .flat_map(move |item| parts(item, reads_continued.load(Ordering::Relaxed)));
        Ok(Response::new(Box::pin(updates)))
    }

    async fn revocations(
        &self,
        request: Request<RevocationsRequest>,
    ) -> Result<Response<Self::RevocationsStream>, Status> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let proxy = match &caller.peer {
            ConnectionPeer::Proxy(id) => Some(id.clone()),
            // In development the proxy states its own id. Without an id, its stream does not end on expulsion.
            ConnectionPeer::Trusted | ConnectionPeer::Unknown => {
                request.get_ref().proxy_id.parse().ok()
            }
        };
        Ok(Response::new(revocations::stream(
            &self.state,
            &self.drain,
            proxy,
        )))
    }

    async fn report(
        &self,
        request: Request<pb::ProxyReport>,
    ) -> Result<Response<pb::ReportResponse>, Status> {
        let received = self.state.now();
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let report = wire::ProxyReport::from_proto(request.get_ref());
        let report = report.map_err(status::invalid_message)?;
        check_proxy_id(&caller.peer, &report.proxy)?;
        let Some(feed) = self.feeds.find(&report.proxy) else {
            let message = "no stream of this proxy is open here; open one, and report again";
            return Err(status::unavailable("NO_STREAM", message.to_owned()));
        };
        let observed = PushReport {
            clock: report.clock(received),
            servers: report.servers_at(received),
            replaces_servers: report.replaces_servers,
        };
        send_to(&feed, PushEvent::Report(observed)).await?;
        Ok(Response::new(pb::ReportResponse {
            received_time_ms: received.0,
        }))
    }

    async fn calls(
        &self,
        request: Request<Streaming<pb::CallReport>>,
    ) -> Result<Response<Self::CallsStream>, Status> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let (sender, receiver) = mpsc::channel(BUFFER);
        let stream = CallStream {
            state: Arc::clone(&self.state),
            readers: self.call_readers.clone(),
            peer: caller.peer.clone(),
        };
        let (inbound, draining) = (request.into_inner(), self.drain.draining());
        self.drain.spawn("call records", async move {
            tokio::select! {
                () = draining => {}
                () = stream.run(inbound, sender) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Splits a delta into messages, lazily as the stream takes them.
fn parts(outgoing: FeedItem, reads_continued: bool) -> BoxStream<Update> {
    match outgoing {
        Ok((nonce, delta)) if reads_continued => {
            stream::iter(wire::continued_updates(nonce, delta).map(Ok)).boxed()
        }
        Ok((nonce, delta)) => stream::iter(wire::updates(nonce, delta).map(Ok)).boxed(),
        Err(status) => stream::iter([Err(status)]).boxed(),
    }
}

async fn send_to(feed: &ActorHandle<ProxyFeed>, event: PushEvent) -> Result<(), Status> {
    let taken = feed.ask(FEED_TIMEOUT, |reply| {
        FeedMessage::Event(Box::new(event), reply)
    });
    taken.await.map_err(|error| {
        Status::unavailable(format!("the feed of this proxy is {error}; connect again"))
    })
}

impl SubscriptionTask {
    async fn run(mut self, inbound: Streaming<FromProxy>, ended: oneshot::Receiver<()>) {
        let draining = self.services.drain.draining();
        tokio::select! {
            () = draining => {}
            // Nothing is ever sent here; the drop means that the feed has ended.
            _dropped = ended => {}
            failed = self.forward_events(inbound) => {
                if let Err(status) = failed {
                    let _reader_gone = self.out.try_send(Err(status));
                }
            }
        }
        // Fails if the feed has already ended, for example because another stream replaced it.
        let _gone = self.send_event(PushEvent::Disconnected).await;
        if let Some(proxy) = &self.proxy {
            self.services.feeds.unregister(proxy, &self.feed);
        }
    }

    /// Forwards events to the feed until the proxy ends the stream.
    async fn forward_events(&mut self, mut inbound: Streaming<FromProxy>) -> Result<(), Status> {
        let mut published = self.services.state.watch_state();
        self.send_snapshot(published.as_mut()).await?;
        loop {
            tokio::select! {
                message = inbound.message() => match message? {
                    Some(message) => {
                        let event = self.decode_message(message)?;
                        if let PushEvent::Hello(hello) = &event {
                            self.warn_of_later_version(hello).await;
                        }
                        self.send_event(event).await?;
                    }
                    None => return Ok(()),
                },
                changed = published.changed() => match changed {
                    Ok(()) => {
                        self.recheck()?;
                        self.send_snapshot(published.as_mut()).await?;
                    }
                    Err(_ended) => return Err(Status::unavailable("the control plane is ending")),
                },
            }
        }
    }

    /// Logs that the proxy holds a later version than the store, and so does not follow it.
    async fn warn_of_later_version(&self, hello: &PushHello) {
        let state = &self.services.state;
        let published = || state.published().compiled.snapshot.version;
        if hello.held <= published() {
            return;
        }
        // Another control plane may have published the version.
        if state.catch_up(Vec::new()).await.is_err() {
            return;
        }
        let (held, published) = (hello.held, published());
        if held > published && published != Version::default() {
            tracing::error!(
                proxy = %hello.id,
                %held,
                %published,
                "the proxy holds a later version than the store, and does not follow it: check that the store is the right \
                 one; if it was restored from an older copy, start one control plane once with `--new-epoch`"
            );
        }
    }

    /// Checks that the proxy has not been expelled since the stream was opened.
    fn recheck(&self) -> Result<(), Status> {
        let Some(id) = &self.proxy else {
            return Ok(());
        };
        let state = &self.services.state;
        not_expelled(&state.published().state, id, state.now())
    }

    /// Sends the newest snapshot to the feed if it is not the one sent before. Compares by pointer and not by version:
    /// after the store's watch has lost an event, the repaired snapshot can have the version that was already sent
    /// without it. Before the first listing of the store nothing is sent, because an empty snapshot would remove all
    /// resources from the proxy.
    async fn send_snapshot(&mut self, published: &mut dyn StateWatcher) -> Result<(), Status> {
        let snapshot = Arc::clone(&published.latest().compiled.snapshot);
        let known = |target: &Arc<Snapshot>| Arc::ptr_eq(target, &snapshot);
        if snapshot.version == Version::default() || self.last_snapshot.as_ref().is_some_and(known)
        {
            return Ok(());
        }
        self.last_snapshot = Some(Arc::clone(&snapshot));
        self.send_event(PushEvent::SnapshotReady(snapshot)).await
    }

    async fn send_event(&self, event: PushEvent) -> Result<(), Status> {
        send_to(&self.feed, event).await
    }

    fn decode_message(&mut self, message: FromProxy) -> Result<PushEvent, Status> {
        match message.message {
            Some(from_proxy::Message::Hello(hello)) => self.hello(&hello).map(PushEvent::Hello),
            Some(from_proxy::Message::Ack(ack)) => Ok(PushEvent::Ack { nonce: ack.nonce }),
            Some(from_proxy::Message::Nack(nack)) => Ok(PushEvent::Nack {
                nonce: nack.nonce,
                rejected: wire::rejections(&nack.refused),
            }),
            None => Err(status::invalid(
                "message",
                "is missing or unknown to this build",
            )),
        }
    }

    fn hello(&mut self, given: &pb::Hello) -> Result<PushHello, Status> {
        let hello = wire::ProxyHello::from_proto(given).map_err(status::invalid_message)?;
        check_proxy_id(&self.peer, &hello.proxy)?;
        self.proxy = Some(hello.proxy.clone());
        self.reads_continued
            .store(hello.reads_continued, Ordering::Relaxed);
        self.recheck()?;
        self.services.feeds.register(&hello.proxy, &self.feed);
        let recorded = Arc::clone(&self.services.state.published().state);
        let recorded = recorded.proxies.get(&hello.proxy);
        let latest_stream = recorded.map_or(Timestamp(0), |it| it.stream_started);
        Ok(PushHello {
            latest_stream,
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

impl FeedRegistry {
    /// Registers the only feed of a proxy. Stops the feed of an earlier stream, whose connection broke unnoticed.
    fn register(&self, proxy: &Slug, feed: &ActorHandle<ProxyFeed>) {
        let mut open = self.by_proxy.lock().unwrap_or_else(PoisonError::into_inner);
        let before = open.insert(proxy.clone(), feed.clone());
        if let Some(before) = before.filter(|before| before.id() != feed.id()) {
            before.stop();
        }
    }

    fn find(&self, proxy: &Slug) -> Option<ActorHandle<ProxyFeed>> {
        let open = self.by_proxy.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(proxy).cloned()
    }

    fn unregister(&self, proxy: &Slug, feed: &ActorHandle<ProxyFeed>) {
        let mut open = self.by_proxy.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(proxy).is_some_and(|held| held.id() == feed.id()) {
            open.remove(proxy);
        }
    }
}
