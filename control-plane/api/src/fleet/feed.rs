//! Actor of one connected proxy. It translates messages, steps the core's push session and performs its outputs. It
//! never waits for the stream: the stream takes one delta at a time, and the core sends the next delta only after the
//! previous one is acknowledged or refused.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use toolgate_actor::{Actor, ActorContext, ReplySender, TimerId};
use toolgate_control_core::{
    CallerIdentity, Command, CommandAuthor, CommandContext as DecideContext,
    port::{CommandWriter, StateReader},
    push::{PushAction, PushCloseReason, PushEvent, PushSession},
};
use toolgate_model::{Delta, ProxyStatus};

/// Delta with its nonce, or the status that ends the stream.
pub(super) type FeedItem = Result<(u64, Delta), Status>;

/// Actor state of one connected proxy.
pub(super) struct ProxyFeed {
    state: Arc<dyn StateReader>,
    writer: Arc<dyn CommandWriter>,
    session: PushSession,
    out: Option<mpsc::Sender<FeedItem>>,
    /// Dropped when this actor ends for any reason, which notifies the task of the stream.
    _alive: Option<oneshot::Sender<()>>,
    timer: Option<TimerId>,
    /// State to record after the recording in progress.
    unrecorded: Option<ProxyStatus>,
    recording: bool,
    closing: bool,
}

/// Messages to a feed.
pub(super) enum FeedMessage {
    /// Event for the session. The reply confirms that it was handled.
    Event(Box<PushEvent>, ReplySender<()>),
    /// The timer has fired.
    Tick,
    /// Recording has succeeded or failed.
    Recorded,
}

impl ProxyFeed {
    pub(super) fn new(
        state: Arc<dyn StateReader>,
        writer: Arc<dyn CommandWriter>,
        out: Option<mpsc::Sender<FeedItem>>,
        alive: Option<oneshot::Sender<()>>,
    ) -> Self {
        let session = PushSession::new(state.now());
        Self {
            state,
            writer,
            session,
            out,
            _alive: alive,
            timer: None,
            unrecorded: None,
            recording: false,
            closing: false,
        }
    }

    fn step(&mut self, event: PushEvent, cx: &mut ActorContext<Self>) {
        for output in self.session.step(event, self.state.now()) {
            match output {
                PushAction::Send { delta, nonce } => self.send(Ok((nonce, delta))),
                PushAction::RecordProxy(proxy) => self.unrecorded = Some(proxy),
                PushAction::WakeAt(at) => {
                    if let Some(timer) = self.timer.take() {
                        cx.cancel(timer);
                    }
                    self.timer = Some(cx.after(at.since(self.state.now()), FeedMessage::Tick));
                }
                PushAction::Close(reason) => {
                    if reason != PushCloseReason::Disconnected {
                        self.send(Err(Status::aborted(reason.to_string())));
                    }
                    self.out = None;
                    self.closing = true;
                }
            }
        }
        self.record(cx);
    }

    fn send(&mut self, outgoing: FeedItem) {
        let sent = self.out.as_ref().map(|out| out.try_send(outgoing));
        if !matches!(sent, Some(Ok(()))) {
            // The stream does not take the delta that it asked for: it has ended or is broken.
            self.out = None;
            self.closing = true;
        }
    }

    /// Records the state of the proxy, one write at a time; the latest state wins.
    fn record(&mut self, cx: &mut ActorContext<Self>) {
        if self.recording {
            return;
        }
        let Some(proxy) = self.unrecorded.take() else {
            if self.closing {
                cx.stop();
            }
            return;
        };
        self.recording = true;
        let context = DecideContext {
            now: self.state.now(),
            author: CommandAuthor::Caller(CallerIdentity::Proxy {
                id: proxy.id.clone(),
            }),
            request: None,
        };
        let writer = Arc::clone(&self.writer);
        cx.perform(async move {
            let recorded = writer.submit(Command::RecordProxy(proxy), context).await;
            if let Err(error) = recorded {
                // The next state will be recorded soon; the proxy is served regardless.
                tracing::debug!(%error, "a proxy's state was not recorded");
            }
            FeedMessage::Recorded
        });
    }
}

impl Actor for ProxyFeed {
    type Message = FeedMessage;
    const KIND: &'static str = "proxy_feed";
    const CAPACITY: usize = 8;
    /// The stream cannot be recreated: the proxy opens a new connection, with a new feed.
    const MAX_RESTARTS: usize = 0;

    fn handle(&mut self, message: FeedMessage, cx: &mut ActorContext<Self>) {
        match message {
            FeedMessage::Event(event, taken) => {
                self.step(*event, cx);
                taken.send(());
            }
            FeedMessage::Tick => self.step(PushEvent::Tick, cx),
            FeedMessage::Recorded => {
                self.recording = false;
                self.record(cx);
            }
        }
    }

    fn observe(&self) -> serde_json::Value {
        let proxy = self.session.proxy();
        json!({
            "proxy": proxy.map(|proxy| proxy.id.to_string()),
            "held": proxy.map(|proxy| proxy.held.to_string()),
            "acked": proxy.map(|proxy| proxy.acked.to_string()),
            "comparisons": self.session.comparisons(),
            "refusals": proxy.map(|proxy| proxy.rejections.len()),
            "closing": self.closing,
        })
    }
}
