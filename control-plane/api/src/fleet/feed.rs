//! Actor of one connected proxy. It translates messages, steps the core's push session and performs its outputs. It
//! never waits for the stream: the stream takes one delta at a time, and the core sends the next delta only after the
//! previous one is acknowledged or refused.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use toolgate_actor::{Actor, Context, Reply, TimerId};
use toolgate_control_core::{
    Command, Context as DecideContext,
    push::{Closed, Event, Output, Session},
};
use toolgate_model::{Delta, Proxy};

use crate::desk::Desk;

/// Delta with its nonce, or the status that ends the stream.
pub(super) type Outgoing = Result<(u64, Delta), Status>;

/// Actor state of one connected proxy.
pub(super) struct Feed {
    desk: Arc<dyn Desk>,
    session: Session,
    out: Option<mpsc::Sender<Outgoing>>,
    /// Dropped when this actor ends for any reason, which notifies the task of the stream.
    _alive: Option<oneshot::Sender<()>>,
    timer: Option<TimerId>,
    /// State to record after the recording in progress.
    unrecorded: Option<Proxy>,
    recording: bool,
    closing: bool,
}

/// Messages to a feed.
pub(super) enum Message {
    /// Event for the session. The reply confirms that it was handled.
    Event(Box<Event>, Reply<()>),
    /// The timer has fired.
    Tick,
    /// Recording has succeeded or failed.
    Recorded,
}

impl Feed {
    pub(super) fn new(
        desk: Arc<dyn Desk>,
        out: Option<mpsc::Sender<Outgoing>>,
        alive: Option<oneshot::Sender<()>>,
    ) -> Self {
        let session = Session::new(desk.now());
        Self {
            desk,
            session,
            out,
            _alive: alive,
            timer: None,
            unrecorded: None,
            recording: false,
            closing: false,
        }
    }

    fn step(&mut self, event: Event, cx: &mut Context<Self>) {
        for output in self.session.step(event, self.desk.now()) {
            match output {
                Output::Send { delta, nonce } => self.send(Ok((nonce, delta))),
                Output::RecordProxy(proxy) => self.unrecorded = Some(proxy),
                Output::WakeAt(at) => {
                    if let Some(timer) = self.timer.take() {
                        cx.cancel(timer);
                    }
                    self.timer = Some(cx.after(at.since(self.desk.now()), Message::Tick));
                }
                Output::Close(why) => {
                    if why != Closed::Disconnected {
                        self.send(Err(Status::aborted(why.to_string())));
                    }
                    self.out = None;
                    self.closing = true;
                }
            }
        }
        self.record(cx);
    }

    fn send(&mut self, outgoing: Outgoing) {
        let sent = self.out.as_ref().map(|out| out.try_send(outgoing));
        if !matches!(sent, Some(Ok(()))) {
            // The stream does not take the delta that it asked for: it has ended or is broken.
            self.out = None;
            self.closing = true;
        }
    }

    /// Records the state of the proxy, one write at a time; the latest state wins.
    fn record(&mut self, cx: &mut Context<Self>) {
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
        let desk = Arc::clone(&self.desk);
        let context = DecideContext {
            now: desk.now(),
            author: format!("proxies/{}", proxy.id),
            request: None,
        };
        cx.perform(async move {
            let recorded = desk.submit(Command::RecordProxy(proxy), context).await;
            if let Err(error) = recorded {
                // The next state will be recorded soon; the proxy is served regardless.
                tracing::debug!(%error, "a proxy's state was not recorded");
            }
            Message::Recorded
        });
    }
}

impl Actor for Feed {
    type Message = Message;
    const KIND: &'static str = "proxy_feed";
    const CAPACITY: usize = 8;
    /// The stream cannot be recreated: the proxy opens a new connection, with a new feed.
    const RESTARTS: usize = 0;

    fn handle(&mut self, message: Message, cx: &mut Context<Self>) {
        match message {
            Message::Event(event, taken) => {
                self.step(*event, cx);
                taken.send(());
            }
            Message::Tick => self.step(Event::Tick, cx),
            Message::Recorded => {
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
            "refusals": proxy.map(|proxy| proxy.refusals.len()),
            "closing": self.closing,
        })
    }
}
