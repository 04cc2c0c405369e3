//! The actor of one connected proxy: translates, steps the core's push session, runs what comes out. Nothing waits in
//! it: the stream takes one delta at a time, and the core sends no second one before the first is answered.

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

/// A push on its way to the stream, or its end.
pub(super) type Outgoing = Result<(u64, Delta), Status>;

/// One connected proxy.
pub(super) struct Feed {
    desk: Arc<dyn Desk>,
    session: Session,
    out: Option<mpsc::Sender<Outgoing>>,
    /// Tells the stream's task, by being dropped, that this actor has ended, whatever the reason.
    _alive: Option<oneshot::Sender<()>>,
    timer: Option<TimerId>,
    /// What is to be recorded after what is being recorded.
    unrecorded: Option<Proxy>,
    recording: bool,
    closing: bool,
}

/// What happens to a feed.
pub(super) enum Message {
    /// To the session. The reply says that it has been taken.
    Event(Box<Event>, Reply<()>),
    /// Time has passed.
    Tick,
    /// What was to be recorded has been, or cannot be.
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
            // The stream does not take what it asked for: it has gone, or is broken.
            self.out = None;
            self.closing = true;
        }
    }

    /// Records one picture at a time; the latest wins.
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
                // The next picture is on its way; the proxy is served all the same.
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
    /// Its stream cannot be had a second time: the proxy connects again, to a new one.
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
